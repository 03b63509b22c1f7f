from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_fer.expression import ExpressionModel
from edge_fer.expression.abstention import poor_picture
from edge_fer.expression.sequence import AttentionNetwork, SequenceModel, WholeTrack
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.settings import AttendSettings, SmoothSettings
from edge_fer.types import LABELS, AlignedFace, Expression, Origin, Quality, Track, TrackExpression
from tests.support.records import face_at

MS = 10**6
GOOD = Quality(eye_distance=40.0, blur=0.025, yaw=0.0, pitch=0.0)
BLURRED = replace(GOOD, blur=0.2)
HAPPY, SAD = ({label: 0.94 if label == name else 0.01 for label in LABELS} for name in ("happiness", "sadness"))


class Scripted(ExpressionModel):
    """Gives the next of its answers."""

    size, crop = 8, CropSpec(eye_distance=0.5, eye_y=0.4, detail=8)

    def __init__(self, answers: Sequence[Expression]) -> None:
        self.answers = iter(answers)
        self.forgotten: set[int] = set()
        self.is_closed = False

    @property
    def origin(self) -> Origin:
        return Origin("scripted", "cpu")

    def classify(self, face: AlignedFace) -> Expression:
        return next(self.answers)

    def forget(self, ids: frozenset[int]) -> None:
        self.forgotten |= ids

    def close(self) -> None:
        self.is_closed = True


@dataclass(frozen=True)
class Weighed:
    weights: NDArray[np.float32]
    probabilities: NDArray[np.float32]


class FirstFeature:
    """An attention network whose weight of a picture is its first feature, and whose label comes from the others."""

    def attend(self, features: NDArray[np.float32]) -> Weighed:
        assert features.dtype == np.float32
        weights = features[:, 0] / features[:, 0].sum()
        return Weighed(weights, weights @ features[:, 1:])


def answer(probabilities: dict[Any, float], weight: float | None = None, abstain_below: float = 0.5) -> Expression:
    row = tuple(probabilities[label] for label in LABELS)
    features = None if weight is None else np.array([weight, *row], np.float32)
    return Expression(row, abstain_below=abstain_below, features=features)


def picture(frame: int, at_ms: float | None = None, quality: Quality = GOOD, track: int = 7) -> AlignedFace:
    at_ns = round((frame * 33 if at_ms is None else at_ms) * MS)
    return AlignedFace(Track(track, face_at(0, 0, 50)), np.zeros((8, 8), np.uint8), quality, at_ns, at_ns, frame)


def read(
    faces: Sequence[AlignedFace],
    answers: Sequence[Expression],
    attention: AttentionNetwork | None = None,
    **changes: Any,
) -> tuple[list[TrackExpression | None], WholeTrack]:
    """What each answer of one track says of it, and what all of them say."""
    model = SequenceModel(Scripted(answers), AttendSettings(**changes), SmoothSettings(), attention, "scripted")
    tracks = [model.classify(face).track for face in faces]
    return tracks, model.whole(7)


rows = st.lists(st.floats(0.01, 1.0), min_size=7, max_size=7).map(
    lambda parts: dict(zip(LABELS, (part / sum(parts) for part in parts), strict=True))
)
pictures = st.lists(st.tuples(rows, st.floats(0.01, 1.0)), min_size=1, max_size=24)
steps = st.lists(st.floats(1, 2000), min_size=1, max_size=40)


@pytest.mark.parametrize("attention", [None, FirstFeature()])
@examples(max_examples=30)
@given(found=pictures, data=st.data())
def test_the_order_of_the_pictures_changes_nothing(
    attention: AttentionNetwork | None, found: list[tuple[dict[Any, float], float]], data: st.DataObject
) -> None:
    faces = [picture(frame) for frame in range(len(found))]
    shuffled = data.draw(st.permutations(found))
    one, other = ([answer(row, weight) for row, weight in pairs] for pairs in (found, shuffled))
    (*_, track), whole = read(faces, one, attention, frames=24)
    (*_, turned), whole_turned = read(faces, other, attention, frames=24)
    assert track is not None
    assert turned is not None
    assert turned.probabilities == pytest.approx(track.probabilities, abs=1e-5)
    assert whole.probabilities == pytest.approx(track.probabilities, abs=1e-5), "all of them are the last ones, too"
    assert whole_turned.probabilities == pytest.approx(whole.probabilities, abs=1e-5)


@pytest.mark.parametrize("attention", [None, FirstFeature()])
@examples(max_examples=30)
@given(found=pictures, most=st.integers(1, 20))
def test_weights_and_probabilities_sum_to_one(
    attention: AttentionNetwork | None, found: list[tuple[dict[Any, float], float]], most: int
) -> None:
    tracks, _ = read(
        [picture(frame) for frame in range(len(found))], [answer(*one) for one in found], attention, frames=most
    )
    for place, track in enumerate(tracks):
        assert track is not None
        assert sum(track.weights) == pytest.approx(1, abs=1e-5)
        assert sum(track.probabilities) == pytest.approx(1, abs=1e-5)
        assert len(track.weights) == len(track.frames) == min(place + 1, most)
        assert track.frames[-1] == place


@examples(max_examples=30)
@given(steps, st.integers(1, 20), st.floats(1, 5000))
def test_no_more_pictures_count_and_no_older_ones_than_the_settings_say(
    passed: list[float], most: int, span_ms: float
) -> None:
    times = np.cumsum(passed).tolist()
    faces = [picture(frame, at_ms) for frame, at_ms in enumerate(times)]
    tracks, whole = read(faces, [answer(HAPPY)] * len(faces), frames=most, span_ms=span_ms)
    for place, track in enumerate(tracks):
        assert track is not None
        newest_ns = faces[place].scene_ns
        near = [face.frame for face in faces[: place + 1] if newest_ns - face.scene_ns <= span_ms * MS]
        assert track.frames == tuple(near[-most:])
        assert track.span_ns == newest_ns - faces[track.frames[0]].scene_ns
    assert whole.frames_read == len(faces), "but all of them are of the whole track"


@examples(max_examples=30)
@given(pictures, st.integers(0, 23))
def test_the_same_picture_counts_once(found: list[tuple[dict[Any, float], float]], older: int) -> None:
    faces = [picture(frame) for frame in range(len(found))]
    answers = [answer(*one) for one in found]
    again = faces[max(len(faces) - 1 - older, 0)]
    (*_, before), whole = read(faces, answers)
    (*_, after), whole_after = read([*faces, again, faces[-1]], [*answers, answer(SAD), answer(SAD)])
    assert after == before
    assert whole_after == whole


@examples(max_examples=30)
@given(rows, st.integers(1, 16))
def test_equal_pictures_are_one_picture(row: dict[Any, float], count: int) -> None:
    """And so each of them weighs the same: a single one 1."""
    for attention in (None, FirstFeature()):
        (*_, track), _ = read([picture(frame) for frame in range(count)], [answer(row, 0.5)] * count, attention)
        assert track is not None
        assert track.weights == pytest.approx([1 / count] * count)
        assert track.probabilities == pytest.approx(tuple(row.values()), abs=1e-6)


def test_the_mean_takes_good_pictures_and_attention_takes_all() -> None:
    faces = [picture(0), picture(1, quality=BLURRED), picture(2)]
    answers = [answer(HAPPY, 0.45), answer(SAD, 0.1), answer(HAPPY, 0.45)]
    (*_, mean), whole = read(faces, answers)
    assert mean is not None
    assert (mean.frames, mean.weights) == ((0, 2), (0.5, 0.5))
    assert mean.probabilities == pytest.approx(tuple(HAPPY.values()))
    assert (whole.probabilities, whole.frames_read) == (pytest.approx(tuple(HAPPY.values())), 3)
    (*_, attended), whole = read(faces, answers, FirstFeature())
    assert attended is not None
    assert (attended.frames, attended.weights) == ((0, 1, 2), pytest.approx((0.45, 0.1, 0.45)))
    assert attended.label == whole.label == "happiness"
    assert attended.confidence == pytest.approx(0.9 * 0.94 + 0.1 * 0.01)


def test_without_a_good_picture_there_is_no_label() -> None:
    assert poor_picture(BLURRED, SmoothSettings()) == "blurred"
    faces, answers = [picture(0, quality=BLURRED), picture(1, quality=BLURRED)], [answer(HAPPY, 1.0)] * 2
    tracks, whole = read(faces, answers)
    assert tracks == [None, None]
    assert whole == WholeTrack(None, 0.0, None, frames_read=2)
    (*_, attended), whole = read(faces, answers, FirstFeature())
    assert attended is not None
    assert (attended.label, attended.confidence) == (None, pytest.approx(0.94))
    assert (whole.label, whole.confidence) == (None, pytest.approx(0.94))


def test_a_good_picture_that_is_too_old_no_longer_counts() -> None:
    faces = [picture(0, 0), picture(1, 3500, BLURRED)]
    assert read(faces, [answer(HAPPY)] * 2)[0][1] is None


@pytest.mark.parametrize(
    ("own", "limit", "label"),
    [(0.5, None, "happiness"), (0.95, None, None), (0.95, 0.9, "happiness"), (0.0, 0.95, None)],
)
def test_a_label_that_would_be_a_guess_is_withheld(own: float, limit: float | None, label: str | None) -> None:
    """By the threshold of the model, or of the settings."""
    model = SequenceModel(
        Scripted([answer(HAPPY, abstain_below=own)]), AttendSettings(), SmoothSettings(min_confidence=limit)
    )
    track = model.classify(picture(0)).track
    assert track is not None
    assert (track.label, track.confidence) == (label, 0.94)
    assert (model.whole(7).label, model.whole(7).confidence) == (label, 0.94)


def test_a_picture_without_features_has_the_others_averaged() -> None:
    """As when another network reads on the CPU while the Edge TPU is away: its features mean something else."""
    faces = [picture(0), picture(1), picture(2)]
    stand_in = replace(answer(SAD, 5.0), origin=Origin("lite", "cpu", "the stick is gone"))
    for other in (answer(SAD), stand_in):
        (*_, track), whole = read(faces, [answer(HAPPY, 0.9), other, answer(HAPPY, 0.1)], FirstFeature())
        assert track is not None
        assert track.weights == pytest.approx([1 / 3] * 3)
        assert whole.label == "happiness"


def test_a_track_that_lasts_keeps_few_pictures_evenly_spread() -> None:
    """Late ones weigh as much as early ones: of sadness in the first half and happiness in the second, half each."""
    count = 1_000
    model = SequenceModel(
        Scripted([answer(SAD if frame < count / 2 else HAPPY, 1.0) for frame in range(count)]),
        AttendSettings(),
        SmoothSettings(),
        FirstFeature(),
        "scripted",
    )
    for frame in range(count):
        model.classify(picture(frame))
        assert len(model._tracks[7].kept) < 64
    whole = model.whole(7)
    assert whole.frames_read == count
    assert whole.probabilities is not None
    by_label = dict(zip(LABELS, whole.probabilities, strict=True))
    assert by_label["happiness"] == pytest.approx(by_label["sadness"], abs=0.03)


def test_switched_off_only_the_whole_track_is_put_together() -> None:
    tracks, whole = read(
        [picture(0), picture(1)], [answer(HAPPY, 1.0), answer(SAD, 9.0)], FirstFeature(), enabled=False
    )
    assert tracks == [None, None]
    assert whole.frames_read == 2
    assert max(whole.probabilities or ()) == pytest.approx((0.94 + 0.01) / 2)


def test_faces_do_not_mix_and_are_forgotten() -> None:
    inner = Scripted([answer(HAPPY), answer(SAD), answer(SAD)])
    model = SequenceModel(inner, AttendSettings(), SmoothSettings())
    model.classify(picture(0, track=1))
    track = model.classify(picture(0, track=2)).track
    assert track is not None
    assert track.label == "sadness"
    model.forget(frozenset({1, 3}))
    assert inner.forgotten == {1, 3}
    assert model.whole(1) == WholeTrack()
    assert model.whole(2).frames_read == 1
    assert set(model._tracks) == {2}
    model.close()
    assert inner.is_closed


def test_features_stay_in_the_memory_of_the_track() -> None:
    """Where they are dropped when it ends: they are about a person."""
    model = SequenceModel(
        Scripted([answer(HAPPY, 1.0)]), AttendSettings(), SmoothSettings(), FirstFeature(), "scripted"
    )
    assert model.classify(picture(0)).features is None


def test_several_threads_may_ask() -> None:
    """As many as there are devices, each for another face at a time."""
    count = 200
    model = SequenceModel(Scripted([]), AttendSettings(), SmoothSettings(), FirstFeature(), "scripted")
    model._model.classify = lambda face: answer(HAPPY if face.track.id % 2 else SAD, 1.0)  # type: ignore[method-assign]
    labels: dict[int, set[str | None]] = {track: set() for track in range(4)}

    def ask(track: int) -> None:
        for frame in range(count):
            found = model.classify(picture(frame, track=track)).track
            labels[track].add(found.label if found is not None else None)

    threads = [threading.Thread(target=ask, args=(track,)) for track in labels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert labels == {0: {"sadness"}, 1: {"happiness"}, 2: {"sadness"}, 3: {"happiness"}}
    assert all(model.whole(track).frames_read == count for track in labels)
