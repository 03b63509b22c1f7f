"""From the integers that a quantized network gives to real values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.inference import TensorSpec


def dequantize(values: NDArray[Any], tensor: TensorSpec) -> NDArray[np.float64]:
    """Real values of a network's output; those without a scale are real already."""
    if tensor.scale == 0:
        return values.astype(np.float64)
    return (values.astype(np.float64) - tensor.zero_point) * tensor.scale
