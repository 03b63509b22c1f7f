"""Predictions: the runtime with a simulated accelerator, on a processor that is slower than this one.

The run waits for the accelerator (`edge_fer/inference/simulated.py`; `simulated_detector.py` where pictures are
searched on it, too: both take turns then), for the network where that is another board's, and, within each stage, for
the slower processor (`monitor.py`). The work between the stages, above all publishing, takes the same time as on this
machine.

What limits a run: the frame rate is at most that of the camera, and at most what the processor can do. Each frame
gives one crop for each face, and the accelerator classifies at most as many crops as its latency allows. Where crops
come faster than that, the accelerator is the limit, and the measure is labels a second. Otherwise the slower one of
camera and processor is the limit, and the measure is frames a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace

from edge_fer.bench.live import Length, run_live
from edge_fer.bench.monitor import BenchMonitor
from edge_fer.bench.records import Binding, Live, Prediction
from edge_fer.bench.simulated_detector import open_simulated_detector
from edge_fer.bench.source import Scene, decode
from edge_fer.common.machine import PROFILES, Profile
from edge_fer.errors import ConfigError
from edge_fer.expression.classifier import Classifier
from edge_fer.expression.feature_branch import open_branch
from edge_fer.faces.detectors.yolov3_tiny.detector import YoloDetector
from edge_fer.inference import simulated
from edge_fer.inference.manifest import EnsembleSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import Settings

MOST_LEARNED = 600
"""Frames of a source that a simulated detector knows before the run, at most."""

_LITE = "all of the weights of `lite` fit into its memory; from Coral's table, by `edge-fer lab edgetpu-check lite`"


def profile_of(name: str, model: str, network_ms: float | None = None) -> Profile:
    """The profile of a board, or of two.

    Args:
        name: its name.
        model: the classifier's; of one that is not shipped the time is unknown, and that of `se_resnet50` is taken.
        network_ms: how long a face is on its way between two boards, milliseconds; None: as the profile assumes.

    Raises:
        ConfigError: when there is no board of that name, or there is no network that could take so long.
    """
    if name not in PROFILES:
        raise ConfigError(f"expected a board out of {', '.join(PROFILES)}, found `{name}`; see --simulate")
    profile = PROFILES[name]
    if model == "lite":
        profile = replace(profile, label_ms=profile.lite_ms, label_source=_LITE)
    if network_ms is None:
        return profile
    if not profile.network_ms:
        raise ConfigError(f"expected --network-ms with two boards, found it with `{name}`; leave it out")
    return replace(profile, network_ms=network_ms, network_source="as stated by --network-ms")


def predict_live(scene: Scene, profile: Profile, length: Length, progress: Callable[[float], None]) -> Prediction:
    """Run the pipeline as it would run on a board, with a source that has the pace of a camera.

    Args:
        scene: the source; the backend of its settings is replaced.
        profile: the board.
        length: length of the run.
        progress: receives the part that is done, 0..1.

    Raises:
        EdgeFerError: when the run fails.
    """
    detect, monitor, turn = scene.settings.detect, BenchMonitor(profile.stretch), threading.Lock()
    with ExitStack() as stack:
        detector = _open_detector(scene, profile, turn, monitor.wait) if detect.kind == "yolo" else None
        if detector is not None:
            stack.callback(detector.close)
        classifier = _open_classifier(scene.settings, profile, turn) if detect.labels == "classifier" else None
        stack.pop_all()
    live = run_live(scene, length, progress, monitor, classifier, detector=detector)
    return predict(live, profile if classifier else replace(profile, label_ms=0.0, network_ms=0.0))


def _open_classifier(settings: Settings, profile: Profile, turn: AbstractContextManager[object]) -> Classifier:
    """The classifier on the simulated accelerator."""
    store, name = ModelStore(settings.models), settings.classify.model
    if isinstance(store.expression_model(name), EnsembleSpec):
        raise ConfigError(f"expected one network for --simulate, found the ensemble `{name}`; simulate its members")
    backend = simulated.open_backend(store.load(name, "classify"), profile.face_ms / 1e3, turn=turn)
    spec = store.spec(name, "classify")
    return Classifier(name, spec, backend, branch=open_branch(store, name, spec))


def _open_detector(
    scene: Scene, profile: Profile, turn: AbstractContextManager[object], wait: Callable[[float], None]
) -> YoloDetector:
    """The detector on the same accelerator."""
    if not profile.search_ms:
        raise ConfigError(
            f"expected a board with its own accelerator for kind yolo, found `{profile.name}`, where only faces are "
            "sent to it; simulate another one"
        )
    frames, _ = decode(scene.settings.capture, MOST_LEARNED, scene.size)
    return open_simulated_detector(scene.settings, frames, profile.search_ms / 1e3, turn, wait)


def predict(live: Live, profile: Profile) -> Prediction:
    """What limits a simulated run, and how close the run came to the limit.

    Args:
        live: the run.
        profile: the board; without a time for a face where the detector reads the faces, too: then nothing waits for
            the accelerator.
    """
    accelerator = 1e3 / profile.face_ms if profile.face_ms else float("inf")
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
