from __future__ import annotations

import math
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.expression.smoother import Smoother
from edge_fer.settings import SmoothSettings
from edge_fer.types import LABELS, Expression, Label, Quality, Smoothed, Why

MS = 1_000_000
GOOD = Quality(eye_distance=40.0, blur=0.025, yaw=0.0, pitch=0.0)
POOR: dict[Why, Quality] = {
    "too_small": Quality(eye_distance=2.0, blur=0.025, yaw=0.0, pitch=0.0),
    "turned_away": Quality(eye_distance=40.0, blur=0.025, yaw=-80.0, pitch=0.0),
    "blurred": Quality(eye_distance=40.0, blur=0.2, yaw=0.0, pitch=0.0),
}

LIMITS: dict[Why, str] = {
    "too_small": "min_eye_distance_px",
    "turned_away": "max_head_angle_deg",
    "blurred": "max_blur",
}
"""The setting behind each reason."""

weights = st.lists(st.floats(0.001, 1.0), min_size=len(LABELS), max_size=len(LABELS))
expressions = weights.map(lambda parts: Expression(tuple(part / sum(parts) for part in parts)))
steps_ms = st.floats(0.001, 3000.0)
crops = st.lists(st.tuples(steps_ms, expressions), min_size=1, max_size=20)


def smoother(**settings: Any) -> Smoother:
    return Smoother(SmoothSettings(**settings))


def expression(label: Label, probability: float = 0.94, abstain_below: float = 0.0) -> Expression:
    """The rest is shared by the others."""
    rest = (1 - probability) / (len(LABELS) - 1)
    return Expression(tuple(probability if name == label else rest for name in LABELS), abstain_below=abstain_below)


def smoothed(answer: Smoothed) -> tuple[float, ...]:
    assert answer.probabilities is not None
    return answer.probabilities


def run(stage: Smoother, read: list[tuple[float, Expression]], quality: Quality = GOOD) -> list[Smoothed]:
    """What is shown of one face whose crops come so many milliseconds after each other."""
    answers, now_ms = [], 0.0
    for step_ms, found in read:
        now_ms += step_ms
        answers.append(stage.smooth(1, found, round(now_ms * MS), quality))
    return answers


def test_the_first_crop_is_taken_as_it_is() -> None:
    found = expression("fear", 0.6)
    assert smoother().smooth(1, found, 0, GOOD) == Smoothed("fear", 0.6, found.probabilities, None)


def test_a_change_shows_as_the_time_constant_says() -> None:
    stage = smoother(tau_ms=200)
    stage.smooth(1, expression("neutral", 1.0), 0, GOOD)
    answer = stage.smooth(1, expression("happiness", 1.0), 200 * MS, GOOD)
    assert smoothed(answer)[LABELS.index("happiness")] == pytest.approx(1 - math.exp(-1))
    assert answer.label == "happiness"
    assert answer.confidence == pytest.approx(1 - math.exp(-1))


@given(crops)
def test_probabilities_stay_a_distribution(read: list[tuple[float, Expression]]) -> None:
    for answer in run(smoother(), read):
        assert sum(smoothed(answer)) == pytest.approx(1)
        assert all(0 <= probability <= 1 for probability in smoothed(answer))


@given(expressions, st.lists(steps_ms, min_size=1, max_size=20))
def test_what_does_not_change_stays_as_it_is(found: Expression, steps: list[float]) -> None:
    for answer in run(smoother(), [(step, found) for step in steps]):
        assert smoothed(answer) == pytest.approx(found.probabilities)
        assert answer.label == found.label


@given(expressions, expressions, st.integers(1, 2000), st.floats(0.01, 0.99))
def test_two_short_steps_are_one_long_one(before: Expression, after: Expression, whole_ms: int, part: float) -> None:
    once = run(smoother(), [(0, before), (whole_ms, after)])
    twice = run(smoother(), [(0, before), (whole_ms * part, after), (whole_ms * (1 - part), after)])
    assert smoothed(twice[-1]) == pytest.approx(smoothed(once[-1]), abs=1e-6)


@given(st.integers(1, 1000), st.floats(1, 999), st.floats(1, 1000))
def test_a_longer_time_constant_is_slower(step_ms: int, tau_ms: float, longer_ms: float) -> None:
    change = [(0.0, expression("neutral")), (float(step_ms), expression("anger"))]
    fast, slow = (run(smoother(tau_ms=tau), change)[-1] for tau in (tau_ms, tau_ms + longer_ms))
    assert smoothed(slow)[LABELS.index("anger")] <= smoothed(fast)[LABELS.index("anger")]


@given(crops, st.floats(0, 0.5))
def test_a_label_is_only_shown_once_it_led_and_leaves_when_it_is_far_behind(
    read: list[tuple[float, Expression]], margin: float
) -> None:
    led: set[Label] = set()
    for answer in run(smoother(margin=margin), read):
        average = Expression(smoothed(answer))
        led.add(average.label)
        assert answer.label in led
        assert average.confidence - answer.confidence <= margin
        assert answer.confidence == smoothed(answer)[LABELS.index(answer.label)]


def test_a_label_stays_until_another_leads_by_the_margin() -> None:
    lead = Expression((0.0, 0.0, 0.0, 0.54, 0.0, 0.0, 0.46))
    more = Expression((0.0, 0.0, 0.0, 0.56, 0.0, 0.0, 0.44))
    long_ms = 9000.0
    shown = [
        answer.label
        for answer in run(smoother(margin=0.1), [(0, expression("neutral")), (long_ms, lead), (long_ms, more)])
    ]
    assert shown == ["neutral", "neutral", "happiness"]
    assert run(smoother(margin=0), [(0, expression("neutral")), (long_ms, lead)])[-1].label == "happiness"


@given(crops, st.integers(0, 500))
def test_a_crop_counts_once(read: list[tuple[float, Expression]], older_ms: int) -> None:
    stage = smoother()
    last = run(stage, read)[-1]
    captured_ns = round(sum(step for step, _ in read) * MS)
    assert stage.smooth(1, expression("disgust"), captured_ns, GOOD) == last
    assert stage.smooth(1, expression("disgust"), captured_ns - older_ms * MS, GOOD) == last
    assert stage.smooth(1, read[-1][1], captured_ns, GOOD) == last


def test_faces_do_not_mix() -> None:
    stage = smoother()
    for step in range(5):
        assert stage.smooth(1, expression("anger"), step * 33 * MS, GOOD).label == "anger"
        assert stage.smooth(2, expression("fear"), step * 33 * MS, GOOD).label == "fear"


@pytest.mark.parametrize("why", list(POOR))
def test_poor_crops_show_no_label_and_leave_no_trace(why: Why) -> None:
    good = [(0.0, expression("anger")), (33.0, expression("anger"))]
    stage = smoother()
    first = stage.smooth(1, expression("fear"), 0, POOR[why])
    assert (first.label, first.why, first.confidence) == (None, why, 0.94)
    assert smoothed(first) == expression("fear").probabilities
    before = run(stage, good)[-1]
    during = stage.smooth(1, expression("fear"), 66 * MS, POOR[why])
    assert (during.label, during.why, during.probabilities) == (None, why, before.probabilities)
    assert (
        stage.smooth(1, expression("anger"), 99 * MS, GOOD) == run(smoother(), [*good, (66.0, expression("anger"))])[-1]
    )


@pytest.mark.parametrize("why", list(POOR))
def test_every_reason_can_be_switched_off_and_moved(why: Why) -> None:
    assert smoother(**{LIMITS[why]: None}).smooth(1, expression("fear"), 0, POOR[why]).label == "fear"
    limit = {"too_small": 2.0, "turned_away": 80.0, "blurred": 0.2}[why]
    assert smoother(**{LIMITS[why]: limit}).smooth(1, expression("fear"), 0, POOR[why]).label == "fear"


@pytest.mark.parametrize(("yaw", "pitch"), [(50, 0), (-50, 0), (0, 50), (0, -50)])
def test_a_head_may_be_turned_away_in_any_direction(yaw: float, pitch: float) -> None:
    assert smoother().smooth(1, expression("fear"), 0, replace(GOOD, yaw=yaw, pitch=pitch)).why == "turned_away"
    assert smoother().smooth(1, expression("fear"), 0, replace(GOOD, yaw=yaw / 2, pitch=pitch / 2)).label == "fear"


def test_the_first_reason_is_given() -> None:
    everything = Quality(eye_distance=2.0, blur=0.2, yaw=80.0, pitch=0.0)
    off: dict[str, None] = {}
    for why in list(POOR):
        assert smoother(**off).smooth(1, expression("fear", 0.2), 0, everything).why == why
        off[LIMITS[why]] = None
    assert smoother(**off).smooth(1, expression("fear", 0.2, 0.5), 0, everything).why == "unsure"


@pytest.mark.parametrize(("model", "setting", "shown"), [(0.5, None, False), (0.3, None, True), (0.5, 0.3, True),
                                                         (0.3, 0.5, False), (1.0, 0.0, True)])  # fmt: skip
def test_the_setting_wins_over_the_models_threshold(model: float, setting: float | None, shown: bool) -> None:
    answer = smoother(min_confidence=setting).smooth(1, expression("fear", 0.4, model), 0, GOOD)
    assert answer.label == ("fear" if shown else None)
    assert answer.why == (None if shown else "unsure")
    assert answer.confidence == pytest.approx(0.4)


def test_a_guess_counts_in_the_average() -> None:
    stage = smoother()
    assert stage.smooth(1, expression("fear", 0.4, 0.5), 0, GOOD).why == "unsure"
    later = stage.smooth(1, expression("fear", 0.9, 0.5), 100 * MS, GOOD)
    assert 0.4 < later.confidence < 0.9


def test_a_guess_is_what_whoever_read_the_face_last_calls_so() -> None:
    """The model on the CPU that stands in for an Edge TPU has a threshold of its own."""
    stage = smoother()
    for time_ms, (threshold, label) in enumerate([(0.5, "fear"), (0.7, None), (0.5, "fear")]):
        assert stage.smooth(1, expression("fear", 0.6, threshold), time_ms * MS, GOOD).label == label


def test_switched_off_every_frame_is_read_for_itself() -> None:
    stage = smoother(enabled=False)
    assert stage.smooth(1, expression("fear"), 0, GOOD) == Smoothed("fear", 0.94, None, None)
    assert stage.smooth(1, expression("anger"), 1, GOOD) == Smoothed("anger", 0.94, None, None)
    assert stage.smooth(1, expression("anger", 0.4, 0.5), 2, GOOD) == Smoothed(None, 0.4, None, "unsure")
    assert stage.smooth(1, expression("anger"), 3, POOR["blurred"]).why == "blurred"


def test_tracks_that_ended_are_forgotten() -> None:
    stage, sizes = smoother(), []
    for key in range(1, 2001):
        stage.smooth(key, expression("fear"), key * 33 * MS, GOOD)
        sizes.append(len(pickle.dumps(stage)))
    assert sizes[-1] == pytest.approx(sizes[400], rel=0.05), "after ten seconds of new faces its state grows no more"
    assert sizes[200] < 0.8 * sizes[400]
