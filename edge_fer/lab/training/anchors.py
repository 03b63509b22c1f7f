"""Anchors fitted to the boxes that a detector is trained on: k-means with 1 - IoU as the distance.

Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", 2017. Boxes are compared as if their middles were one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.lab.networks.yolov3_tiny import PUBLISHED_ANCHORS, Anchor

_ROUNDS = 100


def fit_anchors(sizes: NDArray[np.floating], seed: int = 0) -> tuple[Anchor, ...]:
    """As many anchors as the published ones, smallest area first.

    Args:
        sizes: `(n, 2)`, width and height of each box, pixels.
        seed: of the boxes that the search begins with.

    Raises:
        SourceError: when there are fewer boxes of different sizes than anchors.
    """
    different = np.unique(sizes, axis=0)
    count = len(PUBLISHED_ANCHORS)
    if len(different) < count:
        raise SourceError(f"expected boxes of {count} different sizes to fit anchors to, found {len(different)}")
    rng = np.random.default_rng(seed)
    anchors = different[np.sort(rng.choice(len(different), count, replace=False))].astype(np.float64)
    for _ in range(_ROUNDS):
        nearest = _iou(sizes, anchors).argmax(axis=1)
        moved = np.array(
            [np.median(sizes[nearest == k], axis=0) if (nearest == k).any() else anchors[k] for k in range(count)]
        )
        if np.array_equal(moved, anchors):
            break
        anchors = moved
    ordered = sorted(anchors.round(1).tolist(), key=lambda size: size[0] * size[1])
    return tuple((width, height) for width, height in ordered)


def mean_best_iou(sizes: NDArray[np.floating], anchors: Sequence[Anchor]) -> float:
    """How well boxes are covered: the mean over boxes of the overlap with the best anchor, 0..1."""
    return float(_iou(sizes, np.array(anchors)).max(axis=1).mean())


def _iou(sizes: NDArray[np.floating], anchors: NDArray[np.floating]) -> NDArray[np.float64]:
    common = np.minimum(sizes[:, None], anchors[None]).prod(axis=2)
    return np.asarray(common / (sizes.prod(axis=1)[:, None] + anchors.prod(axis=1) - common))
