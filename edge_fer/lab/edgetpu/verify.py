"""Is a board what it should be: the same faces on two devices, their times, and a long run.

For owners of an Edge TPU; `deploy/verify_board.sh` calls it. Faces come from the shipped portraits, pasted into the
sample's scene and cut out where they were pasted, so that nothing but the network and its device is compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.bench.reference import Row
from edge_fer.common.machine import board
from edge_fer.faces.align import align
from edge_fer.inference import Backend, open_backend
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.preprocessor import Preprocessor
from edge_fer.lab.edgetpu.soak import Device, Soak
from edge_fer.synthetic.scenes import sample_scene

SAME_LABELS = 0.95
"""Share of the faces that both devices must give the same label; the chip rounds in its own way."""

_SEED, _EVERY = 7, 9

Say = Callable[[str], None]
Clock = Callable[[], float]
Batch = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is verified.

    Attributes:
        model: name of the classifier.
        backend: the device.
        reference: the device that it is compared with.
        soak_s: length of the long run, seconds.
        faces: how many are compared.
        timed: inferences that are timed, on each device.
    """

    model: str = "se_resnet50"
    backend: str = "edgetpu"
    reference: str = "cpu"
    soak_s: float = 1800.0
    faces: int = 64
    timed: int = 200


@dataclass(slots=True)
class Findings:
    """What was found.

    Attributes:
        rows: figures, as `edge-fer bench --save` writes them.
        failed: sentences on what was not as it should be.
        not_done: sentences on what was not verified.
    """

    rows: list[Row] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)

    def add(self, figure: str, unit: str, value: float) -> None:
        """Keep a figure."""
        self.rows.append(Row(board(), "verify", figure, unit, round(float(value), 4)))

    def percentiles(self, figure: str, times: Sequence[float]) -> None:
        """Keep what half, 95 and 99 % of some times stayed below, and the longest; milliseconds."""
        for percentile in (50, 95, 99):
            self.add(f"{figure} p{percentile}", "ms", float(np.percentile(times, percentile)))
        self.add(f"{figure} worst", "ms", max(times))


def verify(plan: Plan, store: ModelStore, say: Say, clock: Clock = time.monotonic) -> Findings:
    """Compare, time and soak.

    Args:
        plan: what is verified, and for how long.
        store: the folder of the network, and of the compiled one for an Edge TPU.
        say: called with a sentence about each part.
        clock: seconds; replaced in tests.

    Raises:
        ModelError: when the network is not there, or was never compiled.
        BackendError: when a device does not open, or fails before the long run.
    """
    found = Findings()
    if not plan.backend.startswith("edgetpu"):
        found.not_done.append(f"no Edge TPU was used: {plan.backend} was compared with {plan.reference}")
    spec = store.spec(plan.model, "classify")
    with ExitStack() as stack:
        reference = stack.enter_context(_open(plan.reference, plan.model, store))
        batches = golden_faces(spec, reference, plan.faces)
        start = clock()
        device = stack.enter_context(closing(Device(lambda: _open(plan.backend, plan.model, store), clock)))
        found.add(f"{plan.backend} open", "ms", (clock() - start) * 1e3)
        found.add(f"{plan.backend} first face", "ms", _timed(device.backend, batches[:1], 1, clock)[0])
        say(f"comparing {len(batches)} faces on {plan.backend} and {plan.reference}")
        answers = _compare(plan, device.backend, reference, batches, found)
        for name, backend in {plan.reference: reference, plan.backend: device.backend}.items():
            say(f"timing {plan.timed} faces on {name}")
            found.percentiles(f"{name} face", _timed(backend, batches, plan.timed, clock))
        say(f"running for {plan.soak_s / 60:g} minutes on {plan.backend}")
        soak = Soak(device, clock)
        soak.run(batches, answers, plan.soak_s)
    _tell(soak, found)
    return found


def golden_faces(spec: ClassifierSpec, backend: Backend, count: int) -> list[Batch]:
    """Inputs of a classifier, the same on every machine.

    Args:
        spec: the classifier's manifest entry.
        backend: the device, which states its input.
        count: how many faces.
    """
    preprocessor, scene = Preprocessor("the network", spec.input, backend.inputs), sample_scene(_SEED)
    colour = spec.input.colour != "grey"
    faces: list[Batch] = []
    for index in range(0, scene.frames, _EVERY):
        picture = scene.render(index)
        for face in scene.truth(index):
            if face.visible and len(faces) < count:
                crop = align(picture, face.landmarks, spec.crop, spec.input.size, colour=colour)
                faces.append(preprocessor.prepare(crop))
    return faces


def _open(name: str, model: str, store: ModelStore) -> Backend:
    compiled = name.startswith("edgetpu")
    content = store.load_compiled(model, "classify") if compiled else store.load(model, "classify")
    return open_backend(name, content)


def _compare(plan: Plan, device: Backend, reference: Backend, batches: Sequence[Batch], found: Findings) -> list[Batch]:
    """Run all faces on both; the device's answers."""
    answers = [device.infer(batch)[0] for batch in batches]
    expected = [reference.infer(batch)[0] for batch in batches]
    differences = np.abs(np.stack(answers).astype(float) - np.stack(expected).astype(float))
    same = float(np.mean([a.argmax() == b.argmax() for a, b in zip(answers, expected, strict=True)]))
    found.add("golden faces", "1", len(batches))
    found.add("golden same label", "1", same)
    found.add("golden worst difference", "steps", differences.max())
    found.add("golden mean difference", "steps", differences.mean())
    if same < SAME_LABELS:
        found.failed.append(
            f"expected {plan.backend} and {plan.reference} to agree on {SAME_LABELS:.0%} of {len(batches)} faces, "
            f"found {same:.1%}"
        )
    return answers


def _timed(backend: Backend, batches: Sequence[Batch], count: int, clock: Clock) -> list[float]:
    """Times of so many inferences, milliseconds."""
    times = []
    for number in range(count):
        start = clock()
        backend.infer(batches[number % len(batches)])
        times.append((clock() - start) * 1e3)
    return times


def _tell(soak: Soak, found: Findings) -> None:
    found.add("soak faces", "1", len(soak.times))
    found.add("soak failures", "1", soak.failures)
    found.add("soak changed answers", "1", soak.changed)
    found.add("soak memory growth", "MB", soak.memory_mb)
    for name, celsius in soak.hottest.items():
        found.add(f"soak hottest {name}", "degC", celsius)
    if soak.times:
        found.percentiles("soak face", soak.times)
    if soak.failures:
        ended = "; the device was given up" if soak.gave_up else ""
        found.failed.append(f"expected no failure in the long run, found {soak.failures}{ended}: {soak.last_failure}")
    if soak.changed:
        found.failed.append(f"expected equal answers to equal faces, found {soak.changed} that changed")
