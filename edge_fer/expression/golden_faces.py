"""Pictures that every device has to read alike: soft patches, the same on every machine."""

from __future__ import annotations

import cv2
import numpy as np

from edge_fer.common.picture import enlarge
from edge_fer.expression.preprocessing import CropSampler
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.types import AlignedFace

_PATCHES = 6  # in each direction


def golden_faces(spec: ClassifierSpec) -> tuple[AlignedFace, ...]:
    """The golden faces of a classifier, one for each of its `failover.golden_seeds`.

    The shipped classifiers read them differently: a device that goes on giving its last answer fails, too.

    Returns:
        Faces, their images uint8: `(size, size)` grey, or `(size, size, 3)` BGR for a classifier that takes colour.
    """
    size = spec.input.size
    shape = (_PATCHES, _PATCHES) if spec.input.colour == "grey" else (_PATCHES, _PATCHES, 3)
    patches = (np.random.default_rng(seed).integers(0, 256, shape, np.uint8) for seed in spec.failover.golden_seeds)
    return tuple(
        AlignedFace.of_crop(np.asarray(cv2.resize(patch, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8))
        for patch in patches
    )


def sampled_golden_faces(spec: ClassifierSpec) -> tuple[AlignedFace, ...]:
    """The golden faces as a camera's faces come: sampled, and enlarged. Another OpenCV may enlarge differently.

    Args:
        spec: the classifier's manifest entry.
    """
    size = spec.input.size
    sampler = CropSampler(spec.crop.sampled_side(size))
    sampled = (sampler.prepare(face.image) for face in golden_faces(spec))
    return tuple(AlignedFace.of_crop(enlarge(face, size), face) for face in sampled)
