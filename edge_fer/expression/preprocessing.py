"""From an aligned face to the input of a network: standardisation, quantization, order of channels, layout.

A channel of a pixel has 256 values, so that standardisation and quantization together are one table of 256 entries.
What the network takes (size, layout, dtype, scale) is read from its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import ModelError
from edge_fer.inference import TensorSpec
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.types import AlignedFace, Image

_BGR_INDEX = {"r": 2, "g": 1, "b": 0}


class Preprocessor:
    """Makes the input of one network out of aligned faces.

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

    def prepare(self, face: Image) -> NDArray[Any]:
        """The network's input for one face.

        Args:
            face: uint8, `(size, size)` grey, or `(size, size, 3)` BGR for a network that takes colour.

        Returns:
            `(1, size, size, channels)` or `(1, channels, size, size)`, as the network takes it.
        """
        if len(self._tables) == 1:
            return np.repeat(self._tables[0][face][self._grey_batch], self._channels, axis=self._axis)
        planes = [face[:, :, place] for place in self._order] or [face] * self._channels
        values = [table[plane] for table, plane in zip(self._tables, planes, strict=True)]
        return np.stack(values, axis=self._axis - 1)[np.newaxis]


def crop_tensor(spec: ClassifierSpec) -> TensorSpec:
    """What a device takes that enlarges and standardises faces itself, as one behind a network connection does.

    Args:
        spec: the network's manifest entry.

    Returns:
        uint8, `(side, side)` grey, or `(side, side, 3)` BGR: a face as it was sampled.
    """
    side = spec.crop.sampled_side(spec.input.size)
    shape = (side, side) if spec.input.colour == "grey" else (side, side, 3)
    return TensorSpec("face", shape, np.dtype(np.uint8))


class CropSampler:
    """Makes the input of such a device out of aligned faces.

    Args:
        side: side of what it takes, pixels.
    """

    def __init__(self, side: int) -> None:
        self._side = side

    def prepare(self, face: Image) -> Image:
        """A face as it was sampled; one that was enlarged already is averaged down, which comes near to that.

        Args:
            face: uint8, square.
        """
        if face.shape[0] == self._side:
            return face
        return np.asarray(cv2.resize(face, (self._side, self._side), interpolation=cv2.INTER_AREA), np.uint8)


def fit(face: AlignedFace, size: int, *, colour: bool) -> AlignedFace:
    """A face for a network that takes less: smaller pictures, or none in colour.

    Args:
        face: cut out for a network that takes at least as much.
        size: side of the network's input, pixels.
        colour: whether the network takes colour.
    """
    image = face.image
    if image.ndim == 3 and not colour:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    if image.shape[0] != size:
        image = np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    return face if image is face.image else replace(face, image=image, sampled=None)


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
