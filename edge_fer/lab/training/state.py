"""How far a training is, and what identifies it: what a checkpoint holds besides weights."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_fer.errors import ConfigError
from edge_fer.lab.datasets.dataset import Dataset
from edge_fer.lab.training.distributed import Processes
from edge_fer.lab.training.lengths import LENGTH
from edge_fer.lab.training.recipe import Recipe
from edge_fer.lab.training.training_log import SilentTrainingReporter, TrainingReporter
from edge_fer.lab.weights.provenance import Origin


@dataclass(frozen=True, slots=True)
class Options:
    """Options that do not change the result.

    Attributes:
        device: `cpu` or `cuda`.
        workers: threads that make batches ahead of time.
        checkpoint_s: time between checkpoints, seconds.
        clock: gives a time in seconds that only goes forward.
        stopping: another thread or a signal sets it to end the run after the step, with a checkpoint.
        reporter: receives lines and steps.
        processes: those that train together.
    """

    device: str = "cpu"
    workers: int = 1
    checkpoint_s: float = 300.0
    clock: Callable[[], float] = time.monotonic
    stopping: threading.Event = field(default_factory=threading.Event)
    reporter: TrainingReporter = field(default_factory=SilentTrainingReporter)
    processes: Processes = field(default_factory=Processes)


@dataclass(slots=True)
class Position:
    """How far a run is, whatever it trains.

    Attributes:
        step: steps of the optimizer.
        elapsed_s: time spent.
        epoch_s: time spent on the steps of the epoch.
    """

    step: int = 0
    elapsed_s: float = 0.0
    epoch_s: float = 0.0

    def count_step(self) -> int:
        """Count a step of the optimizer; gives how many there were in the whole run."""
        self.step += 1
        return self.step


@dataclass(slots=True)
class TrainingState(Position):
    """How far a training in stages is; `step` and `elapsed_s` are those of the stage.

    Attributes:
        stage: number of the stage, from 0.
        updates: steps made in all stages.
        best: what the best epoch of the stage is worth: its validation accuracy, 0..1, or minus its validation loss.
        stale: epochs since that one.
        lowest_loss: lowest validation loss of the stage, nats.
        plateau: epochs since that loss, or since the learning rate was last reduced.
        reduction: what the schedule `plateau` has multiplied the learning rate by.
        loss: sum of the loss over the faces of the epoch, nats.
        right: faces of the epoch whose most probable label was the target's.
        faces: faces of the epoch so far.
    """

    stage: int = 0
    updates: int = 0
    best: float = -math.inf
    stale: int = 0
    lowest_loss: float = math.inf
    plateau: int = 0
    reduction: float = 1.0
    loss: float = 0.0
    right: int = 0
    faces: int = 0

    def count_step(self) -> int:
        """See `Position.count_step`."""
        self.step += 1
        self.updates += 1
        return self.updates


def identity_of(recipe: Recipe, data: Mapping[str, Dataset], origin: Origin | None, teachers: Mapping[str, str]) -> str:
    """A hash of what decides each step of a run, and of the origin that is written with its weights.

    How many steps there are is not in it: see `lengths`.

    Args:
        recipe: the recipe.
        data: the data set of each name.
        origin: the origin of the first weights; None: not known.
        teachers: the digest of the teachers of each name.
    """
    steps = recipe.model_dump_json(exclude={"stages": {"__all__": set(LENGTH)}})
    digest = hashlib.sha256(steps.encode())
    digest.update(origin.model_dump_json().encode() if origin else b"")
    for name in sorted(teachers):
        digest.update(teachers[name].encode())
    for name in sorted({stage.data for stage in recipe.stages}):
        for values in (data[name].labels, data[name].targets, data[name].splits, data[name].second):
            digest.update(np.ascontiguousarray(values).tobytes())
        landmarks = data[name].landmarks
        digest.update(b"" if landmarks is None else np.ascontiguousarray(landmarks).tobytes())
    return digest.hexdigest()


def check_alike(identity: object, processes: Processes) -> None:
    """Whether all processes have what decides the result of a run: its identity and its length.

    Raises:
        ConfigError: when this one has something else than the first.
    """
    if processes.from_first(lambda: identity) != identity:
        raise ConfigError(
            "expected the recipe, the data, the first weights and the teachers of the first process, found others; "
            "give every machine the same files and options"
        )


def step_seed(seed: int, at: TrainingState) -> int:
    """The seed of what is random in the next step, by the seed of the recipe and the step's place."""
    return int(np.random.SeedSequence([seed, at.stage, at.step]).generate_state(1, np.uint64)[0] >> np.uint64(1))
