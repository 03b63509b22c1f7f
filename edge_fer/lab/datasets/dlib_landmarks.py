"""The 68 landmarks by dlib: King, "Dlib-ml: A Machine Learning Toolkit", 2009; extra `landmarks`.

Its file of weights learned from iBUG 300-W, whose licence excludes commercial use: it is for the lab, and nothing of it
is shipped.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import ConfigError
from edge_fer.expression.face_features import SIDE
from edge_fer.lab.datasets.landmarks import FindLandmarks
from edge_fer.types import Image

_CURE = "pip install '.[landmarks]' in its checkout"
_FILE = "shape_predictor_68_face_landmarks.dat"


def open_dlib() -> FindLandmarks:
    """Dlib's landmarks in the rectangle (1, 1, 47, 47), without detection: a crop of 48 pixels is a face.

    Raises:
        ConfigError: when dlib or its file is not installed.
    """
    try:
        import dlib
    except ImportError as error:
        raise ConfigError(f"expected dlib, found none ({error}); {_CURE}") from error
    predictor = dlib.shape_predictor(str(weights_file()))
    box = dlib.rectangle(1, 1, SIDE - 1, SIDE - 1)

    def find(face: Image) -> NDArray[np.floating]:
        return np.array([(point.x, point.y) for point in predictor(face, box).parts()], np.float32)

    return find


def weights_file() -> Path:
    """The file of weights in the package `face-recognition-models`.

    Raises:
        ConfigError: when that is not installed.
    """
    package = find_spec("face_recognition_models")  # not imported: its own code needs an old setuptools
    if package is None or not package.submodule_search_locations:
        raise ConfigError(f"expected dlib's landmarks (face-recognition-models), found none; {_CURE}")
    return Path(package.submodule_search_locations[0]) / "models" / _FILE
