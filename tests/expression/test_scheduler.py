from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.errors import BackendError
from edge_fer.expression import ExpressionModel
from edge_fer.expression.scheduler import Classification, ClassificationScheduler, priority
from edge_fer.status.monitor import Monitor
from edge_fer.types import LABELS, AlignedFace, Expression, Origin, Quality, Track
from tests.support.records import face_at
from tests.support.waiting import wait_until

MS = 1_000_000
GOOD = Quality(eye_distance=30, blur=0.02, yaw=0, pitch=0)


class Model(ExpressionModel):
    """A model of nothing; notes which tracks it shall forget."""

    origin = Origin("model", "cpu")

    def __init__(self, parallel: int = 1) -> None:
        self.parallel = parallel
        self.forgotten: list[frozenset[int]] = []

    def forget(self, ids: frozenset[int]) -> None:
        self.forgotten.append(ids)

    def close(self) -> None:
        """It holds nothing."""


class Reader(Model):
    """Answers when the test lets it; says happiness for bright faces, else neutral."""

    def __init__(self, parallel: int = 1) -> None:
        super().__init__(parallel)
        self.asked: queue.Queue[int] = queue.Queue()
        self.answers: queue.Queue[Exception | None] = queue.Queue()

    def classify(self, face: AlignedFace) -> Expression:
        self.asked.put(int(face.image[0, 0]))
        error = self.answers.get(timeout=5)
        if error is not None:
            raise error
        probabilities = [0.0] * len(LABELS)
        probabilities[LABELS.index("happiness" if face.image.mean() > 128 else "neutral")] = 1.0
        return Expression(tuple(probabilities))


def crop_of(track: int, level: int, at_ms: int = 0) -> AlignedFace:
    image = np.full((224, 224), level, np.uint8)
    return AlignedFace(Track(track, face_at(0, 0, 50)), image, GOOD, at_ms * MS, at_ms * MS)


def scheduler_of(model: ExpressionModel, **more: Any) -> ClassificationScheduler:
    return ClassificationScheduler(model, Monitor(60).stage, threading.Event(), **more)


@contextmanager
def reading(**more: Any) -> Iterator[tuple[ClassificationScheduler, Reader, Monitor]]:
    reader, monitor = Reader(), Monitor(60)
    scheduler = ClassificationScheduler(reader, monitor.stage, threading.Event(), **more)
    try:
        yield scheduler, reader, monitor
    finally:
        for _ in range(20):
            reader.answers.put(None)
        scheduler.stop()


def test_every_face_is_read_and_says_from_when() -> None:
    with reading() as (scheduler, reader, monitor):
        scheduler.offer([crop_of(1, 200, 7), crop_of(2, 50, 7)])
        assert not scheduler.done
        reader.answers.put(None)
        reader.answers.put(None)
        scheduler.wait()
        labels = scheduler.classifications()
        assert scheduler.done
        assert {key: (answer.expression.label, answer.captured_ns) for key, answer in labels.items()} == {
            1: ("happiness", 7 * MS),
            2: ("neutral", 7 * MS),
        }
        assert monitor.stage_times()["classify"].count == 2


def test_a_newer_crop_takes_the_place_of_one_that_waits() -> None:
    with reading() as (scheduler, reader, _):
        scheduler.offer([crop_of(1, 10), crop_of(2, 20)])
        first = reader.asked.get(timeout=5)
        scheduler.offer([crop_of(1, 11, 33), crop_of(2, 21, 33)])
        reader.answers.put(None)
        second = reader.asked.get(timeout=5)
        assert (first, second) == (10, 21), "the other one has no label yet, and its newest crop is read"
        assert scheduler.classifications()[1].captured_ns == 0
        reader.answers.put(None)
        assert reader.asked.get(timeout=5) == 11


def test_a_new_face_comes_before_all_others() -> None:
    with reading() as (scheduler, reader, _):
        scheduler.offer([crop_of(1, 10), crop_of(2, 20)])
        reader.answers.put(None)
        reader.answers.put(None)
        scheduler.wait()
        scheduler.offer([crop_of(1, 10, 900)])
        assert [reader.asked.get(timeout=5) for _ in range(3)] == [10, 20, 10]
        scheduler.offer([crop_of(2, 20, 1000), crop_of(3, 30, 1000)])
        reader.answers.put(None)
        assert reader.asked.get(timeout=5) == 30


def test_a_face_out_of_view_is_forgotten_only_when_told() -> None:
    with reading() as (scheduler, reader, _):
        scheduler.offer([crop_of(1, 10), crop_of(2, 20)])
        reader.answers.put(None)
        reader.answers.put(None)
        scheduler.wait()
        scheduler.offer([])
        assert set(scheduler.classifications()) == {1, 2}
        scheduler.keep(frozenset({2}))
        assert set(scheduler.classifications()) == {2}


def test_a_face_that_ends_while_it_is_read_is_forgotten_once_more_by_the_model() -> None:
    """Else what the model remembers of that last answer would stay for good."""
    with reading() as (scheduler, reader, _):
        scheduler.offer([crop_of(1, 10)])
        assert reader.asked.get(timeout=5) == 10
        scheduler.keep(frozenset())
        assert reader.forgotten == [frozenset({1})]
        reader.answers.put(None)
        wait_until(lambda: reader.forgotten == [frozenset({1})] * 2)
        assert scheduler.classifications() == {}


def test_what_the_device_fails_with_is_told_to_whoever_asks() -> None:
    with reading() as (scheduler, reader, _):
        scheduler.offer([crop_of(1, 10)])
        reader.answers.put(BackendError("the stick is gone"))
        with pytest.raises(BackendError, match="stick"):
            scheduler.wait()
        with pytest.raises(BackendError, match="stick"):
            scheduler.offer([])
        with pytest.raises(BackendError, match="stick"):
            scheduler.classifications()


def test_two_threads_read_two_faces_at_a_time_and_never_the_same_one() -> None:
    reader = Reader(parallel=2)
    scheduler = scheduler_of(reader)
    try:
        scheduler.offer([crop_of(1, 10), crop_of(2, 20)])
        assert {reader.asked.get(timeout=5), reader.asked.get(timeout=5)} == {10, 20}
        scheduler.offer([crop_of(1, 11, 33), crop_of(2, 21, 33), crop_of(3, 31, 33)])
        reader.answers.put(None)
        assert reader.asked.get(timeout=5) == 31, "of the others one is being read, and the other comes after a new one"
        assert scheduler._in_progress in ({1, 3}, {2, 3}), "and nobody else asks"
        for _ in range(4):
            reader.answers.put(None)
        scheduler.wait()
        assert {key: answer.captured_ns for key, answer in scheduler.classifications().items()} == dict.fromkeys(
            (1, 2, 3), 33 * MS
        )
    finally:
        scheduler.stop()
    assert not [thread for thread in scheduler._threads if thread.is_alive()]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_no_face_waits_more_than_twice_its_share(changes: list[float], period_ms: int, seed: int) -> None:
    """Faces in view all the time, read one after the other, the crop of each changing as it likes."""
    rng = np.random.default_rng(seed)
    read_at = [0.0] * len(changes)
    waits = []
    for step in range(1, 20 * len(changes)):
        now = step * period_ms
        answers = [Classification(Expression((1.0,) + (0.0,) * 6), 0, round(at * MS), GOOD) for at in read_at]
        wants = [
            priority(answer, now * MS, change * rng.random()) for answer, change in zip(answers, changes, strict=True)
        ]
        chosen = int(np.argmax(wants))
        waits.append((now - read_at[chosen]) / period_ms)
        read_at[chosen] = now
    assert max(waits) <= 2 * len(changes)


class Counting(Model):
    """Answers at once, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    def classify(self, face: AlignedFace) -> Expression:
        self.read.append(int(face.image[0, 0]))
        return Expression((1.0, *[0.0] * (len(LABELS) - 1)))


@pytest.mark.parametrize(
    ("share", "read"), [(1.0, [0, 1, 2, 3, 4, 5, 6, 7, 8]), (0.5, [0, 2, 4, 6, 8]), (0.25, [0, 4, 8])]
)
def test_a_part_of_the_crops_is_read_and_the_others_keep_their_label(share: float, read: list[int]) -> None:
    reader = Counting()
    scheduler = scheduler_of(reader, duty_cycle=lambda: share)
    for frame in range(9):
        scheduler.offer([crop_of(1, frame, frame)])
        scheduler.wait()
        assert scheduler.classifications()[1].captured_ns == max(each for each in read if each <= frame) * MS
    scheduler.stop()
    assert reader.read == read


@pytest.mark.parametrize("share", [0.5, 0.25])
@pytest.mark.parametrize("faces", [2, 3, 4, 6, 8])
def test_with_a_duty_cycle_every_face_has_its_turn(share: float, faces: int) -> None:
    reader = Counting()
    scheduler = scheduler_of(reader, duty_cycle=lambda: share)
    oldest, frames = 0, 40
    for frame in range(frames):
        scheduler.offer([crop_of(key, frame, frame) for key in range(faces)])
        scheduler.wait()
        oldest = max(frame - answer.captured_ns // MS for answer in scheduler.classifications().values())
        assert oldest <= round(1 / share)
    scheduler.stop()
    assert len(reader.read) == pytest.approx(frames * faces * share, abs=faces)


def test_a_new_face_is_read_however_small_the_duty_cycle() -> None:
    reader = Counting()
    scheduler = scheduler_of(reader, duty_cycle=lambda: 0.25)
    for frame in range(4):
        scheduler.offer([crop_of(frame, frame, frame)])
        scheduler.wait()
    scheduler.stop()
    assert reader.read == [0, 1, 2, 3]


def test_a_model_that_is_stuck_is_told() -> None:
    reader = Reader()
    scheduler = scheduler_of(reader, stop_s=0.01)
    scheduler.offer([crop_of(1, 5)])
    reader.asked.get(timeout=5)
    with pytest.raises(BackendError, match=r"expected the device to answer within 0\.01 s, found it stuck"):
        scheduler.stop()
    reader.answers.put(None)


def test_waiting_for_a_stuck_model_ends() -> None:
    with reading(patience_s=0.01) as (scheduler, _, _):
        scheduler.offer([crop_of(1, 5)])
        with pytest.raises(BackendError, match=r"expected a face to be read within 0\.01 s"):
            scheduler.wait()


def test_whoever_waits_is_woken_when_all_is_classified_and_when_it_fails() -> None:
    wake_up, reader = threading.Event(), Reader()
    scheduler = ClassificationScheduler(reader, Monitor(60).stage, wake_up)
    scheduler.offer([crop_of(1, 5), crop_of(2, 6)])
    reader.answers.put(None)
    assert [reader.asked.get(timeout=5) for _ in range(2)] == [5, 6]
    assert not wake_up.is_set(), "one is still to come"
    reader.answers.put(None)
    assert wake_up.wait(5)
    wake_up.clear()
    scheduler.offer([crop_of(1, 7)])
    reader.answers.put(BackendError("the stick is gone"))
    assert wake_up.wait(5)
    scheduler.stop()


def test_a_model_is_told_which_tracks_have_ended() -> None:
    with reading() as (scheduler, reader, _):
        for _ in range(2):
            reader.answers.put(None)
        scheduler.offer([crop_of(1, 10), crop_of(2, 20)])
        scheduler.wait()
        scheduler.keep(frozenset({2}))
        scheduler.keep(frozenset({2}))
        assert reader.forgotten == [frozenset({1})]
