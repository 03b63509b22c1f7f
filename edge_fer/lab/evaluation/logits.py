"""A classifier's logits over a set of faces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.expression.outputs import dequantize
from edge_fer.expression.preprocessing import quantization_table
from edge_fer.inference import open_backend
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.console import Progress, silent


def classify(
    model: bytes, images: NDArray[np.uint8], spec: InputSpec, *, threads: int = 2, progress: Progress = silent
) -> NDArray[np.float64]:
    """The logits of every face.

    Args:
        model: the content of a .tflite file, float32 or int8.
        images: `(n, size, size)` uint8, grey.
        spec: how a pixel becomes an input.
        threads: processor threads.
        progress: called after each face.

    Returns:
        `(n, 7)`, dequantized.
    """
    with open_backend("cpu", model, threads=threads) as backend:
        table = quantization_table(spec, backend.inputs[0])
        rows = []
        for number, image in enumerate(images, 1):
            (output,) = backend.infer(as_batch(image, table))
            rows.append(dequantize(output[0], backend.outputs[0]))
            progress(number, len(images))
    return np.stack(rows)


def as_batch(face: NDArray[np.uint8], table: NDArray[Any]) -> NDArray[Any]:
    """A grey face as a network takes it: `(1, size, size, 3)` of the table's dtype, three equal channels."""
    return np.repeat(table[face][np.newaxis, :, :, np.newaxis], 3, axis=3)
