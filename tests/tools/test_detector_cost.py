"""Faces that are written into a detector's maps are those that are decoded."""

from __future__ import annotations

import numpy as np
import pytest

from edge_fer.faces.boxes import corners_of
from edge_fer.faces.detectors.yolov3_tiny.decode import decode
from edge_fer.types import Box
from tests.inference.test_manifest_detect import parsed
from tools.field.detector_cost import plant


@pytest.mark.parametrize("box", [Box(100, 200, 12, 15), Box(30, 40, 70, 90), Box(-20, 0, 300, 300)])
def test_what_is_planted_is_found(box: Box) -> None:
    spec = parsed({})
    maps = [np.full(shape, -12.0, np.float32) for shape in spec.map_shapes]
    plant(box, maps, spec)
    found = decode(maps, spec.anchors, spec.input.size, 0.5)
    np.testing.assert_allclose(found.boxes, corners_of([box]), atol=0.5)
