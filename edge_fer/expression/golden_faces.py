"""Pictures that every device has to read alike: soft patches, the same on every machine."""

from __future__ import annotations

import cv2
import numpy as np

from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.types import AlignedFace

_PATCHES = 6  # in each direction


def golden_faces(spec: ClassifierSpec) -> tuple[AlignedFace, ...]:
    """The golden faces of a classifier, one for each of its `failover.golden_seeds`.

    The classifier reads them differently: a device that goes on giving its last answer fails, too.
    """
    return tuple(golden_face(spec.input, seed) for seed in spec.failover.golden_seeds)


def golden_face(spec: InputSpec, seed: int) -> AlignedFace:
    """Soft patches drawn by a seed.

    Args:
        spec: what the classifier takes.
        seed: of the random numbers.

    Returns:
        A face, its image uint8: `(size, size)` grey, or `(size, size, 3)` BGR for a classifier that takes colour.
    """
    shape = (_PATCHES, _PATCHES) if spec.colour == "grey" else (_PATCHES, _PATCHES, 3)
    patches = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    image = cv2.resize(patches, (spec.size, spec.size), interpolation=cv2.INTER_CUBIC)
    return AlignedFace.of_crop(np.asarray(image, np.uint8))
