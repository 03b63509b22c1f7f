"""`edge-fer bench`: what it measures, part by part.

    live        frames come at the rate of a camera                       live.py
    comparison  decoded frames, as fast as they go, beside baselines      compare.py
    crowds      both for several numbers of faces, and how time grows     crowd.py
    simulation  predictions for a board that is not there                 simulate.py

The live run comes first, so that the peak of memory is its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from edge_fer.bench.compare import changed, run_comparison
from edge_fer.bench.crowd import run_crowds
from edge_fer.bench.live import Length, run_live
from edge_fer.bench.records import Progress, Report, Simulation
from edge_fer.bench.simulate import predict_live
from edge_fer.bench.source import crowd, decode, scene_of
from edge_fer.common.machine import Profile, advice_on, board, governor_of, machine
from edge_fer.common.text import redact
from edge_fer.faces.detectors import chosen_networks
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import Settings

MAX_DECODED = 600
"""Most frames that are held decoded: about 650 MB at 600x600 pixels."""

CROWD_FRAMES = 30
"""Most frames of each crowd in a turn: those of all crowds are held at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        against: names of baselines, or of other models or detectors that the runtime may use; for a simulation, of
            detectors.
        frames: decoded frames in a turn; at most `MAX_DECODED`.
        turns: how often each contender goes through all frames.
        size: long side that decoded frames are shrunk to, pixels.
        warm_up_frames: decoded frames that each contender reads before it is timed.
        length: length of a live run.
        crowds: number of faces of each crowd.
        profile: the board to simulate instead of measuring; None: measure this machine.
    """

    against: tuple[str, ...]
    frames: int
    turns: int
    size: int
    warm_up_frames: int
    length: Length
    crowds: tuple[int, ...] = ()
    profile: Profile | None = None


def run_bench(settings: Settings, plan: Plan, progress: Progress) -> Report:
    """Measure the runtime on this machine, or predict it for another.

    Args:
        settings: the runtime's settings, with the source of frames.
        plan: what to measure.
        progress: receives the current step and its progress.

    Raises:
        ConfigError: when there is no baseline of such a name.
        SourceError: when the source cannot be read.
        EdgeFerError: when a run fails.
    """
    source = redact(settings.capture.source)
    facts = Report(board(), machine(), source, chosen_networks(settings.detect, ModelStore(settings.models)))
    if plan.profile is not None:
        return replace(facts, simulation=simulate(settings, plan, plan.profile, progress))
    live = run_live(scene_of(settings, plan.size), plan.length, partial(progress, f"live: {source}"))
    governor = governor_of()  # while the processor is still warm from work
    facts = replace(facts, live=live, governor=governor, advice=advice_on(governor))
    if plan.crowds:
        frames = min(plan.frames, CROWD_FRAMES)
        crowds, growth = run_crowds(settings, plan.crowds, frames, plan.turns, plan.length, plan.size, progress)
        facts = replace(facts, crowds=crowds, growth=growth)
    progress(f"decoding {source}", 0.0)
    images, fps = decode(settings.capture, min(plan.frames, MAX_DECODED), plan.size)
    comparison = run_comparison(settings, plan.against, images, fps, plan.turns, plan.warm_up_frames, progress)
    return replace(facts, comparison=comparison)


def simulate(settings: Settings, plan: Plan, profile: Profile, progress: Progress) -> Simulation:
    """Predictions for a board: for the source, or for each crowd where there are any; by each detector.

    Args:
        settings: the runtime's settings, with the source of frames.
        plan: the crowds, the length of the runs, and the names of further detectors.
        profile: the board.
        progress: receives the current step and its progress.

    Raises:
        EdgeFerError: when a run fails.
    """
    predictions = []
    runs = {"": settings, **{f", {name}": changed(settings, name) for name in plan.against}}
    for viewed in [crowd(settings, faces) for faces in plan.crowds] or [settings]:
        for suffix, run in runs.items():
            name = redact(viewed.capture.source) + suffix
            progress(f"opening {name}", 0.0)
            scene = scene_of(run.model_copy(update={"capture": viewed.capture}), plan.size)
            step = partial(progress, f"as on the {profile.name}: {name}")
            found = predict_live(scene, profile, plan.length, step)
            predictions.append(replace(found, live=replace(found.live, source=name)))
    return Simulation(profile, tuple(predictions), any(run.detect.kind == "yolo" for run in runs.values()))
