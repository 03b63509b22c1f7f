"""Agreement with the published pipeline: what moves, and what is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from edge_fer.lab.console import silent
from edge_fer.lab.datasets.dataset import hard
from edge_fer.lab.datasets.pasting import LARGEST, SMALLEST
from edge_fer.lab.realtime import agreement
from edge_fer.settings import load_settings
from edge_fer.types import LABELS, Expression, Frame, Image


class Read:
    """Stands for a face of a reading, or for the face that a box belongs to."""

    def __init__(self, side: float, label: str) -> None:
        self.box = type("B", (), {"width": side, "height": side})
        self.probabilities = {name: float(name == label) for name in LABELS}


def sure(label: str) -> Expression:
    return Expression(tuple(float(name == label) for name in LABELS))


class PlainOf:
    """A plain pipeline that says what it is told to, frame after frame."""

    def __init__(self, says: list[str | None]) -> None:
        self._says: Iterator[str | None] = iter(says)

    def __enter__(self) -> PlainOf:
        return self

    def __exit__(self, *_: object) -> None: ...

    def process(self, image: Image) -> Any:
        label = next(self._says)
        return () if label is None else ((Read(10, "neutral"), sure("anger")), (Read(40, label), sure(label)))


class RuntimeOf(PlainOf):
    """The same of the runtime."""

    def read(self, frames: Iterable[Frame]) -> Iterator[Any]:
        for _ in frames:
            label = next(self._says)
            yield type("R", (), {"faces": () if label is None else (Read(10, "anger"), Read(40, label))})


def test_labels_of_the_largest_face_are_compared_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    happy, sad = "happiness", "sadness"
    monkeypatch.setattr(agreement, "Plain", lambda: PlainOf([happy, happy, sad, None, happy]))
    monkeypatch.setattr(agreement, "Recognizer", lambda *_: RuntimeOf([happy, sad, sad, happy, None]))
    faces = hard("x", np.full((1, 48, 48), 90, np.uint8), np.array([3]), np.zeros(1, np.uint8), {})
    (row,) = agreement.compare(load_settings(environment={}), faces, each=4, frames=5, progress=silent)
    assert row == agreement.Agreement(
        happy, 1, 5, both=3, agreed=2, plain_right=2, right=1, pairs=2, kept=1, own_pairs=3, own_kept=1
    )


def test_a_face_moves_evenly_and_stays_in_the_picture() -> None:
    face = np.full((48, 48), 255, np.uint8)
    face[0, 0] = 0  # so that the wall is not quite as bright
    for seed in range(40):
        frames = list(agreement.moving(face, seed, 8))
        spans = []
        for frame in frames:
            assert frame.shape == (600, 600, 3)
            rows, columns = np.nonzero(frame[..., 0] == 255)
            spans.append((columns.min(), rows.min(), columns.max(), rows.max()))
        lefts, tops, rights, bottoms = np.array(spans).T
        assert min(lefts.min(), tops.min()) >= 0
        assert max(rights.max(), bottoms.max()) <= 599
        sides = rights - lefts
        assert sides.min() >= SMALLEST * 0.85
        assert sides.max() <= LARGEST * 1.08
        assert np.abs(np.diff(lefts, n=2)).max() <= 2, "an even motion, to a pixel's rounding"
    assert not np.array_equal(frames[0], frames[-1])


def test_a_face_that_stands_differs_from_frame_to_frame_by_noise_alone() -> None:
    face = np.full((48, 48), 120, np.uint8)
    first, second = (frame.astype(float) for frame in agreement.standing(face, 3, 2))
    difference = second - first
    assert abs(difference.mean()) < 0.05
    assert difference.std() == pytest.approx(3.0 * 2**0.5, rel=0.03)


def test_each_face_is_a_scene_of_its_own() -> None:
    clock = agreement._Clock()
    pictures = [np.zeros((4, 4, 3), np.uint8)] * 2
    first, second = list(clock.frames(pictures)), list(clock.frames(pictures))
    assert [frame.id for frame in first + second] == [1, 2, 3, 4]
    assert second[0].scene_ns - first[1].scene_ns > 5e9
    assert first[1].scene_ns - first[0].scene_ns == round(1e9 / 30)
