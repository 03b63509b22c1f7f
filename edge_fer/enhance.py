"""Contrast of dark or flat pictures: CLAHE on luminance (Zuiderveld, Graphics Gems IV, 1994).

Equalising a large picture is expensive and brings out its noise, so the gain is worked out on
a small copy and applied to the full picture: each pixel is multiplied by the ratio of enhanced
to original luminance around it.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_fer.resize import fit
from edge_fer.settings import EnhanceSettings
from edge_fer.types import Image


class Enhancer:
    """Raises local contrast."""

    def __init__(self, settings: EnhanceSettings) -> None:
        self._clahe = cv2.createCLAHE(settings.clip_limit, (settings.tiles, settings.tiles))
        self._size = settings.size
        self._enabled = settings.clahe

    def enhance(self, image: Image) -> Image:
        """Enhance one picture, or hand it through where CLAHE is off.

        Args:
            image: `(height, width, 3)` uint8, BGR; not written to.

        Returns:
            A picture of the same shape; colours keep their hue.
        """
        if not self._enabled:
            return image
        height, width = image.shape[:2]
        luminance = cv2.cvtColor(fit(image, self._size), cv2.COLOR_BGR2GRAY)
        enhanced = self._clahe.apply(luminance)
        small_gain = (enhanced.astype(np.float32) + 1) / (luminance.astype(np.float32) + 1)
        gain = cv2.resize(small_gain, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.multiply(image, cv2.merge([gain, gain, gain]), dtype=cv2.CV_8U), dtype=np.uint8)
