"""Predictions: the runtime beside an accelerator that is not there, on a processor that is slower than this one.

The accelerator is waited for (`backends/simulated.py`), and the rest of a slower processor's time within each stage
(`monitor.py`). What lies between the stages, publishing above all, takes the time that it takes here.

What holds a run up. Faces are found in at most as many frames a second as the camera gives or the processor can
manage; each finding offers one crop a face, and the accelerator reads at most as many as its latency allows. So where
crops are offered faster than it reads, the accelerator binds, and the measure is labels a second; else it waits for
crops, the slower one of camera and processor binds, and the measure is frames a second.
"""

from __future__ import annotations

from collections.abc import Callable

from edge_fer.bench.live import Length, run_live
from edge_fer.bench.monitor import BenchMonitor
from edge_fer.bench.records import Binding, Live, Prediction
from edge_fer.bench.source import Scene
from edge_fer.common.machine import PROFILES, Profile
from edge_fer.errors import ConfigError
from edge_fer.expression.classifier import Classifier
from edge_fer.inference import simulated
from edge_fer.inference.model_store import ModelStore


def profile_of(name: str) -> Profile:
    """A board by name.

    Raises:
        ConfigError: when it is not known.
    """
    if name not in PROFILES:
        raise ConfigError(f"expected a board out of {', '.join(PROFILES)}, found `{name}`; see --simulate")
    return PROFILES[name]


def predict_live(scene: Scene, profile: Profile, length: Length, progress: Callable[[float], None]) -> Prediction:
    """Run the pipeline as it would on a board, before a source that is paced like a camera.

    Args:
        scene: what it is given to see; the backend of its settings is replaced.
        profile: of the board.
        length: of the run.
        progress: told how much is done, 0..1.

    Raises:
        EdgeFerError: whatever ends a run.
    """
    store, name = ModelStore(scene.settings.models), scene.settings.classify.model
    backend = simulated.open_backend(store.load(name, "classify"), profile.label_ms / 1e3)
    classifier = Classifier(name, store.spec(name, "classify"), backend)
    live = run_live(scene, length, progress, BenchMonitor(profile.stretch), classifier)
    return predict(live, profile)


def predict(live: Live, profile: Profile) -> Prediction:
    """What binds in a simulated run, and how near it came."""
    accelerator = 1e3 / profile.label_ms
    processor = 1e3 / live.find_ms if live.find_ms else float("inf")
    frames = min(live.captured_fps, processor)
    binding: Binding
    if accelerator < frames * live.faces:
        binding, bound, reached = "accelerator", accelerator, live.labels_per_s
    else:
        binding = "camera" if live.captured_fps <= processor else "processor"
        bound, reached = frames, live.fps
    share = reached / bound if bound else 0.0
    return Prediction(
        live, binding, round(bound, 2), round(reached, 2), round(share, 4), round(accelerator, 2), round(processor, 2)
    )
