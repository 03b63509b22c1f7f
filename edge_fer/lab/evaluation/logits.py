"""A classifier's logits over a set of faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import ModelError
from edge_fer.expression.feature_branch import FeatureBranch
from edge_fer.inference import open_backend
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.inference.preprocessor import Preprocessor
from edge_fer.inference.quantization import dequantize
from edge_fer.lab.console import Progress, silent
from edge_fer.types import LABELS


def classify(
    model: bytes,
    images: NDArray[np.uint8],
    spec: InputSpec,
    *,
    branch: FeatureBranch | None = None,
    threads: int = 2,
    progress: Progress = silent,
) -> NDArray[np.float64]:
    """The logits of every face.

    Args:
        model: the content of a .tflite file, float32 or int8.
        images: uint8: `(n, size, size)`, grey, or `(n, size, size, 3)`, BGR, where the network takes colour.
        spec: how a pixel becomes an input.
        branch: makes logits of the network's only output, its features; None: the network gives logits.
        threads: processor threads.
        progress: called after each face.

    Returns:
        `(n, 7)`, dequantized.

    Raises:
        ModelError: when the network's input is not what `spec` says, or none of its outputs has 7 values.
    """
    with open_backend("cpu", model, threads=threads) as backend:
        preprocessor = Preprocessor("the network", spec, backend.inputs)
        place = 0 if branch else _logits_of([output.shape for output in backend.outputs])
        rows = []
        for number, image in enumerate(images, 1):
            outputs = backend.infer(preprocessor.prepare(image))
            values = dequantize(outputs[place][0], backend.outputs[place])
            rows.append(values if branch is None else branch.logits(values, image))
            progress(number, len(images))
    return np.stack(rows)


def _logits_of(shapes: Sequence[tuple[int, ...]]) -> int:
    """The place of the output with one value for each label; another may hold features."""
    for place, shape in enumerate(shapes):
        if shape == (1, len(LABELS)):
            return place
    raise ModelError(f"expected an output of shape (1, {len(LABELS)}), found {', '.join(map(str, shapes))}")
