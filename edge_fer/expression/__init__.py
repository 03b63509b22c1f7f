"""From a face that was cut out to an expression: models, and the scheduler that has them read faces.

A model is whatever implements `ExpressionModel`: one network (`classifier.py`), devices with a CPU behind them
(`failover.py`), or what the detector reads itself (`detected.py`). `open_model.py` opens the one that the settings
name.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from edge_fer.common.closeable import Closeable
from edge_fer.types import AlignedFace

if TYPE_CHECKING:
    from edge_fer.inference.manifest_parts import CropSpec
    from edge_fer.inference.supervised import SupervisedDevice
    from edge_fer.types import Expression, Origin


class ExpressionModel(Closeable):
    """Reads the expression of a face.

    Attributes:
        size: side of the aligned face that it takes, pixels.
        colour: whether it takes faces in colour; if not, in grey.
        crop: how faces must be cut out for it.
        parallel: how many threads may call `classify` at a time.
        devices: the supervised devices that it runs on, which may fail and come back; empty on the CPU.
    """

    size: int
    colour: bool = False
    crop: CropSpec
    parallel: int = 1
    devices: tuple[SupervisedDevice, ...] = ()

    @property
    @abstractmethod
    def origin(self) -> Origin:
        """What reads faces now, and why it is not what should, if so; from any thread."""

    @abstractmethod
    def classify(self, face: AlignedFace) -> Expression:
        """Read one face.

        Args:
            face: its image is uint8, `(size, size)` grey, or `(size, size, 3)` BGR where `colour` is true.

        Raises:
            BackendError: when the device fails, or what the network gives cannot be read.
        """

    @property
    def blank_face(self) -> AlignedFace:
        """A black face of the shape that it takes: to measure how long it takes, or before the first real one."""
        channels = (3,) if self.colour else ()
        return AlignedFace.of_crop(np.zeros((self.size, self.size, *channels), np.uint8))

    def forget(self, ids: frozenset[int]) -> None:
        """Drop what is remembered of these tracks, which have ended; a model of single pictures remembers nothing."""
