"""An Edge TPU that fails all the time, under a pipeline that must not show it.

    python -m tools.field.torture --frames 10000 --faults 200

Frames of one face go through the whole pipeline, detector included; faults of every kind are injected at random places
into the fake Edge TPU (tests/support/fake_edgetpu) and its child process. Ends with 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_fer.capture.sources import SourceFrame
from edge_fer.expression.classifier import Classifier, open_classifier
from edge_fer.expression.failover import Failover, agree
from edge_fer.expression.open_model import open_expression_model
from edge_fer.inference.manifest_parts import FailoverSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.pipeline import Pipeline
from edge_fer.publish import Sink
from edge_fer.schema import Reading, Record, Status, TrackRecord
from edge_fer.settings import Settings, load_settings
from edge_fer.status.monitor import STAGES, Monitor
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import AlignedFace, Expression, Image
from tests.support.fake_edgetpu import COMPILED, INFER_FAULTS, LOAD_FAULTS, FakeEdgeTpu, library, twin_store
from tests.support.resource_use import ResourceUse, resource_use, resource_use_after
from tools.field.torture_result import Result

TOLERANCE = FailoverSpec().tolerance
FAULTS = (
    *(f"infer {kind}" for kind in INFER_FAULTS),
    *(f"load {kind}" for kind in LOAD_FAULTS),
    "kill",
    "stop",
)
SLOW_MS = 60_000
SAMPLES = 10_000  # that a monitor keeps of each stage at most


class FaultBag:
    """Faults of an Edge TPU in an order that is drawn; every kind comes once before one comes again.

    Args:
        tpu: to break.
        faults: the kinds: `kill`, `stop`, or where and what fails, such as `load refuse`.
        seed: of their order.

    Attributes:
        injected: how often each was injected.
    """

    def __init__(self, tpu: FakeEdgeTpu, faults: Sequence[str], seed: int) -> None:
        self.injected: Counter[str] = Counter()
        self._tpu, self._faults, self._random = tpu, faults, random.Random(seed)
        self._bag: list[str] = []

    def inject(self, child: int | None) -> bool:
        """Inject the next fault, unless what is broken now might go unnoticed.

        Args:
            child: the device's process; None while it is away.

        Returns:
            Whether it was injected.
        """
        if child is None or self._tpu.armed:
            return False
        self._bag = self._bag or self._random.sample(self._faults, len(self._faults))
        fault = self._bag.pop()
        where, _, kind = fault.partition(" ")
        if kind:
            self._tpu.fail(where, kind, SLOW_MS)
        if where in {"load", "kill", "stop"}:  # a start can only fail once the child has gone
            os.kill(child, signal.SIGSTOP if where == "stop" else signal.SIGKILL)
        self.injected[fault] += 1
        return True


class Torture:
    """The Edge TPU's tormentor: breaks it before some faces are read, and compares every answer with the CPU's.

    Args:
        tpu: to break.
        failover: that must not show it.
        twin: the same network on the CPU.
        due: numbers of the faces before which something breaks; when the last fault is still to come, later.
        seed: of the kinds.
    """

    def __init__(self, tpu: FakeEdgeTpu, failover: Failover, twin: Classifier, due: list[int], seed: int) -> None:
        self.by_backend: Counter[str] = Counter()
        self.wrong = 0
        self._failover, self._twin = failover, twin
        self._due, self._faces = due, 0
        self.bag = FaultBag(tpu, FAULTS, seed)
        self._read = failover.classify
        failover.classify = self.classify  # type: ignore[method-assign]

    def classify(self, face: AlignedFace) -> Expression:
        if self.is_due and self.bag.inject(self._child()):
            self._due.pop(0)
        self._faces += 1
        expression = self._read(face)
        expected = self._twin.classify(face)
        self.wrong += not (agree(expression, expected, TOLERANCE) and expression.label == expected.label)
        assert expression.origin is not None
        self.by_backend[expression.origin.backend] += 1
        return expression

    @property
    def is_due(self) -> bool:
        """Whether something should have been broken by now."""
        return bool(self._due) and self._faces >= self._due[0]

    def _child(self) -> int | None:
        backend: Any = self._failover._readers[0][1]._backend
        return None if backend is None else backend.pid


class Loop:
    """A source of so many frames, a few pictures again and again, at a steady rate.

    Args:
        pictures: in turn.
        frames: that it ends after.
        period_s: between two frames.
        ready: whether the next one may be given; waited for 20 s.
    """

    name, live, skipped = "loop", False, 0

    def __init__(
        self, pictures: list[Image], frames: int, period_s: float, ready: Callable[[], bool] = lambda: True
    ) -> None:
        self.fps = 1 / period_s
        self._ready = ready
        self._pictures, self._frames, self._period_s = pictures, frames, period_s
        self._given, self._start = 0, time.monotonic()

    def read(self) -> SourceFrame | None:
        if self._given == self._frames:
            return None
        threading.Event().wait(max(0.0, self._start + self._given * self._period_s - time.monotonic()))
        patience = time.monotonic() + 20
        while not self._ready() and time.monotonic() < patience:
            threading.Event().wait(0.002)
        picture = self._pictures[self._given % len(self._pictures)]
        self._given += 1
        return SourceFrame(picture.copy(), time.monotonic_ns())

    def close(self) -> None:
        """Nothing to give back."""


class Kept(Sink):
    """A sink that notes when each reading came, and what it held."""

    def __init__(self, early_at: int) -> None:
        self.frames: list[int] = []
        self.times: list[float] = []
        self.ages_ms: list[float] = []
        self.with_face = self.returned = 0
        self.recovery: dict[str, int] = {}
        self.early: ResourceUse | None = None
        self._early_at = early_at

    def publish(self, record: Record, image: Image | None) -> None:
        if isinstance(record, Status):
            self.recovery = record.recovery
            self.returned += "is back" in record.message
            return
        if isinstance(record, TrackRecord):
            return
        assert isinstance(record, Reading)
        self.times.append(time.monotonic())
        self.frames.append(record.frame)
        self.ages_ms.append(record.age_ms)
        self.with_face += len(record.faces) == 1 and len(record.faces[0].probabilities) == 7
        assert record.degraded == (record.reason is not None)
        if len(self.frames) == self._early_at:
            self.early = resource_use()

    def close(self) -> None:
        """Nothing to give back."""


def full_monitor() -> Monitor:
    """A monitor that already holds as many samples as it ever will: what grows beside it is a leak."""
    monitor = Monitor(5.0)
    for name in STAGES:
        for _ in range(SAMPLES):
            with monitor.stage(name):
                monitor.tick()
    return monitor


def pictures_of_a_face() -> list[Image]:
    """Small frames of one face that moves."""
    scene = crowd_scene(seed=3, faces=1, frames=60)
    frames = [cv2.resize(scene.render(index), (320, 180), interpolation=cv2.INTER_AREA) for index in range(60)]
    return [np.asarray(frame, np.uint8) for frame in (*frames, *frames[::-1])]


def torture(
    folder: Path, frames: int, faults: int, *, seed: int = 0, fps: float = 25.0, deadline_ms: float = 100.0,
    check_every: int = 1, patient: bool = False,
) -> Result:  # fmt: skip
    """Run it.

    Args:
        folder: empty.
        frames: to read.
        faults: to inject.
        seed: of the places and kinds of the faults.
        fps: of the source.
        deadline_ms: of one inference.
        check_every: see `classify.check_every`.
        patient: whether the source waits for the device before it is broken again, so that few frames are enough.
    """
    twin_store(folder)
    settings = load_settings(
        environment={},
        flags={"models": str(folder), "detect.min_face": 24, "detect.size": 320, "smooth.enabled": False},
    )
    with FakeEdgeTpu(folder / "tpu").present() as tpu:
        classify = settings.classify.model_copy(update={
            "backend": "edgetpu", "model": COMPILED, "edgetpu_library": str(library()),
            "sysfs": tpu.sysfs, "dev": tpu.dev, "deadline_ms": deadline_ms,
            "start_deadline_s": 2.0, "check_every": check_every, "threads": 1,
            "retry_s": 0.01, "retry_max_s": 0.1, "park_s": 0.2, "steady_s": 0.0 if patient else 0.2,
        })  # fmt: skip
        settings = settings.model_copy(update={"classify": classify})
        pictures = pictures_of_a_face()
        due = sorted(random.Random(seed).sample(range(frames // 100, frames - frames // 20), faults))
        Pipeline(settings).close()  # loads all libraries
        before, start = resource_use(), time.monotonic()
        kept, tormentor = _run(settings, tpu, pictures, frames, due, patient, fps, seed)
        after = resource_use_after(before)
    gaps = kept.ages_ms if patient else (np.diff(kept.times) * 1e3).tolist()
    assert kept.early is not None
    return Result(
        readings=len(kept.frames),
        in_order=kept.frames == list(range(frames)),
        with_face=kept.with_face,
        wrong=tormentor.wrong,
        check_every=check_every,
        by_backend=dict(tormentor.by_backend),
        injected=dict(sorted(tormentor.bag.injected.items())),
        to_come=tpu.armed,
        worst_gap_ms=round(max(gaps), 1),
        deadline_ms=deadline_ms,
        recovery=kept.recovery,
        returned=kept.returned,
        before=before,
        early=kept.early,
        after=after,
        seconds=round(time.monotonic() - start, 1),
    )


def _run(
    settings: Settings,
    tpu: FakeEdgeTpu,
    pictures: list[Image],
    frames: int,
    due: list[int],
    patient: bool,
    fps: float,
    seed: int,
) -> tuple[Kept, Torture]:
    store = ModelStore(settings.models)
    kept = Kept(early_at=max(2, frames // 10))
    with open_classifier(settings.classify.model_copy(update={"backend": "cpu"}), store) as twin:
        failover = open_expression_model(settings.classify, store)
        assert isinstance(failover, Failover)
        tormentor = Torture(tpu, failover, twin, due, seed)
        loop = Loop(
            pictures, frames, 1 / fps,
            lambda: not (patient and tormentor.is_due) or (failover.origin.reason is None and not tpu.armed),
        )  # fmt: skip
        with Pipeline(settings, [kept], monitor=full_monitor(), model=failover, opener=lambda *_: loop) as pipeline:
            pipeline.run()
        failover.__dict__.pop("classify")
    return kept, tormentor


def main() -> int:
    """Run it from the command line; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--deadline-ms", type=float, default=100.0)
    parser.add_argument("--check-every", type=int, default=1, help="above 1, wrong answers may get out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = torture(
            Path(folder), arguments.frames, arguments.faults, seed=arguments.seed, fps=arguments.fps,
            deadline_ms=arguments.deadline_ms, check_every=arguments.check_every,
        )  # fmt: skip
    broken = result.broken_promises(arguments.frames, arguments.faults, growth_mib=8.0)
    print(json.dumps({**asdict(result), "broken": broken}, indent=2))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
