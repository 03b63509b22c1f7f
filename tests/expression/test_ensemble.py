"""Several models that read each face together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from edge_fer.errors import BackendError, ModelError
from edge_fer.expression import ExpressionModel
from edge_fer.expression.ensemble import Ensemble, combine
from edge_fer.inference.manifest import EnsembleMember, EnsembleSpec
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.types import AlignedFace, Expression, Origin

CROP = CropSpec(eye_distance=0.3, eye_y=0.37, detail=64)
SURE, UNSURE = (0.7, 0.1, 0.05, 0.05, 0.04, 0.03, 0.03), (0.1, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1)
Device = Any


class Member(ExpressionModel):
    """Answers with given probabilities, on a device whose state a test decides."""

    def __init__(
        self, name: str, row: tuple[float, ...], *, size: int = 8, colour: bool = False, crop: CropSpec = CROP,
        devices: int = 0,
    ) -> None:  # fmt: skip
        self.name, self.row, self.size, self.colour, self.crop = name, row, size, colour, crop
        self.devices: Any = tuple(SimpleNamespace(reason=None) for _ in range(devices))
        self.parallel = max(devices, 1)
        self.seen: list[tuple[int, ...]] = []
        self.fail: Exception | None = None
        self.forgotten: frozenset[int] = frozenset()
        self.closed = False
        self.meet: Callable[[], object] = lambda: None

    @property
    def origin(self) -> Origin:
        reasons = [device.reason for device in self.devices]
        here = next((place for place, reason in enumerate(reasons) if reason is None), None)
        backend = "cpu" if here is None else f"tpu:{self.name}:{here}"
        return Origin(self.name, backend, next(filter(None, reasons), None))

    def classify(self, face: AlignedFace) -> Expression:
        self.meet()
        self.seen.append(face.image.shape)
        if self.fail is not None:
            raise self.fail
        return Expression(self.row, self.origin, abstain_below=0.3)

    def forget(self, ids: frozenset[int]) -> None:
        self.forgotten |= ids

    def close(self) -> None:
        self.closed = True


def ensemble(*members: Member, hot: Callable[[], bool] = lambda: False, **spec: Any) -> Ensemble:
    weights = spec.pop("weights", [1 / len(members)] * len(members))
    listed = tuple(EnsembleMember(name=one.name, weight=weight) for one, weight in zip(members, weights, strict=True))
    entry = EnsembleSpec(task="ensemble", members=listed, source="", licence="", card="x", abstain_below=0.5, **spec)
    return Ensemble("both", entry, members, hot)


def blank(model: ExpressionModel) -> AlignedFace:
    return model.blank_face


rows = st.lists(st.floats(0.01, 1), min_size=7, max_size=7).map(lambda row: tuple(np.array(row) / sum(row)))


@examples(max_examples=20)
@given(rows)
def test_one_member_is_the_ensemble_exactly(row: tuple[float, ...]) -> None:
    alone = ensemble(Member("one", row))
    assert alone.classify(blank(alone)).probabilities == row


@examples(max_examples=30)
@given(rows, rows, st.floats(0.05, 0.95), st.floats(0.2, 3))
def test_weights_of_the_same_member_add_up(first: Any, second: Any, weight: float, temperature: float) -> None:
    half = weight / 2
    twice = combine([first, first, second], [half, half, 1 - weight], temperature)
    np.testing.assert_allclose(twice, combine([first, second], [weight, 1 - weight], temperature), atol=1e-12)
    assert twice.sum() == pytest.approx(1)


def test_the_mean_is_weighted_and_at_a_temperature() -> None:
    both = ensemble(Member("one", SURE), Member("two", UNSURE), weights=[0.75, 0.25], temperature=0.5)
    expression = both.classify(blank(both))
    mean = 0.75 * np.array(SURE) + 0.25 * np.array(UNSURE)
    np.testing.assert_allclose(expression.probabilities, mean**2 / (mean**2).sum())
    assert (expression.origin, expression.abstain_below) == (Origin("both", "cpu"), 0.5)


def test_each_member_gets_the_face_as_it_takes_it() -> None:
    members = Member("large", SURE, size=16, colour=True), Member("small", UNSURE, size=8)
    both = ensemble(*members)
    assert (both.size, both.colour, both.crop) == (16, True, CROP)
    both.classify(blank(both))
    assert [member.seen for member in members] == [[(16, 16, 3)], [(8, 8)]]


def test_members_that_are_cut_out_differently_are_one_clear_line() -> None:
    other = CROP.model_copy(update={"eye_y": 0.4})
    with pytest.raises(ModelError, match=r"^`both`: expected members .* `one` with eye_distance=0.3 .*; leave one out"):
        ensemble(Member("one", SURE), Member("two", UNSURE, crop=other))


def test_a_member_that_is_away_shares_out_its_weight_and_comes_back() -> None:
    members = [Member(name, row, devices=1) for name, row in (("a", SURE), ("b", UNSURE), ("c", UNSURE[::-1]))]
    three = ensemble(*members, weights=[0.5, 0.3, 0.2])
    assert three.origin == Origin("both", "tpu:a:0+tpu:b:0+tpu:c:0")
    members[1].devices[0].reason = "it crashed"
    expression = three.classify(blank(three))
    np.testing.assert_allclose(expression.probabilities, combine([SURE, UNSURE[::-1]], [0.5, 0.2], 1))
    assert expression.origin == three.origin == Origin("both", "tpu:a:0+tpu:c:0", "`b` is left out: it crashed")
    assert members[1].seen == []
    members[1].devices[0].reason = None
    assert three.classify(blank(three)).origin == Origin("both", "tpu:a:0+tpu:b:0+tpu:c:0")


def test_the_last_member_reads_alone_as_itself() -> None:
    members = [Member("a", SURE, devices=1), Member("b", UNSURE, devices=1)]
    both = ensemble(*members, temperature=0.5)
    members[0].devices[0].reason = "it crashed"
    expression = both.classify(blank(both))
    assert (expression.probabilities, expression.abstain_below) == (UNSURE, 0.3)
    assert expression.origin == Origin("b", "tpu:b:0", "`a` is left out: it crashed")


def test_without_any_device_the_best_member_reads_on_the_processor() -> None:
    members = [Member("a", SURE, devices=1), Member("b", UNSURE, devices=1)]
    both = ensemble(*members)
    for member in members:
        member.devices[0].reason = f"{member.name} crashed"
    assert both.classify(blank(both)).origin == both.origin == Origin("a", "cpu", "a crashed")


def test_a_device_beside_others_of_the_same_member_is_missed_but_not_the_member() -> None:
    members = [Member("a", SURE, devices=2), Member("b", UNSURE, devices=1)]
    both = ensemble(*members)
    assert both.parallel == 1
    members[0].devices[0].reason = "it crashed"
    assert both.classify(blank(both)).origin == Origin("both", "tpu:a:1+tpu:b:0", "it crashed")


def test_only_the_best_member_reads_while_the_machine_is_hot() -> None:
    hot = [True]
    members = [Member("a", SURE), Member("b", UNSURE)]
    both = ensemble(*members, hot=lambda: hot[0], weights=[0.2, 0.8])
    expected = Origin("a", "cpu", "only `a` reads faces while the machine is hot")
    expression = both.classify(blank(both))
    assert (expression.origin, both.origin, expression.probabilities) == (expected, expected, SURE)
    assert members[1].seen == []
    hot[0] = False
    assert both.classify(blank(both)).origin == both.origin == Origin("both", "cpu")


def test_while_it_is_hot_the_best_member_that_is_there_reads() -> None:
    members = [Member(name, SURE, devices=1) for name in "abc"]
    three = ensemble(*members, hot=lambda: True)
    members[0].devices[0].reason = "it crashed"
    assert three.classify(blank(three)).origin == Origin("b", "tpu:b:0", "`a` is left out: it crashed")


def test_a_member_that_fails_at_a_face_loses_no_face() -> None:
    members = [Member("a", SURE), Member("b", UNSURE)]
    both = ensemble(*members)
    members[0].fail = BackendError("no numbers")
    expression = both.classify(blank(both))
    assert (expression.probabilities, expression.origin) == (
        UNSURE, Origin("b", "cpu", "`a` is left out: no numbers")
    )  # fmt: skip
    members[1].fail = BackendError("no numbers either")
    with pytest.raises(BackendError, match=r"no numbers$"):
        both.classify(blank(both))


@pytest.mark.parametrize("place", [0, 1])
def test_a_fault_of_the_program_is_not_swallowed_in_any_lane(place: int) -> None:
    members = [Member("a", SURE, devices=1), Member("b", UNSURE, devices=1)]
    members[place].fail = ZeroDivisionError()
    both = ensemble(*members)
    with pytest.raises(ZeroDivisionError):
        both.classify(blank(both))


def test_members_with_devices_of_their_own_read_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=20)
    members = [Member("a", SURE, devices=1), Member("b", UNSURE, devices=1)]
    for member in members:
        member.meet = meeting.wait  # raises BrokenBarrierError where only one is there
    both = ensemble(*members)
    assert both.classify(blank(both)).origin == both.origin


def test_it_forgets_and_closes_all_members_whichever_fails() -> None:
    members = [Member(name, SURE) for name in "abc"]
    three = ensemble(*members)
    three.forget(frozenset({3}))
    assert all(member.forgotten == {3} for member in members)

    def fail() -> None:
        raise BackendError("stuck")

    members[1].close = fail  # type: ignore[method-assign]
    with pytest.raises(BackendError, match="stuck"):
        three.close()
    assert members[0].closed
    assert members[2].closed
