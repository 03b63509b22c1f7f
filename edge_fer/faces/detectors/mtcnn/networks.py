"""MTCNN's three networks (Zhang et al. 2016) on LiteRT, each a class with one verb.

P-Net proposes boxes over a pyramid of sizes, R-Net refines them from 24x24 crops, O-Net from
48x48 crops and adds the landmarks. Weights and arithmetic are those of the `mtcnn` package 1.0.0,
so that both find the same faces. `edge_fer.faces.detectors.mtcnn.detector` puts the three together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import ModelError
from edge_fer.faces.boxes import Boxes
from edge_fer.faces.detectors.mtcnn.decode import (
    Outputs,
    by_width,
    correct_faces,
    decode_faces,
    decode_proposals,
    decode_refined,
    merge_proposals,
)
from edge_fer.faces.detectors.mtcnn.pyramid import Array, Canvas, Level
from edge_fer.inference import TensorSpec, open_backend
from edge_fer.types import Image

AnyPixels = TypeVar("AnyPixels", NDArray[np.float32], NDArray[np.uint8])
_GREY = 128  # a pixel value that is about 0 once it is standardised
REFINE_BATCHES = (1, 2, 4, 8, 16, 32)
OUTPUT_BATCHES = (1, 2, 4, 8)
"""Batch sizes of R-Net and O-Net: a crop takes the same time in each, and sums of them are any number of crops."""


class ProposalNet:
    """P-Net over a pyramid of sizes, in one inference; prepared for pictures of the last one's size.

    Args:
        model: the content of the .tflite file.
        threads: processor threads.
        threshold: cells with a higher score become boxes, 0..1.
        min_face: side of the smallest face to find, pixels.
        factor: size of each level of the pyramid relative to the one before, below 1.
    """

    def __init__(self, model: bytes, threads: int, threshold: float, min_face: int, factor: float) -> None:
        self._model, self._threads, self._threshold = model, threads, threshold
        self._min_face, self._factor = min_face, factor
        self._canvas = Canvas(0, 0, min_face, factor)
        self._net = _Net(model, threads, {2, 4})

    def propose(self, pixels: Array) -> Boxes:
        """Propose boxes that may hold a face.

        Args:
            pixels: `(height, width, 3)` float32, RGB, -1..1; see `standardise`.

        Returns:
            `(n, 4)` float32, pixels of the picture, not square, best score first.
        """
        height, width = pixels.shape[:2]
        if (width, height) != self._canvas.source:
            self._prepare(width, height)
        if not self._canvas.levels:
            return merge_proposals([])
        self._canvas.fill(pixels)
        outputs = self._net.run(self._canvas.pixels[None])
        return merge_proposals([self._decode(outputs, level) for level in self._canvas.levels])

    def close(self) -> None:
        """Free the interpreter."""
        self._net.close()

    def _prepare(self, width: int, height: int) -> None:
        self._canvas = Canvas(width, height, self._min_face, self._factor)
        if self._canvas.levels:
            self._net.close()
            self._net = _Net(self._model, self._threads, {2, 4}, (1, *self._canvas.pixels.shape))

    def _decode(self, outputs: Outputs, level: Level) -> tuple[Boxes, Array]:
        rows, columns = level.cells
        part = {width: array[:, rows, columns] for width, array in outputs.items()}
        return decode_proposals(part, level.scale, self._threshold)


class RefineNet:
    """R-Net: separates faces from other things, and corrects their boxes.

    Args:
        model: the content of the .tflite file.
        threads: processor threads.
        threshold: boxes with a higher score are kept, 0..1.
    """

    def __init__(self, model: bytes, threads: int, threshold: float) -> None:
        self._net = _CropNet(model, threads, REFINE_BATCHES, widths={2, 4})
        self._threshold = threshold

    def refine(self, pixels: Array, boxes: Boxes) -> Boxes:
        """Keep the boxes that hold a face, and correct them.

        Args:
            pixels: `(height, width, 3)` float32, RGB, -1..1; see `standardise`.
            boxes: `(n, 4)` float32, square, pixels of the picture.

        Returns:
            `(k, 4)` float32, pixels of the picture, not square, best score first.
        """
        return decode_refined(self._net.run(crop(pixels, boxes, self._net.size)), boxes, self._threshold)

    def close(self) -> None:
        """Free the interpreters."""
        self._net.close()


class OutputNet:
    """O-Net: the final score and box of a face, and its landmarks.

    Args:
        model: the content of the .tflite file.
        threads: processor threads.
        threshold: boxes with a higher score are kept, 0..1.
    """

    def __init__(self, model: bytes, threads: int, threshold: float) -> None:
        self._net = _CropNet(model, threads, OUTPUT_BATCHES, widths={2, 4, 10})
        self._threshold = threshold

    def locate(self, pixels: Array, boxes: Boxes) -> tuple[Boxes, Array, Array]:
        """Keep the boxes that hold a face, correct them, and find the landmarks.

        Args:
            pixels: `(height, width, 3)` float32, RGB, -1..1; see `standardise`.
            boxes: `(n, 4)` float32, square, pixels of the picture.

        Returns:
            Boxes `(k, 4)`, scores `(k,)` and landmarks `(k, 5, 2)` as x, y (left eye, right eye, nose,
            left and right corner of the mouth); all float32, pixels of the picture, best score first.
        """
        return decode_faces(self._net.run(crop(pixels, boxes, self._net.size)), boxes, self._threshold)

    def follow(self, image: Image, boxes: Boxes) -> tuple[NDArray[np.intp], Boxes, Array, Array]:
        """Correct each box that holds a face, also where boxes overlap; for a few boxes of a large picture.

        Args:
            image: `(height, width, 3)` uint8, BGR.
            boxes: `(n, 4)` float32, square, pixels of the picture.

        Returns:
            The indices of `boxes` that hold a face, `(k,)` int, ascending; then boxes, scores and landmarks as from
            `locate`, in this order.
        """
        size = self._net.size
        crops = standardise(crop(image, boxes, size, outside=_GREY).reshape(-1, size, 3)).reshape(-1, size, size, 3)
        outputs = self._net.run(crops)
        corrected, scores, landmarks = correct_faces(outputs, boxes)
        rows = np.flatnonzero(scores > self._threshold)
        return rows, corrected[rows], scores[rows], landmarks[rows]

    def close(self) -> None:
        """Free the interpreters."""
        self._net.close()


class _CropNet:
    """A network over crops, with one interpreter open for each of a few batch sizes."""

    def __init__(self, model: bytes, threads: int, batches: tuple[int, ...], widths: set[int]) -> None:
        with closing(_Net(model, threads, widths)) as any_batch:
            crop_shape = any_batch.shape[1:]
        with ExitStack() as stack:
            self._nets = {
                batch: stack.enter_context(closing(_Net(model, threads, widths, (batch, *crop_shape))))
                for batch in batches
            }
            self._opened = stack.pop_all()
        self.size, self._widths = crop_shape[0], widths

    def run(self, crops: Array) -> Outputs:
        """The network's outputs for every crop, by their width."""
        parts = [{width: np.empty((0, width), np.float32) for width in self._widths}]
        start = 0
        for batch in split(len(crops), tuple(self._nets)):
            parts.append(self._nets[batch].run(crops[start : start + batch]))
            start += batch
        return {width: np.concatenate([part[width] for part in parts]) for width in self._widths}

    def close(self) -> None:
        """Free the interpreters."""
        self._opened.close()


class _Net:
    """One of the three networks for one shape of input; input and output are float32, also of an INT8 network."""

    def __init__(self, model: bytes, threads: int, widths: set[int], shape: tuple[int, ...] | None = None) -> None:
        self._backend = open_backend("cpu", model, threads=threads, input_shape=shape)
        self.shape = self._backend.inputs[0].shape
        found = sorted(spec.shape[-1] for spec in self._backend.outputs)
        if found != sorted(widths):
            self._backend.close()
            raise ModelError(
                f"expected a network of MTCNN whose outputs have {sorted(widths)} values, found {found}; "
                "reinstall edge-fer, or name another folder (--models)"
            )

    def run(self, batch: Array) -> Outputs:
        """The network's outputs for a batch of its shape, by their width."""
        return by_width(self._backend.infer(quantize(batch, self._backend.inputs[0])))

    def close(self) -> None:
        """Free the interpreter."""
        self._backend.close()


def split(count: int, batches: tuple[int, ...]) -> Iterator[int]:
    """Batch sizes whose sum is `count`, the largest first.

    Args:
        count: number of crops.
        batches: possible batch sizes, smallest first; the first is 1.
    """
    while count > 0:
        batch = max(size for size in batches if size <= count)
        yield batch
        count -= batch


def standardise(image: Image) -> Array:
    """Convert a picture to the input of the three networks.

    Args:
        image: `(height, width, 3)` uint8, BGR.

    Returns:
        `(height, width, 3)` float32, RGB, -1..1; mid-grey is 0.
    """
    pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.float32)
    pixels -= 127.5
    pixels /= 128
    return pixels


def quantize(values: Array, tensor: TensorSpec) -> NDArray[Any]:
    """Convert values to a network's input type, each to the nearest step of its scale; for a float input unchanged."""
    if tensor.scale == 0:
        return values
    limits = np.iinfo(tensor.dtype)
    steps = values * np.float32(1 / tensor.scale)
    np.rint(steps, out=steps)
    steps += tensor.zero_point
    quantized: NDArray[Any] = steps.clip(limits.min, limits.max, out=steps).astype(tensor.dtype)
    return quantized


def crop(pixels: AnyPixels, boxes: Boxes, size: int, outside: float = 0) -> AnyPixels:
    """Cut boxes out and scale them, as TensorFlow's `crop_and_resize` does.

    The first and last sample lie on the box's sides, samples between them are bilinear, and those outside
    the picture are `outside`. As in the `mtcnn` package, coordinates shrink by `(side - 1) / side` of the picture.

    Args:
        pixels: `(height, width, 3)` float32 or uint8, any colour order and range.
        boxes: `(n, 4)` float32, pixels of the picture.
        size: side of the crops, pixels.
        outside: value of the samples that lie outside the picture.

    Returns:
        `(n, size, size, 3)` of the dtype, colour order and range of `pixels`.
    """
    if not len(boxes):
        return np.empty((0, size, size, 3), pixels.dtype)
    last = np.array([pixels.shape[1] - 1, pixels.shape[0] - 1], np.float32)
    corners = boxes.reshape(-1, 2, 2) * (last / (last + 1))
    steps = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    samples = corners[:, None, 0] + (corners[:, None, 1] - corners[:, None, 0]) * steps
    samples[(samples < 0) | (samples > last)] = -2  # beyond the border's reach, where it would mix with the picture
    shape = (len(boxes), size, size)
    # One row for each box: OpenCV's pictures have at most 32,767 rows.
    x = np.broadcast_to(samples[:, None, :, 0], shape).reshape(len(boxes), -1)
    y = np.broadcast_to(samples[:, :, None, 1], shape).reshape(len(boxes), -1)
    border = (outside, outside, outside)
    sampled = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border)
    return np.asarray(sampled, pixels.dtype).reshape(*shape, 3)
