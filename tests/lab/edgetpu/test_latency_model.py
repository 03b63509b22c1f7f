"""The predicted time: what it is fitted to, what it makes of it, and the errors it owns up to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from edge_fer.lab.edgetpu.check import Cost
from edge_fer.lab.edgetpu.latency_model import leave_one_out, nonnegative_least_squares, predict, table

pytestmark = pytest.mark.lab

CLASSIFIER = Cost(parameter_bytes=28_199_388, streamed_bytes=20_974_700, image_bytes=150_535, macs=1_024_584_536)


def test_enough_published_models_and_each_says_where_its_figures_come_from() -> None:
    assert len(table().models) >= 8
    assert all(model.source for model in table().models)
    assert not {model.name for model in table().models} & set(table().left_out)


def test_published_times_imply_no_faster_link_than_the_real_one() -> None:
    """USB 3.0 carries 500 MB/s: a model that needs more was not what the table says."""
    for model in table().models:
        assert model.cost.streamed_bytes / (model.usb3 / 1e3) < 500e6, model.name


@pytest.mark.parametrize("column", ["usb3", "dev_board"])
def test_errors_are_of_models_that_the_fit_has_not_seen(column: str) -> None:
    errors = np.abs(leave_one_out(column))
    assert len(errors) == len(table().models)
    prediction = next(found for found, name in zip(predict(CLASSIFIER), table().boards, strict=True) if name == column)
    assert prediction.errors.worst == errors.max()
    assert prediction.errors.median == np.median(errors)
    assert prediction.errors.worst_model == table().models[int(errors.argmax())].name
    assert 0.05 < prediction.errors.median < 0.15
    assert prediction.alike.worst < 0.15  # networks that stream, as this one does
    assert prediction.alike.models < prediction.errors.models


def test_the_classifier_takes_about_as_long_as_its_weights_take_to_arrive() -> None:
    dev_board, usb3, pi4 = (prediction.milliseconds for prediction in predict(CLASSIFIER))
    assert usb3 < dev_board < pi4
    assert_allclose([dev_board, usb3, pi4], [52, 45, 80], rtol=0.15)


def test_a_board_without_a_column_says_how_it_was_derived() -> None:
    pi4 = predict(CLASSIFIER)[2]
    assert pi4.why is not None
    assert "less certain" in pi4.why
    assert_allclose(pi4.link_mb_s, 245)


@given(st.integers(0, 10**8), st.integers(0, 10**10), st.integers(1, 10**6))
@settings(max_examples=50)
def test_more_bytes_and_more_work_never_take_less_time(streamed: int, macs: int, more: int) -> None:
    less = predict(Cost(streamed, streamed, 1000, macs))
    greater = predict(Cost(streamed + more, streamed + more, 1000, macs + more))
    assert all(b.milliseconds >= a.milliseconds > 0 for a, b in zip(less, greater, strict=True))


@given(st.lists(st.floats(0, 5), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_least_squares_find_what_made_the_data(truth: list[float], seed: int) -> None:
    rows = np.random.default_rng(seed).uniform(0.1, 1, (12, 3))
    assert_allclose(nonnegative_least_squares(rows, rows @ np.array(truth)), truth, atol=1e-6)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_least_squares_are_never_negative_and_at_their_best(seed: int) -> None:
    """The conditions of Karush, Kuhn and Tucker: no gradient where it is positive, none downhill where it is 0."""
    draw = np.random.default_rng(seed)
    rows, goal = draw.normal(size=(12, 3)), draw.normal(size=12)
    found = nonnegative_least_squares(rows, goal)
    gradient = rows.T @ (rows @ found - goal)
    assert (found >= 0).all()
    assert_allclose(gradient[found > 0], 0, atol=1e-9)
    assert (gradient[found == 0] >= -1e-9).all()
