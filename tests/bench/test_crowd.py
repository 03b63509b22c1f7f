from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.bench.crowd import Turn, Units, growth, summarise, take_turns
from edge_fer.expression import ExpressionModel
from edge_fer.expression.classifier import open_classifier
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import load_settings
from edge_fer.types import AlignedFace, Expression, Image, Origin
from tests.support.bench_made import CROWDS, LIVE


class Reads:
    """A runtime that takes 5 ms a frame and 15 ms for each face, on a clock that it moves itself.

    Every pixel of a frame says how many faces there are.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.frames: list[int] = []

    def read(self, images: Iterable[Image]) -> Iterator[int]:
        for image in images:
            faces = int(image[0, 0, 0])
            self.now += 0.005 + 0.015 * faces
            self.frames.append(faces)
            yield faces


class Measured:
    """Networks that were measured on so many pictures."""

    def __init__(self) -> None:
        self.pictures = 0

    def measure(self, image: Image) -> None:
        self.pictures += 1


@given(st.floats(0.1, 100), st.floats(0, 100), st.sets(st.integers(1, 32), min_size=2, max_size=6))
def test_the_line_goes_through_crowds_that_lie_on_one(slope: float, base: float, sizes: set[int]) -> None:
    crowds = [replace(CROWDS[0], faces=faces, frame_ms=base + slope * faces) for faces in sizes]
    line = growth([*crowds, replace(CROWDS[0], faces=0, frame_ms=1e6)], [14.0, 12.0, 90.0], [1.0])
    assert line is not None, "whatever an empty frame costs: that is searched as a whole"
    assert line.slope_ms == pytest.approx(slope, abs=0.02)
    assert line.base_ms == pytest.approx(base, abs=0.2)
    assert line.worst_ms == pytest.approx(0, abs=0.01)
    assert line.at(3) == pytest.approx(base + 3 * slope, abs=0.3)
    assert (line.classify_ms, line.follow_ms) == (14.0, 1.0), "medians"


def test_a_crowd_beside_the_line_is_told() -> None:
    crowds = [replace(CROWDS[0], faces=faces, frame_ms=ms) for faces, ms in ((1, 10.0), (2, 20.0), (3, 60.0))]
    line = growth(crowds, [1.0], [1.0])
    assert line is not None
    assert (line.slope_ms, line.base_ms, line.worst_ms) == (25.0, -20.0, 10.0)


def test_one_crowd_makes_no_line() -> None:
    assert growth([CROWDS[0], replace(CROWDS[0], faces=0)], [1.0], [1.0]) is None
    assert growth([CROWDS[0], CROWDS[0]], [1.0], [1.0]) is None


def test_a_crowd_is_the_median_of_its_turns() -> None:
    crowd = summarise(4, [Turn(60.0, 4.0), Turn(90.0, 3.0), Turn(61.0, 4.0)], LIVE)
    assert (crowd.frame_ms, crowd.spread_ms, crowd.found) == (61.0, (60.0, 90.0), pytest.approx(3.67))


def test_crowds_take_turns_and_are_warmed_up_uncounted() -> None:
    runtime, units = Reads(), Measured()
    images = {faces: [np.full((4, 4, 3), faces, np.uint8)] * 3 for faces in (1, 4)}
    told: list[str] = []
    taken = take_turns(runtime, images, 2, units, lambda text, _: told.append(text), lambda: runtime.now)
    assert taken == {
        1: [Turn(pytest.approx(20.0), 1.0)] * 2,
        4: [Turn(pytest.approx(65.0), 4.0)] * 2,
    }
    assert told == ["turn 1 of 2: 1 faces", "turn 1 of 2: 4 faces", "turn 2 of 2: 1 faces", "turn 2 of 2: 4 faces"]
    assert runtime.frames == [1] * 5 + [4] * 5 + [1] * 5 + [4] * 5, "two frames lead up to three"
    assert units.pictures == 4


def test_each_network_is_measured_alone() -> None:
    ticks = count()
    settings = load_settings(environment={}, flags={"classify.backend": "fake"})
    with (
        open_classifier(settings.classify, ModelStore()) as classifier,
        Units(settings, classifier, lambda: next(ticks) / 1e3) as units,
    ):
        units.measure(np.zeros((600, 600, 3), np.uint8))
        units.measure(np.zeros((600, 600, 3), np.uint8))
    assert units.classify_ms == pytest.approx([1.0] * 10)
    assert units.follow_ms == pytest.approx([1.0] * 10)


class Model(ExpressionModel):
    """Notes the shapes of the faces that it is given."""

    size, origin = 96, Origin("model", "cpu")

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour
        self.shapes: set[tuple[int, ...]] = set()

    def classify(self, face: AlignedFace) -> Expression:
        self.shapes.add(face.image.shape)
        return Expression((1.0, *[0.0] * 6))

    def close(self) -> None:
        """It holds nothing."""


@pytest.mark.parametrize(("colour", "shape"), [(False, (96, 96)), (True, (96, 96, 3))])
def test_the_classifier_is_timed_on_a_face_as_it_takes_it(colour: bool, shape: tuple[int, ...]) -> None:
    model = Model(colour=colour)
    with Units(load_settings(environment={}), model) as units:
        units.measure(np.zeros((600, 600, 3), np.uint8))
    assert model.shapes == {shape}
