"""Light and contrast of dark or flat pictures: a gain, then CLAHE on luminance (Zuiderveld, Graphics Gems IV, 1994).

Equalising a large picture is slow and amplifies its noise, so both are computed on a small copy and applied to the
full picture: each pixel is multiplied by the ratio of enhanced to original luminance around it. `auto` enhances the
pictures whose 90th percentile of luminance is low.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.faces.resize import fit
from edge_fer.settings import EnhanceSettings
from edge_fer.types import Image

_STRIDE = 8  # brightness is measured on every eighth pixel, in each direction
_BRIGHT_PERCENTILE = 90  # a dark room with a lamp in it is dark
_TARGET_LUMINANCE = 180.0  # the gain raises the brightest hundredth of the pixels to this, 0..255
_MAX_GAIN = 8.0  # a larger gain shows little but noise


class Enhancer:
    """Raises local contrast of all pictures, of none, or of dark ones.

    Args:
        settings: which pictures are enhanced, and how far.
        pixels_at_once: the gain is applied to so many pixels at a time; it takes 12 bytes for each.

    Attributes:
        active: whether the last picture was enhanced.
    """

    def __init__(self, settings: EnhanceSettings, pixels_at_once: int = 2**22) -> None:
        self.active = settings.clahe == "on"
        self._settings, self._pixels_at_once = settings, pixels_at_once
        self._clahe = cv2.createCLAHE(settings.clip_limit, (settings.tiles, settings.tiles))

    def enhance(self, image: Image) -> Image:
        """Enhance one picture; one that needs nothing is returned as it is.

        Args:
            image: `(height, width, 3)` uint8, BGR; it is not written to.

        Returns:
            `(height, width, 3)` uint8, BGR; colours keep their hue.
        """
        if self._settings.clahe == "auto":
            limit = self._settings.bright if self.active else self._settings.dark
            self.active = brightness(image) < limit
        return self._equalise(image) if self.active else image

    def _equalise(self, image: Image) -> Image:
        luminance = np.asarray(cv2.cvtColor(fit(image, self._settings.size), cv2.COLOR_BGR2GRAY), np.uint8)
        enhanced = self._clahe.apply(_brighten(luminance))
        small_gain = (enhanced.astype(np.float32) + 1) / (luminance.astype(np.float32) + 1)
        return _multiply(image, small_gain, self._pixels_at_once)


def _multiply(image: Image, small_gain: NDArray[np.float32], pixels_at_once: int) -> Image:
    """Multiply a picture by a gain that has fewer pixels and is interpolated.

    The gain of a large picture is first enlarged in height, then in width for one strip of rows at a time, which
    bounds the memory. The order changes few results: of a million values some differ by one.
    """
    height, width = image.shape[:2]
    if height * width <= pixels_at_once:
        return _times(image, small_gain)
    tall_gain = np.asarray(
        cv2.resize(small_gain, (small_gain.shape[1], height), interpolation=cv2.INTER_LINEAR), np.float32
    )
    product = np.empty_like(image)
    rows = max(pixels_at_once // width, 1)
    for top in range(0, height, rows):
        strip = slice(top, top + rows)
        product[strip] = _times(image[strip], tall_gain[strip])
    return product


def _times(image: Image, small_gain: NDArray[np.float32]) -> Image:
    gain = cv2.resize(small_gain, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(image, cv2.merge([gain, gain, gain]), dtype=cv2.CV_8U), dtype=np.uint8)


def _brighten(luminance: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Raise the luminance of a dark picture to that of a well lit one; a brighter one stays as it is."""
    gain = _TARGET_LUMINANCE / max(float(np.percentile(luminance, 99)), 1.0)
    return np.asarray(cv2.convertScaleAbs(luminance, alpha=min(max(gain, 1.0), _MAX_GAIN)), np.uint8)


def brightness(image: Image) -> float:
    """The 90th percentile of a picture's luminance, 0..255, measured on every eighth pixel in each direction.

    Args:
        image: `(height, width, 3)` uint8, BGR.
    """
    some = np.ascontiguousarray(image[::_STRIDE, ::_STRIDE])
    return float(np.percentile(cv2.cvtColor(some, cv2.COLOR_BGR2GRAY), _BRIGHT_PERCENTILE))
