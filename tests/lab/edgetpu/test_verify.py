"""Verifying a board: what is compared, what the long run counts, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fer.bench.reference import load
from edge_fer.errors import BackendError, ModelError
from edge_fer.inference import Backend, TensorSpec, open_backend
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.edgetpu import verify as edgetpu_verify
from edge_fer.lab.edgetpu.soak import Device, Soak
from edge_fer.lab.edgetpu.verification_record import write_findings
from edge_fer.lab.edgetpu.verify import Findings, Plan, golden_faces, verify

pytestmark = pytest.mark.lab

QUICK = Plan(backend="cpu", soak_s=0.05, faces=3, timed=2)
SPEC = TensorSpec("t", (1, 4), np.dtype(np.int8), 0.1, 0)


class Ticking:
    """A clock that goes on by a second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class Shaky:
    """A device that echoes its input, but for the calls that are to go wrong."""

    name = "shaky"
    inputs, outputs = (SPEC,), (SPEC,)

    def __init__(self, script: Iterator[str]) -> None:
        self.script, self.closed = script, False

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        what = next(self.script, "fail")
        if what == "fail":
            raise BackendError("the stick is gone")
        return (inputs[0] + 1,) if what == "garbage" else (inputs[0],)

    def close(self) -> None:
        self.closed = True

    __enter__: Any = None
    __exit__: Any = None


def shaky_device(script: list[str], opens: list[bool] | None = None) -> Device:
    steps, attempts = iter(script), iter(opens or [])

    def connect() -> Backend:
        if not next(attempts, True):
            raise BackendError("not there")
        return Shaky(steps)

    return Device(connect, Ticking(), lambda _: None)


def soaked(device: Device, seconds: float = 30) -> Soak:
    batches = [np.full((1, 4), number, np.int8) for number in range(3)]
    soak = Soak(device, Ticking())
    soak.run(batches, batches, seconds)
    return soak


def test_a_device_that_never_fails_leaves_no_mark() -> None:
    soak = soaked(shaky_device(["ok"] * 100))
    assert (soak.failures, soak.changed, soak.gave_up) == (0, 0, False)
    assert len(soak.times) == 10  # each face reads the clock three times


def test_a_failure_is_counted_and_the_device_opened_again() -> None:
    device = shaky_device(["ok", "fail", "garbage"] + ["ok"] * 100, [True, False, False, True])
    first = device.backend
    soak = soaked(device)
    assert (soak.failures, soak.changed, soak.gave_up) == (1, 1, False)
    assert soak.last_failure == "the stick is gone"
    assert isinstance(first, Shaky)
    assert first.closed
    assert device.backend is not first


def test_a_device_that_does_not_come_back_is_given_up() -> None:
    soak = soaked(shaky_device(["ok", "fail"], [True] + [False] * 100), seconds=1000)
    assert (soak.failures, soak.gave_up, len(soak.times)) == (1, True, 1)


def test_a_device_that_only_ever_fails_is_given_up() -> None:
    soak = soaked(shaky_device([]), seconds=10_000)
    assert (soak.failures, soak.gave_up) == (20, True)


def test_golden_faces_are_the_same_every_time_and_differ_from_each_other() -> None:
    store = ModelStore()
    spec = store.spec("se_resnet50", "classify")
    with open_backend("fake", store.load("se_resnet50", "classify")) as backend:
        faces, again = (golden_faces(spec, backend, 4) for _ in range(2))
    assert [face.shape for face in faces] == [(1, 192, 192, 3)] * 4
    assert faces[0].dtype == np.int8
    assert all(np.array_equal(a, b) for a, b in zip(faces, again, strict=True))
    assert len({face.tobytes() for face in faces}) == 4


def test_the_cpu_agrees_with_itself_and_says_that_this_proves_nothing(tmp_path: Path) -> None:
    store = ModelStore()
    found = verify(QUICK, store, lambda _: None)
    assert found.failed == []
    assert found.not_done == ["no Edge TPU was used: cpu was compared with cpu"]
    figures = {row.figure: row.value for row in found.rows}
    assert (figures["golden faces"], figures["golden same label"], figures["golden worst difference"]) == (3, 1, 0)
    assert figures["soak faces"] > 0
    write_findings(tmp_path / "out", QUICK, store, found)
    assert [row.figure for row in load(tmp_path / "out" / "verify.csv")] == list(figures)
    facts = json.loads((tmp_path / "out" / "verify.json").read_text())
    assert (facts["compiled"], facts["not_done"]) == (None, found.not_done)
    assert facts["model"]["sha256"] == store.specs["se_resnet50"].sha256


def test_a_device_that_reads_faces_in_another_way_fails() -> None:
    found = verify(Plan(backend="fake", soak_s=0.01, faces=8, timed=1), ModelStore(), lambda _: None)
    (sentence,) = found.failed
    assert sentence.startswith("expected fake and cpu to agree on 95% of 8 faces, found")


def test_an_edge_tpu_without_a_compiled_model_is_told_how_to_get_one() -> None:
    with pytest.raises(ModelError, match=r"deploy/compile_edgetpu\.sh"):
        verify(Plan(), ModelStore(), lambda _: None)


def test_what_went_wrong_in_the_long_run_is_said() -> None:
    found = Findings()
    edgetpu_verify._tell(soaked(shaky_device(["garbage", "fail"], [True] + [False] * 100), 1000), found)
    assert found.failed == [
        "expected no failure in the long run, found 1; the device was given up: the stick is gone",
        "expected equal answers to equal faces, found 1 that changed",
    ]
