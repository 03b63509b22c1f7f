"""YOLOv3-tiny's loss: what it encodes the runtime decodes, and faces without label teach nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fer.faces.boxes import overlap
from edge_fer.faces.detectors.yolov3_tiny.decode import decode, find_best
from edge_fer.inference.manifest_detect import STRIDES
from edge_fer.lab.datasets.detection.pictures import UNLABELLED, labelled_picture
from edge_fer.lab.training.anchors import fit_anchors, mean_best_iou
from edge_fer.lab.training.detection_loss import Faces, detection_loss, encode, faces_of
from tests.lab.support.detector import SIDE, tiny_detector

pytestmark = pytest.mark.lab

_IMAGE = np.zeros((SIDE, SIDE, 3), np.uint8)
_ANCHORS = tiny_detector().anchors


def _faces(boxes: list[tuple[float, ...]], labels: list[int]) -> Faces:
    return faces_of([labelled_picture(_IMAGE, boxes, labels)])


def _maps(value: float = 0.0) -> list[torch.Tensor]:
    return [torch.full((1, 36, SIDE // stride, SIDE // stride), value, requires_grad=True) for stride in STRIDES]


@settings(max_examples=60)
@given(
    middle=st.tuples(st.floats(1, SIDE - 1), st.floats(1, SIDE - 1)),
    size=st.tuples(st.floats(2, 60), st.floats(2, 60)),
    label=st.integers(0, 6),
)
def test_the_runtime_decodes_what_is_encoded(
    middle: tuple[float, float], size: tuple[float, float], label: int
) -> None:
    box = (middle[0] - size[0] / 2, middle[1] - size[1] / 2, middle[0] + size[0] / 2, middle[1] + size[1] / 2)
    found = decode(encode(_faces([box], [label]), _ANCHORS, SIDE, STRIDES), _ANCHORS, SIDE, 0.5)
    assert len(found) == 1
    assert found.boxes[0] == pytest.approx(box, abs=0.01)
    assert found.logits[0].argmax() == label
    assert found.objectness[0] > 0.99


def test_the_loss_of_what_is_encoded_is_nothing_and_that_of_nothing_is_not() -> None:
    faces = _faces([(4, 6, 20, 28), (30, 30, 60, 62)], [0, 5])
    right = [torch.from_numpy(one).permute(0, 3, 1, 2) for one in encode(faces, _ANCHORS, SIDE, STRIDES)]
    assert detection_loss(right, faces, _ANCHORS, SIDE).total < 1e-3
    assert detection_loss(_maps(), faces, _ANCHORS, SIDE).total > 1


def test_a_face_without_label_has_no_gradient() -> None:
    maps = _maps(0.3)
    detection_loss(maps, _faces([(0, 0, SIDE, SIDE)], [UNLABELLED]), _ANCHORS, SIDE).total.backward()
    for values in maps:
        assert values.grad is not None
        assert not values.grad.any()


def test_beside_a_face_without_label_there_is_background() -> None:
    maps = _maps(0.3)
    detection_loss(maps, _faces([(0, 0, 31, 31)], [UNLABELLED]), _ANCHORS, SIDE).total.backward()
    gradient = maps[0].grad
    assert gradient is not None
    objectness = gradient.reshape(3, 12, 4, 4)[:, 4]
    assert not objectness[:, :2, :2].any()
    assert (objectness[:, 2:, 2:] > 0).all()


def test_a_labelled_face_in_front_of_one_without_is_still_learned() -> None:
    maps = _maps(0.3)
    faces = _faces([(0, 0, SIDE, SIDE), (20, 20, 30, 32)], [UNLABELLED, 2])
    detection_loss(maps, faces, _ANCHORS, SIDE).total.backward()
    assert sum(int((values.grad != 0).any()) for values in maps if values.grad is not None) == 1


def test_a_box_that_found_the_face_from_another_cell_is_no_background() -> None:
    """Two anchors give the same box; only one belongs to the face, and the other is left alone."""
    faces = _faces([(8, 8, 20, 23)], [0])
    fine, coarse = encode(faces, _ANCHORS, SIDE, STRIDES)
    ((row,), (column,), (anchor,)) = np.nonzero(fine.reshape(4, 4, 3, 12)[..., 4] > 0)
    other = (anchor + 1) % 3
    cells = fine.reshape(4, 4, 3, 12)
    ratio = np.log(np.array(_ANCHORS[anchor]) / np.array(_ANCHORS[other]))
    cells[row, column, other, :4] = cells[row, column, anchor, :4] + np.concatenate([[0, 0], ratio])
    cells[row, column, other, 4] = 3.0
    maps = [torch.from_numpy(one).permute(0, 3, 1, 2).contiguous().requires_grad_() for one in (fine, coarse)]
    detection_loss(maps, faces, _ANCHORS, SIDE).total.backward()
    gradient = maps[0].grad
    assert gradient is not None
    assert gradient.reshape(3, 12, 4, 4)[other, 4, row, column] == 0
    both = find_best(decode([fine, coarse], _ANCHORS, SIDE, 0.5), 0.45)
    assert len(both) == 1
    assert overlap(both.boxes, faces.boxes.numpy())[0, 0] > 0.99


def test_small_faces_weigh_more() -> None:
    small, large = (_faces([box], [0]) for box in ((8.0, 8.0, 12.0, 12.0), (0.0, 0.0, 60.0, 60.0)))
    losses = []
    for faces in (small, large):
        maps = [torch.from_numpy(one).permute(0, 3, 1, 2) for one in encode(faces, _ANCHORS, SIDE, STRIDES)]
        wider = Faces(faces.picture, faces.boxes, faces.targets)
        for values in maps:
            values.view(1, 3, 12, *values.shape[2:])[:, :, 2:4] += 0.5
        losses.append(float(detection_loss(maps, wider, _ANCHORS, SIDE).boxes))
    assert losses[0] > 1.5 * losses[1]


def test_fitted_anchors_cover_boxes_better_and_ascend() -> None:
    rng = np.random.default_rng(0)
    sizes = np.exp(rng.uniform(np.log(10), np.log(60), 400))[:, None] * np.array([0.8, 1.0])
    anchors = fit_anchors(sizes)
    assert [w * h for w, h in anchors] == sorted(w * h for w, h in anchors)
    assert mean_best_iou(sizes, anchors) > mean_best_iou(sizes, _ANCHORS)
    assert mean_best_iou(sizes, anchors) > 0.8
