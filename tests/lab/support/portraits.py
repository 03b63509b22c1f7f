"""Crops like those of FER2013, of faces that the project may show."""

from __future__ import annotations

import cv2
import numpy as np

from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Image


def portrait_crop() -> Image:
    """One face as `(48, 48)` uint8, grey, with a quarter of margin; the detector finds it again."""
    scene = crowd_scene(seed=1, faces=1, frames=3)
    box = scene.truth(0)[0].box
    left, top, side = round(box.x - box.width * 0.3), round(box.y - box.height * 0.1), round(box.height * 1.2)
    grey = cv2.cvtColor(scene.render(0), cv2.COLOR_BGR2GRAY)[top : top + side, left : left + side]
    return np.asarray(cv2.resize(grey, (48, 48)), np.uint8)
