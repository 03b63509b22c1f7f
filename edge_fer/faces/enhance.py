"""Light and contrast of dark or flat pictures: a gain, then CLAHE on luminance (Zuiderveld, Graphics Gems IV, 1994).

Equalising a large picture is expensive and brings out its noise, so both are worked out on a small copy
and applied to the full picture: each pixel is multiplied by the ratio of enhanced to original luminance
around it. `auto` looks at the histogram of luminance and enhances pictures that are dark.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.faces.resize import fit
from edge_fer.settings import EnhanceSettings
from edge_fer.types import Image

_STRIDE = 8  # of the pixels that brightness is judged by, in each direction
_BRIGHT_PART = 90  # percentile: a dark room with a lamp in it is dark
_LIGHT = 180.0  # luminance that the brightest hundredth is raised to
_MOST_GAIN = 8.0  # beyond that there is little but noise
_AT_ONCE = 2**22  # pixels that the gain is applied to in one go: it takes 12 bytes for each


class Enhancer:
    """Raises local contrast of all pictures, of none, or of dark ones.

    Attributes:
        active: whether the last picture was enhanced.
    """

    def __init__(self, settings: EnhanceSettings) -> None:
        self.active = settings.clahe == "on"
        self._settings = settings
        self._clahe = cv2.createCLAHE(settings.clip_limit, (settings.tiles, settings.tiles))

    def enhance(self, image: Image) -> Image:
        """Enhance one picture, or hand it through where it needs nothing.

        Args:
            image: `(height, width, 3)` uint8, BGR; not written to.

        Returns:
            A picture of the same shape; colours keep their hue.
        """
        if self._settings.clahe == "auto":
            limit = self._settings.bright if self.active else self._settings.dark
            self.active = brightness(image) < limit
        return self._equalised(image) if self.active else image

    def _equalised(self, image: Image) -> Image:
        luminance = np.asarray(cv2.cvtColor(fit(image, self._settings.size), cv2.COLOR_BGR2GRAY), np.uint8)
        enhanced = self._clahe.apply(_lit(luminance))
        small_gain = (enhanced.astype(np.float32) + 1) / (luminance.astype(np.float32) + 1)
        return _multiplied(image, small_gain)


def _multiplied(image: Image, small_gain: NDArray[np.float32]) -> Image:
    """A picture times a gain of fewer pixels, which is interpolated: of a large picture down first, then across strips.

    The order is all that differs: of a million values some are off by one.
    """
    height, width = image.shape[:2]
    if height * width <= _AT_ONCE:
        return _times(image, small_gain)
    tall_gain = np.asarray(
        cv2.resize(small_gain, (small_gain.shape[1], height), interpolation=cv2.INTER_LINEAR), np.float32
    )
    product = np.empty_like(image)
    rows = max(_AT_ONCE // width, 1)
    for top in range(0, height, rows):
        strip = slice(top, top + rows)
        product[strip] = _times(image[strip], tall_gain[strip])
    return product


def _times(image: Image, small_gain: NDArray[np.float32]) -> Image:
    gain = cv2.resize(small_gain, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(image, cv2.merge([gain, gain, gain]), dtype=cv2.CV_8U), dtype=np.uint8)


def _lit(luminance: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey picture with its light raised to where a well lit one's is; a brighter one stays as it is."""
    gain = _LIGHT / max(float(np.percentile(luminance, 99)), 1.0)
    return np.asarray(cv2.convertScaleAbs(luminance, alpha=min(max(gain, 1.0), _MOST_GAIN)), np.uint8)


def brightness(image: Image) -> float:
    """Luminance that nine tenths of a picture's pixels stay below, 0..255, by every eighth of them each way.

    Args:
        image: `(height, width, 3)` uint8, BGR.
    """
    some = np.ascontiguousarray(image[::_STRIDE, ::_STRIDE])
    return float(np.percentile(cv2.cvtColor(some, cv2.COLOR_BGR2GRAY), _BRIGHT_PART))
