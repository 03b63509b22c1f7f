"""Heads for scenes, made of a data set's face crops: no edge of a crop is left by which a network could find it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.lab.datasets.degradations import Random
from edge_fer.lab.datasets.pictures import resize
from edge_fer.types import Image

REACH = 0.75
"""Half the side of a head's picture, in sides of the crop."""
HALF_WIDTH, HALF_HEIGHT = 0.46, 0.5
"""Half-axes of the ellipse that is cut out of a crop, in sides of it."""

_FINE, _COARSE = 96, 48  # sides of a crop in a head's picture, pixels; the finer one is for large heads
_FINE_FROM = 64  # side of a head in the scene, pixels
_SOFT_EDGE = 0.15  # the outer part of the radius over which it fades out, as of `synthetic.portraits`
_HAIRS = 8  # shapes of hair
_WITHOUT_HAIR = 0.2  # share of heads
_GREY = 0.15  # share of heads without colour


@dataclass(frozen=True, slots=True)
class Head:
    """A head to put into a scene.

    Attributes:
        picture: `(n, n, 4)` uint8, BGR and opacity; its middle is that of the crop, its side 1.5 times the crop's.
        skin: mean colour of the face, BGR.
    """

    picture: Image
    skin: tuple[float, float, float]


def draw_head(crop: Image, side: float, light: float, rng: Random) -> Head:
    """A head with the face of a crop, tinted, with hair around that its owner may not have.

    Args:
        crop: `(height, width)` uint8, grey, about square.
        side: side that the crop will have in the scene, pixels.
        light: mean brightness of what is around, 0..255, which the face is brought towards.
        rng: drawn from.
    """
    size = _FINE if side > _FINE_FROM else _COARSE
    grey, tone = _lit(resize(crop, size), light, rng)
    margin = round(size * (REACH - 0.5))
    face = cv2.copyMakeBorder(_tinted(grey, tone), *(margin,) * 4, cv2.BORDER_REPLICATE)
    hair_opacity, face_opacity = _masks(size, int(rng.integers(_HAIRS)))
    if rng.random() < _WITHOUT_HAIR:
        hair_opacity = face_opacity
    strands = rng.integers(180, 256, (6, 24), np.uint8)
    strands = cv2.resize(strands, face.shape[:2], interpolation=cv2.INTER_LINEAR)
    hair = _tinted(np.asarray(strands, np.uint8), tone * rng.uniform(0.02, 0.8) * rng.uniform(0.2, 1.0))
    coloured = cv2.blendLinear(face, hair, face_opacity, 1 - face_opacity)
    opacity = cv2.convertScaleAbs(np.maximum(hair_opacity, face_opacity), alpha=255)
    picture = np.asarray(cv2.merge([*cv2.split(coloured), opacity]), np.uint8)
    blue, green, red = (tone * float(grey.mean())).clip(0, 255).tolist()
    return Head(picture, (blue, green, red))


def _tinted(grey: Image, tone: NDArray[np.float64]) -> Image:
    """A grey picture in a colour, `(height, width, 3)` uint8, BGR."""
    return np.asarray(cv2.merge([cv2.convertScaleAbs(grey, alpha=factor) for factor in tone.tolist()]), np.uint8)


def _lit(grey: Image, light: float, rng: Random) -> tuple[Image, NDArray[np.float64]]:
    """A face in about the light that is around, and the factors of blue, green and red that colour it."""
    mean = max(8.0, float(grey.mean()))
    towards = (max(light, 25.0) / mean) ** rng.uniform(0.1, 0.6)
    contrast = np.clip(towards, 0.4, 1.8)
    lit = cv2.convertScaleAbs(grey, alpha=contrast * rng.uniform(0.85, 1.1))
    tone = np.ones(3) if rng.random() < _GREY else np.array([rng.uniform(0.62, 0.98), rng.uniform(0.82, 1.0), 1.1])
    return np.asarray(lit, np.uint8), tone


@lru_cache(maxsize=2 * _HAIRS)
def _masks(size: int, shape: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Opacity of hair and of face, 0..1, `(1.5 size, 1.5 size)` each."""
    rng = np.random.default_rng([size, shape])
    count = size + 2 * round(size * (REACH - 0.5))
    down, across = (np.mgrid[:count, :count] - (count - 1) / 2) / size
    face = _ellipse(across, down, 0.0, HALF_WIDTH, HALF_HEIGHT)
    lift, wider, higher = rng.uniform(0.0, 0.12), rng.uniform(0.9, 1.25), rng.uniform(0.95, 1.15)
    hair = _ellipse(across, down + lift, 0.0, HALF_WIDTH * wider, min(HALF_HEIGHT * higher, REACH - lift - 0.01))
    return hair, face


def _ellipse(
    across: NDArray[np.float64], down: NDArray[np.float64], middle: float, half_width: float, half_height: float
) -> NDArray[np.float32]:
    radius = np.hypot(across / half_width, (down - middle) / half_height)
    return np.clip((1 - radius) / _SOFT_EDGE, 0, 1).astype(np.float32)
