"""From a picture to the input of a network: standardisation, quantization, order of channels, layout.

A channel of a pixel has 256 values, so that standardisation and quantization together are one table of 256 entries.
What the network takes (size, layout, dtype, scale) is read from its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import ModelError
from edge_fer.inference import TensorSpec
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.types import Image

_BGR_INDEX = {"r": 2, "g": 1, "b": 0}


class Preprocessor:
    """Makes the input of one network out of pictures of its size.

    Args:
        model: the network's name in the manifest, for messages.
        picture: what the manifest says of its input.
        inputs: what the network takes.

    Raises:
        ModelError: when the two do not fit together.
    """

    def __init__(self, model: str, picture: InputSpec, inputs: Sequence[TensorSpec]) -> None:
        self._axis = _channel_axis(model, picture, inputs)
        tensor = inputs[0]
        self._channels = tensor.shape[self._axis]
        self._tables = tuple(quantization_table(picture, tensor, channel) for channel in range(len(picture.means)))
        self._order = () if picture.colour == "grey" else tuple(_BGR_INDEX[letter] for letter in picture.colour)
        everything = slice(None)
        self._grey_batch = (None, everything, everything, None) if self._axis == 3 else (None, None)

    def prepare(self, image: Image) -> NDArray[Any]:
        """The network's input for one picture.

        Args:
            image: uint8, `(size, size)` grey, or `(size, size, 3)` BGR for a network that takes colour.

        Returns:
            `(1, size, size, channels)` or `(1, channels, size, size)`, as the network takes it.
        """
        if len(self._tables) == 1:
            return np.repeat(self._tables[0][image][self._grey_batch], self._channels, axis=self._axis)
        planes = [image[:, :, place] for place in self._order] or [image] * self._channels
        values = [table[plane] for table, plane in zip(self._tables, planes, strict=True)]
        return np.stack(values, axis=self._axis - 1)[np.newaxis]


def quantization_table(picture: InputSpec, tensor: TensorSpec, channel: int = 0) -> NDArray[Any]:
    """What each value of a pixel's channel becomes at the network's input.

    Args:
        picture: the standardisation that the network was trained with.
        tensor: the network's input; one without a scale takes the standardised value as it is.
        channel: which of the network's channels; 0 where all are the same.

    Returns:
        `(256,)` of the tensor's dtype.
    """
    real = (np.arange(256) / 255 - picture.means[channel]) / picture.stds[channel]
    if tensor.scale == 0 and tensor.dtype.kind == "f":
        return real.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    levels = np.round(real / (tensor.scale or 1)) + tensor.zero_point
    return levels.clip(limits.min, limits.max).astype(tensor.dtype)


def _channel_axis(model: str, picture: InputSpec, inputs: Sequence[TensorSpec]) -> int:
    """Where the channels lie in the network's input: 3 (NHWC, as in .tflite files) or 1 (NCHW, as mostly in ONNX)."""
    size = picture.size
    counts = (3, 1) if len(picture.means) == 1 else (3,)
    for channels in counts:
        shapes = {(1, size, size, channels): 3, (1, channels, size, size): 1}
        if len(inputs) == 1 and inputs[0].shape in shapes:
            return shapes[inputs[0].shape]
    found = ", ".join(str(tensor.shape) for tensor in inputs)
    raise ModelError(
        f"expected `{model}` to take {picture.colour} pictures, (1, {size}, {size}, channels) or (1, channels, {size}, "
        f"{size}) with {' or '.join(map(str, counts))} channels, found {found}; correct `input` in its manifest entry, "
        "or the file"
    )
