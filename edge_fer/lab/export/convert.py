"""From a PyTorch network to a float .tflite file, and the proof that both compute the same."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_fer.errors import ModelError
from edge_fer.inference import open_backend
from edge_fer.lab.quiet import quiet

TOLERANCE = 1e-5
"""How far the outputs of a float .tflite file may be from PyTorch's, as a part of their range (at least 1)."""


def convert(net: nn.Module, size: int, channels: int = 3, maps: int = 0) -> bytes:
    """The network as a float .tflite file that takes NHWC, batch norms folded into the convolutions.

    Args:
        net: takes `(1, channels, size, size)`.
        size: side of the picture, pixels.
        channels: channels of the picture.
        maps: how many outputs are maps, from the first one on, which the file then gives as NHWC.
    """
    with quiet(), tempfile.TemporaryDirectory() as folder:
        import litert_torch  # prints while it is imported

        wrapped: Any = litert_torch.to_channel_last_io(net, args=[0], outputs=list(range(maps))).eval()
        converted = litert_torch.convert(wrapped, (torch.zeros(1, size, size, channels),))
        path = Path(folder) / "float.tflite"
        converted.export(str(path))
        return path.read_bytes()


def check_agreement(net: nn.Module, content: bytes, shapes: Sequence[tuple[int, ...]]) -> float:
    """Compare a float .tflite file with its network on random input.

    Args:
        net: a network that takes NCHW.
        content: content of its file, which takes NHWC.
        shapes: shapes of the inputs to compare on, NHWC.

    Returns:
        The greatest difference, as a part of the output's range (at least 1).

    Raises:
        ModelError: when that is above `TOLERANCE`.
    """
    generator = np.random.default_rng(0)
    worst = 0.0
    for shape in shapes:
        image = generator.uniform(-1, 1, shape).astype(np.float32)
        with open_backend("cpu", content, input_shape=shape) as backend:
            found = backend.infer(image)
        pairs = zip(found, _run(net, image), strict=True)
        worst = max(worst, *(float(np.abs(ours - theirs).max() / max(1, np.ptp(theirs))) for ours, theirs in pairs))
    if worst > TOLERANCE:
        raise ModelError(f"expected the converted network within {TOLERANCE} of PyTorch, found {worst:.1e}")
    return worst


def _run(net: nn.Module, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    with torch.no_grad():
        outputs = net(torch.from_numpy(image).permute(0, 3, 1, 2))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return [(output.permute(0, 2, 3, 1) if output.ndim == 4 else output).numpy() for output in outputs]


def parameters(net: nn.Module) -> int:
    """How many trained numbers a network has, statistics of batch norms not counted."""
    return sum(parameter.numel() for parameter in net.parameters())
