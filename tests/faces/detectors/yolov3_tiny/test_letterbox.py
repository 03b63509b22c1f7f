"""Pictures in a square, and boxes back in the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from edge_fer.faces.detectors.yolov3_tiny.letterbox import letterbox

sides = st.integers(1, 700)


@given(sides, sides)
@examples(max_examples=40, deadline=None)
def test_the_whole_picture_is_in_the_square_and_the_way_back_is_its_size(width: int, height: int) -> None:
    boxed = letterbox(np.full((height, width, 3), 200, np.uint8), 64)
    assert boxed.image.shape == (64, 64, 3)
    rows, columns, _ = np.nonzero(boxed.image == 200)
    assert (columns.min(), rows.min()) == (boxed.left, boxed.top)
    whole = np.array([[columns.min(), rows.min(), columns.max(), rows.max()]], np.float32)
    x1, y1, x2, y2 = boxed.to_picture(whole)[0].tolist()
    assert 0 <= x1 <= x2 <= width - 1
    assert 0 <= y1 <= y2 <= height - 1
    assert x2 - x1 >= (width - 1) - 2 * boxed.scale[0]
    assert y2 - y1 >= (height - 1) - 2 * boxed.scale[1]


def test_a_place_in_the_square_is_that_place_in_the_picture() -> None:
    image = np.zeros((90, 160, 3), np.uint8)
    image[40:50, 100:110] = 255
    boxed = letterbox(image, 80)
    rows, columns = np.nonzero(boxed.image[..., 0] > 200)
    place = np.array([[columns.min(), rows.min(), columns.max(), rows.max()]], np.float32)
    assert boxed.to_picture(place)[0].tolist() == pytest.approx([100, 40, 109, 49], abs=1.5)
