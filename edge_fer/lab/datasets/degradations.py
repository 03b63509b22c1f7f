"""Faces as worse cameras, darker rooms and less exact detectors would have given them. torch is not needed here.

The first four are what training varies at random (`augment.degrade`); `DEGRADATIONS` are fixed steps of
all of them, for measuring what each costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from edge_fer.types import Image

Random = np.random.Generator

DARK_NOISE = 4.0
"""Standard deviation of the noise in dark pictures, grey values."""
MOST_BLUR = 0.025
"""Standard deviation of the strongest blur, part of the side."""
_DARK = 0.25  # part of the light
_TURN = 20.0  # degrees
_DISPLACED = 0.1  # part of the side


def darken(image: Image, light: float, noise: float, rng: Random) -> Image:
    """A picture, grey or BGR, with a part of its light, and noise of a standard deviation in grey values."""
    darkened = image * light + rng.normal(0, noise, image.shape)
    return np.clip(darkened, 0, 255).astype(np.uint8)


def blur(image: Image, deviation: float) -> Image:
    """A Gaussian of a standard deviation in pixels over a picture, grey or BGR."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.uint8)


def shrink(image: Image, factor: float) -> Image:
    """A picture, grey or BGR, sampled with `factor` (up to 1) times the pixels a side, and enlarged again."""
    height, width = image.shape[:2]
    smaller = max(2, round(width * factor)), max(2, round(height * factor))
    small = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def compress(image: Image, quality: int) -> Image:
    """A picture, grey or BGR, that was a JPEG file of a quality, 1..100."""
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    kind = cv2.IMREAD_GRAYSCALE if image.ndim == 2 else cv2.IMREAD_COLOR
    return np.asarray(cv2.imdecode(encoded, kind), np.uint8)


def turn(image: Image, degrees: float) -> Image:
    """A picture, grey or BGR, turned about its middle, clockwise in the picture; its edge is repeated."""
    height, width = image.shape[:2]
    return _warp(image, cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0))


def displace(image: Image, share: float, rng: Random) -> Image:
    """A picture, grey or BGR, moved by a share of its width in a direction that is drawn; its edge is repeated."""
    direction = rng.uniform(0, 2 * np.pi)
    distance = share * image.shape[1]
    return _warp(image, np.array([[1, 0, distance * np.cos(direction)], [0, 1, distance * np.sin(direction)]]))


def _warp(image: Image, transform: cv2.typing.MatLike) -> Image:
    height, width = image.shape[:2]
    warped = cv2.warpAffine(image, transform, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


Change = Callable[[Image, Random], Image]


@dataclass(frozen=True, slots=True)
class Degradation:
    """One way to make a crop worse.

    Attributes:
        name: the degradation's name, for tables.
        about: how far it goes.
        change: makes a crop worse; it draws from the generator that it is given.
        enlarged: whether the change is made at the network's input size, so that turning and moving
            cost no detail; else at the crop's own.
    """

    name: str
    about: str
    change: Change
    enlarged: bool = False


def _sampled(side: int) -> Degradation:
    def change(image: Image, _: Random) -> Image:
        return shrink(image, min(1.0, side / max(image.shape[:2])))

    return Degradation(f"{side} pixels", f"sampled down to {side} pixels a side by area, and enlarged again", change)


def _compressed(quality: int) -> Degradation:
    return Degradation(
        f"JPEG {quality}",
        f"JPEG of quality {quality} at the crop's own size",
        lambda image, _: compress(image, quality),
    )


def _turned(degrees: float) -> Degradation:
    way = "clockwise" if degrees > 0 else "counter-clockwise"
    about = f"turned {abs(degrees):.0f} degrees {way}"
    return Degradation(f"turned {degrees:+.0f}", about, lambda image, _: turn(image, degrees), enlarged=True)


DEGRADATIONS: tuple[Degradation, ...] = (
    _sampled(32),
    _sampled(24),
    Degradation(
        "blurred",
        f"blurred by a Gaussian, standard deviation {MOST_BLUR:.1%} of the side",
        lambda image, _: blur(image, MOST_BLUR * image.shape[1]),
    ),
    _compressed(30),
    _compressed(15),
    Degradation(
        "dark",
        f"dark: {_DARK:.0%} of the light, noise of {DARK_NOISE:.0f} grey values",
        lambda image, rng: darken(image, _DARK, DARK_NOISE, rng),
    ),
    _turned(_TURN),
    _turned(-_TURN),
    Degradation(
        "box displaced",
        f"moved by {_DISPLACED:.0%} of the side in a direction drawn for each face",
        lambda image, rng: displace(image, _DISPLACED, rng),
        enlarged=True,
    ),
)
"""Each is measured against the same faces as they are."""
