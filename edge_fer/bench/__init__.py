"""`edge-fer bench`: what it measures, part by part.

    live        before a camera: frames come at their rate            live.py
    comparison  decoded frames, as fast as they go, and baselines     compare.py
    crowds      the same for so many faces, and how the time grows    crowd.py
    simulation  predictions for a board that is not there             simulate.py

The live run comes first: peak memory is then its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from edge_fer.bench.compare import run_comparison
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
"""Frames that are held decoded at most, some 650 MB of 600x600 pixels."""

CROWD_FRAMES = 30
"""Of each crowd, a turn, at most: those of all crowds are held at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        against: names of baselines.
        frames: decoded, a turn; at most `MAX_DECODED`.
        turns: how often each contender goes through all frames.
        size: long side that decoded frames are shrunk to, pixels.
        warm_up_frames: decoded frames that each contender reads before.
        length: of a live run.
        crowds: how many faces each has.
        profile: of the board to simulate, in the place of all measuring; null: none.
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
        settings: of the runtime, and of the source of frames.
        plan: what to measure.
        progress: told what is going on.

    Raises:
        ConfigError: when there is no baseline of such a name.
        SourceError: when the source cannot be read.
        EdgeFerError: whatever else ends a run.
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
    """Predictions for a board: of the source, or of each crowd where there are some.

    Raises:
        EdgeFerError: whatever ends a run.
    """
    predictions = []
    for viewed in [crowd(settings, faces) for faces in plan.crowds] or [settings]:
        name = redact(viewed.capture.source)
        progress(f"opening {name}", 0.0)
        scene = scene_of(viewed, plan.size)
        told = partial(progress, f"as on the {profile.name}: {name}")
        predictions.append(predict_live(scene, profile, plan.length, told))
    return Simulation(profile, tuple(predictions))
