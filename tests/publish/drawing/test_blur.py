from __future__ import annotations

import numpy as np
import pytest

from edge_fer.publish.drawing.blur import blur_heads
from edge_fer.types import Box
from tests.support.records import make_face_reading

FACE = make_face_reading()
NOISE = np.random.default_rng(0).integers(0, 255, (360, 640, 3), dtype=np.uint8)


def test_a_head_is_a_few_flat_squares_and_the_rest_as_it_was() -> None:
    NOISE.setflags(write=False)
    picture = blur_heads(NOISE, [FACE.box])
    x, y, width, height = (round(value) for value in FACE.box)
    head = picture[y - height // 3 : y + height * 5 // 4, x - width // 4 : x + width * 5 // 4]
    assert len(np.unique(head.reshape(-1, 3), axis=0)) <= 100
    assert (picture[:, 300:] == NOISE[:, 300:]).all()


@pytest.mark.parametrize(
    "box", [Box(-20, -20, 60, 60), Box(600, 330, 80, 80), Box(700, 400, 50, 50), Box(10, 10, 0.4, 0.4)]
)
def test_a_face_at_the_edge_or_beyond_is_no_fault(box: Box) -> None:
    assert blur_heads(NOISE, [box]).shape == NOISE.shape


def test_no_face_is_no_change() -> None:
    assert (blur_heads(NOISE, []) == NOISE).all()
