from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.errors import BackendError
from edge_fer.expression import scheduler as label
from edge_fer.expression.scheduler import Answer, Labeller, urgency
from edge_fer.status.monitor import Monitor
from edge_fer.types import LABELS, AlignedFace, Expression, Image, Quality, Track
from tests.support.records import face_at

MS = 1_000_000
GOOD = Quality(eye_distance=30, blur=0.02, yaw=0, pitch=0)


class Reader:
    """A classifier that answers when the test lets it; says happiness for bright faces, else neutral."""

    def __init__(self) -> None:
        self.asked: queue.Queue[int] = queue.Queue()
        self.answers: queue.Queue[Exception | None] = queue.Queue()

    def classify(self, face: Image) -> Expression:
        self.asked.put(int(face[0, 0]))
        error = self.answers.get(timeout=5)
        if error is not None:
            raise error
        probabilities = [0.0] * len(LABELS)
        probabilities[LABELS.index("happiness" if face.mean() > 128 else "neutral")] = 1.0
        return Expression(tuple(probabilities))


def crop_of(track: int, level: int) -> AlignedFace:
    return AlignedFace(Track(track, face_at(0, 0, 50)), np.full((224, 224), level, np.uint8), GOOD)


@contextmanager
def reading() -> Iterator[tuple[Labeller, Reader, Monitor]]:
    reader, monitor = Reader(), Monitor(60)
    labeller = Labeller(reader, monitor.stage, lambda: None)
    try:
        yield labeller, reader, monitor
    finally:
        for _ in range(20):
            reader.answers.put(None)
        labeller.stop()


def test_every_face_is_read_and_says_from_when() -> None:
    with reading() as (labeller, reader, monitor):
        labeller.offer([crop_of(1, 200), crop_of(2, 50)], 7 * MS, 7 * MS)
        assert not labeller.done
        reader.answers.put(None)
        reader.answers.put(None)
        labeller.wait()
        labels = labeller.labels()
        assert labeller.done
        assert {key: (answer.expression.label, answer.captured_ns) for key, answer in labels.items()} == {
            1: ("happiness", 7 * MS),
            2: ("neutral", 7 * MS),
        }
        assert monitor.stage_times()["classify"].count == 2


def test_a_newer_crop_takes_the_place_of_one_that_waits() -> None:
    with reading() as (labeller, reader, _):
        labeller.offer([crop_of(1, 10), crop_of(2, 20)], 0, 0)
        first = reader.asked.get(timeout=5)
        labeller.offer([crop_of(1, 11), crop_of(2, 21)], 33 * MS, 33 * MS)
        reader.answers.put(None)
        second = reader.asked.get(timeout=5)
        assert (first, second) == (10, 21), "the other one has no label yet, and its newest crop is read"
        assert labeller.labels()[1].captured_ns == 0
        reader.answers.put(None)
        assert reader.asked.get(timeout=5) == 11


def test_a_new_face_comes_before_all_others() -> None:
    with reading() as (labeller, reader, _):
        labeller.offer([crop_of(1, 10), crop_of(2, 20)], 0, 0)
        reader.answers.put(None)
        reader.answers.put(None)
        labeller.wait()
        labeller.offer([crop_of(1, 10)], 900 * MS, 900 * MS)
        assert [reader.asked.get(timeout=5) for _ in range(3)] == [10, 20, 10]
        labeller.offer([crop_of(2, 20), crop_of(3, 30)], 1000 * MS, 1000 * MS)
        reader.answers.put(None)
        assert reader.asked.get(timeout=5) == 30


def test_a_face_out_of_view_is_forgotten_only_when_told() -> None:
    with reading() as (labeller, reader, _):
        labeller.offer([crop_of(1, 10), crop_of(2, 20)], 0, 0)
        reader.answers.put(None)
        reader.answers.put(None)
        labeller.wait()
        labeller.offer([], 33 * MS, 33 * MS)
        assert set(labeller.labels()) == {1, 2}
        labeller.keep(frozenset({2}))
        assert set(labeller.labels()) == {2}


def test_what_the_device_fails_with_is_told_to_whoever_asks() -> None:
    with reading() as (labeller, reader, _):
        labeller.offer([crop_of(1, 10)], 0, 0)
        reader.answers.put(BackendError("the stick is gone"))
        with pytest.raises(BackendError, match="stick"):
            labeller.wait()
        with pytest.raises(BackendError, match="stick"):
            labeller.offer([], 0, 0)
        with pytest.raises(BackendError, match="stick"):
            labeller.labels()


def test_two_threads_read_two_faces_at_a_time_and_never_the_same_one() -> None:
    reader = Reader()
    labeller = Labeller(reader, Monitor(60).stage, lambda: None, threads=2)
    try:
        labeller.offer([crop_of(1, 10), crop_of(2, 20)], 0, 0)
        assert {reader.asked.get(timeout=5), reader.asked.get(timeout=5)} == {10, 20}
        labeller.offer([crop_of(1, 11), crop_of(2, 21), crop_of(3, 31)], 33 * MS, 33 * MS)
        reader.answers.put(None)
        assert reader.asked.get(timeout=5) == 31, "of the others one is being read, and the other comes after a new one"
        assert labeller._being_read in ({1, 3}, {2, 3}), "and nobody else asks"
        for _ in range(4):
            reader.answers.put(None)
        labeller.wait()
        assert {key: answer.captured_ns for key, answer in labeller.labels().items()} == dict.fromkeys(
            (1, 2, 3), 33 * MS
        )
    finally:
        labeller.stop()
    assert not [thread for thread in labeller._threads if thread.is_alive()]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_no_face_waits_more_than_twice_its_share(changes: list[float], period_ms: int, seed: int) -> None:
    """Faces in view all the time, read one after the other, the looks of each changing as it likes."""
    rng = np.random.default_rng(seed)
    read_at = [0.0] * len(changes)
    waits = []
    for step in range(1, 20 * len(changes)):
        now = step * period_ms
        answers = [Answer(Expression((1.0,) + (0.0,) * 6), 0, round(at * MS), GOOD) for at in read_at]
        wants = [
            urgency(answer, now * MS, change * rng.random()) for answer, change in zip(answers, changes, strict=True)
        ]
        chosen = int(np.argmax(wants))
        waits.append((now - read_at[chosen]) / period_ms)
        read_at[chosen] = now
    assert max(waits) <= 2 * len(changes)


class Counting:
    """A classifier that answers at once, and counts."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def classify(self, face: Image) -> Expression:
        self.read.append(int(face[0, 0]))
        return Expression((1.0, *[0.0] * (len(LABELS) - 1)))


@pytest.mark.parametrize(
    ("share", "read"), [(1.0, [0, 1, 2, 3, 4, 5, 6, 7, 8]), (0.5, [0, 2, 4, 6, 8]), (0.25, [0, 4, 8])]
)
def test_a_share_of_the_crops_is_read_and_the_others_keep_their_label(share: float, read: list[int]) -> None:
    reader = Counting()
    labeller = Labeller(reader, Monitor(60).stage, lambda: None, share=lambda: share)
    for frame in range(9):
        labeller.offer([crop_of(1, frame)], frame * MS, frame * MS)
        labeller.wait()
        assert labeller.labels()[1].captured_ns == max(each for each in read if each <= frame) * MS
    labeller.stop()
    assert reader.read == read


@pytest.mark.parametrize("share", [0.5, 0.25])
@pytest.mark.parametrize("faces", [2, 3, 4, 6, 8])
def test_with_a_share_every_face_has_its_turn(share: float, faces: int) -> None:
    reader = Counting()
    labeller = Labeller(reader, Monitor(60).stage, lambda: None, share=lambda: share)
    oldest, frames = 0, 40
    for frame in range(frames):
        labeller.offer([crop_of(key, frame) for key in range(faces)], frame * MS, frame * MS)
        labeller.wait()
        oldest = max(frame - answer.captured_ns // MS for answer in labeller.labels().values())
        assert oldest <= round(1 / share)
    labeller.stop()
    assert len(reader.read) == pytest.approx(frames * faces * share, abs=faces)


def test_a_new_face_is_read_however_small_the_share() -> None:
    reader = Counting()
    labeller = Labeller(reader, Monitor(60).stage, lambda: None, share=lambda: 0.25)
    for frame in range(4):
        labeller.offer([crop_of(frame, frame)], frame * MS, frame * MS)
        labeller.wait()
    labeller.stop()
    assert reader.read == [0, 1, 2, 3]


def test_a_reader_that_is_stuck_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label, "STOP_S", 0.01)
    reader = Reader()
    labeller = Labeller(reader, Monitor(60).stage, lambda: None)
    labeller.offer([crop_of(1, 5)], 0, 0)
    reader.asked.get(timeout=5)
    with pytest.raises(BackendError, match=r"expected the device to answer within 0\.01 s, found it stuck"):
        labeller.stop()
    reader.answers.put(None)


def test_waiting_for_a_stuck_reader_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label, "PATIENCE_S", 0.01)
    with reading() as (labeller, _, _):
        labeller.offer([crop_of(1, 5)], 0, 0)
        with pytest.raises(BackendError, match=r"expected a face to be read within 0\.01 s"):
            labeller.wait()
