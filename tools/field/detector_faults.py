"""Detector and classifier on one Edge TPU that fails all the time, under a pipeline that must not show it.

    make field-detector_faults ARGS="--frames 2000 --faults 60"

Every frame is searched, and its face classified. Faults of every kind hit either network of the fake Edge TPU
(tests/support/fake_edgetpu), or the child process that runs both. Meanwhile the CPU finds and reads the faces, and the
readings say so. Ends with 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_fer.pipeline import Pipeline
from edge_fer.publish import Sink
from edge_fer.recognizer import FoundFaces, Recognizer
from edge_fer.schema import FaceReading, Reading, Record
from edge_fer.settings import Settings, load_settings
from edge_fer.status.monitor import Monitor
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import LABELS, Frame, Image
from tests.support.fake_edgetpu import (
    COMPILED,
    INFER_FAULTS,
    LOAD_FAULTS,
    FakeEdgeTpu,
    add_detector,
    library,
    painted,
    twin_store,
)
from tests.support.resource_use import ResourceUse, resource_use, resource_use_after
from tools.field.torture import TOLERANCE, FaultBag, Loop

FAULTS = (
    *(f"{where} {kind}" for where in ("search", "read") for kind in INFER_FAULTS),
    *(f"load {kind}" for kind in LOAD_FAULTS),
    "kill",
    "stop",
)
SIDE = 64
_NEAR_PX = 1.0  # between the places of a face that two devices found


@dataclass(frozen=True)
class Result:
    """What happened.

    Attributes:
        readings: published.
        in_order: whether their frames are 0, 1, 2, ... without a gap or a repetition.
        right: readings with the face that the CPU finds in that picture, and what the CPU reads of it.
        searched_by: pictures by what searched them.
        read_by: readings by what read their face.
        unsaid: pictures that the CPU searched while the device was away, and whose reading does not say so.
        injected: faults by kind.
        to_come: whether the last fault has yet to happen.
        worst_ms: longest time from a frame to its reading.
        returned: how often the Edge TPU took over again.
        recovery: recovery steps that were tried.
        before: what the process held before it all.
        after: what it held when all was closed.
    """

    readings: int
    in_order: bool
    right: int
    searched_by: dict[str, int]
    read_by: dict[str, int]
    unsaid: int
    injected: dict[str, int]
    to_come: bool
    worst_ms: float
    returned: int
    recovery: dict[str, int]
    before: ResourceUse
    after: ResourceUse

    def broken_promises(self, frames: int, faults: int) -> list[str]:
        """What should have been otherwise."""
        checks = {
            f"{frames} readings": self.readings == frames,
            "in order, none twice": self.in_order,
            "the CPU agrees with all": self.right == frames,
            "the CPU searched some": self.searched_by.get("cpu", 0) > 0,
            "each reading says who searched": self.unsaid == 0,
            f"{faults} faults": sum(self.injected.values()) == faults and not self.to_come,
            "the Edge TPU came back": self.returned > 0,
            **self.after.promises_since(self.before),
        }
        return [promise for promise, kept in checks.items() if not kept]


class Tormentor:
    """Breaks the Edge TPU before some frames are searched, and notes what searched each.

    Args:
        tpu: to break.
        recognizer: that must not show it.
        due: numbers of the frames before which something breaks; when the last fault is still to come, later.
        seed: of the kinds.
    """

    def __init__(self, tpu: FakeEdgeTpu, recognizer: Recognizer, due: list[int], seed: int) -> None:
        self.reasons: list[str | None] = []
        self.searched_by: Counter[str] = Counter()
        self._tpu, self._recognizer, self._due = tpu, recognizer, due
        self.bag = FaultBag(tpu, FAULTS, seed)
        self._find = recognizer.find
        recognizer.find = self.find  # type: ignore[method-assign]

    def find(self, frame: Frame, **options: Any) -> FoundFaces:
        if self.is_due and self.bag.inject(self._child()):
            self._due.pop(0)
        found = self._find(frame, **options)
        self.reasons.append(found.detector.reason)
        self.searched_by[found.detector.backend] += 1
        return found

    @property
    def is_due(self) -> bool:
        """Whether something should have been broken by now."""
        return bool(self._due) and len(self.reasons) >= self._due[0]

    @property
    def is_well(self) -> bool:
        """Whether the device is in service, and no fault is to come."""
        return self._recognizer.detector.reason is None and not self._tpu.armed

    def _child(self) -> int | None:
        (shared,) = self._recognizer.detector.devices
        backend: Any = shared._tpu.device._backend  # type: ignore[attr-defined]
        return None if backend is None else backend.pid


class Kept(Sink):
    """A sink that keeps the readings."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.returned = 0

    def publish(self, record: Record, image: Image | None) -> None:
        if isinstance(record, Reading):
            self.readings.append(record)
        self.returned += "is back" in getattr(record, "message", "")

    def close(self) -> None:
        """Nothing to give back."""


def pictures() -> list[Image]:
    """Small pictures of one face, each said to show another expression."""
    frame = crowd_scene(seed=3, faces=1, frames=1).render(0)
    small = np.asarray(cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    return [painted(small, label) for label in range(len(LABELS))]


def run(
    folder: Path, frames: int, faults: int, *, seed: int = 0, fps: float = 25.0, deadline_ms: float = 100.0
) -> Result:
    """Run it; the source waits for the device before it is broken again.

    Args:
        folder: empty.
        frames: to read.
        faults: to inject.
        seed: of the places and kinds of the faults.
        fps: of the source.
        deadline_ms: of one inference.
    """
    twin_store(folder)
    add_detector(folder, SIDE)
    shown = pictures()
    expected = _expected(_settings(folder, "cpu", {}), shown)
    with FakeEdgeTpu(folder / "tpu").present() as tpu:
        devices = {
            "edgetpu_library": str(library()), "sysfs": str(tpu.sysfs), "dev": str(tpu.dev),
            "deadline_ms": deadline_ms, "start_deadline_s": 5.0, "check_every": 1, "threads": 1,
            "retry_s": 0.01, "retry_max_s": 0.1, "park_s": 0.2, "steady_s": 0.0,
        }  # fmt: skip
        settings = _settings(folder, "edgetpu", devices)
        Pipeline(settings, opener=lambda *_: Loop(shown, 0, 1.0)).close()  # loads all libraries
        before = resource_use()
        kept, tormentor, recovery = _run(settings, tpu, shown, frames, faults, fps, seed)
        after = resource_use_after(before)
    pairs = list(zip(kept.readings, tormentor.reasons, strict=False))
    return Result(
        readings=len(kept.readings),
        in_order=[reading.frame for reading in kept.readings] == list(range(frames)),
        right=sum(_is_right(reading, expected[reading.frame % len(expected)]) for reading in kept.readings),
        searched_by=dict(tormentor.searched_by),
        read_by=dict(Counter(reading.backend for reading in kept.readings)),
        unsaid=sum(reason is not None and not reading.degraded for reading, reason in pairs),
        injected=dict(sorted(tormentor.bag.injected.items())),
        to_come=tpu.armed,
        worst_ms=round(max(reading.age_ms for reading in kept.readings), 1),
        returned=kept.returned,
        recovery=recovery,
        before=before,
        after=after,
    )


def _settings(folder: Path, backend: str, devices: dict[str, object]) -> Settings:
    flags = {
        "models": str(folder), "detect.kind": "yolo", "detect.size": SIDE, "detect.min_face": 20,
        "detect.precision": "float32", "detect.threads": 1, "detect.backend": backend, "keyframe.enabled": False,
        "classify.model": COMPILED, "classify.backend": backend, "smooth.enabled": False, "enhance.clahe": "off",
    }  # fmt: skip
    return load_settings(environment={}, flags=flags | {f"classify.{name}": one for name, one in devices.items()})


def _expected(settings: Settings, shown: list[Image]) -> list[FaceReading]:
    """What the CPU finds and reads in each picture."""
    frames = [Frame(index, image, index, 0.0, index) for index, image in enumerate(shown)]
    with Recognizer(settings, Monitor(1.0).stage) as recognizer:
        return [found.faces[0] for found in recognizer.read(frames)]


def _run(
    settings: Settings, tpu: FakeEdgeTpu, shown: list[Image], frames: int, faults: int, fps: float, seed: int
) -> tuple[Kept, Tormentor, dict[str, int]]:
    kept = Kept()
    due = sorted(random.Random(seed).sample(range(frames // 100, frames - frames // 20), faults))
    tormentors: list[Tormentor] = []
    loop = Loop(shown, frames, 1 / fps, lambda: not tormentors[0].is_due or tormentors[0].is_well)
    with Pipeline(settings, [kept], opener=lambda *_: loop) as pipeline:
        tormentors.append(Tormentor(tpu, pipeline._recognizer, due, seed))
        pipeline.run()
        recovery = pipeline._condition.recovery
    return kept, tormentors[0], recovery


def _is_right(reading: Reading, expected: FaceReading) -> bool:
    """Whether a reading has the expected face, at its place and with its probabilities."""
    if len(reading.faces) != 1 or not reading.faces[0].probabilities:
        return False
    (face,) = reading.faces
    apart = max(abs(one - other) for one, other in zip(face.box, expected.box, strict=True))
    unlike = max(abs(face.probabilities[label] - expected.probabilities[label]) for label in LABELS)
    return apart <= _NEAR_PX and unlike <= TOLERANCE


def main() -> int:
    """Run it from the command line; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--deadline-ms", type=float, default=100.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(
            Path(folder), arguments.frames, arguments.faults, seed=arguments.seed, fps=arguments.fps,
            deadline_ms=arguments.deadline_ms,
        )  # fmt: skip
    broken = result.broken_promises(arguments.frames, arguments.faults)
    print(json.dumps({**asdict(result), "broken": broken}, indent=2))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
