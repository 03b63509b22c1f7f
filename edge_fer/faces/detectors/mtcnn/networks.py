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
_GREY = 128  # of a pixel; half a step from 0 once standardised
REFINE_BATCHES = (1, 2, 4, 8, 16, 32)
OUTPUT_BATCHES = (1, 2, 4, 8)
"""A crop costs the same in any of these, so that together they hold any number without padding."""


class ProposalNet:
    """P-Net over a pyramid of sizes, in one inference; ready for the last picture's size."""

    def __init__(self, model: bytes, threads: int, threshold: float, min_face: int, factor: float) -> None:
        self._model, self._threads, self._threshold = model, threads, threshold
        self._min_face, self._factor = min_face, factor
        self._canvas = Canvas(0, 0, min_face, factor)
        self._net = _Net(model, threads, {2, 4})

    def propose(self, pixels: Array) -> Boxes:
        """Boxes that may hold a face.

        Args:
            pixels: a picture from `standardise`.

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
    """R-Net: tells faces from the rest and corrects their boxes."""

    def __init__(self, model: bytes, threads: int, threshold: float) -> None:
        self._net = _CropNet(model, threads, REFINE_BATCHES, widths={2, 4})
        self._threshold = threshold

    def refine(self, pixels: Array, boxes: Boxes) -> Boxes:
        """Keep the boxes that hold a face, and correct them.

        Args:
            pixels: a picture from `standardise`.
            boxes: `(n, 4)` float32, square, pixels of the picture.

        Returns:
            `(k, 4)` float32, pixels of the picture, not square, best score first.
        """
        return decode_refined(self._net.run(crop(pixels, boxes, self._net.size)), boxes, self._threshold)

    def close(self) -> None:
        """Free the interpreters."""
        self._net.close()


class OutputNet:
    """O-Net: the final word on a box, and the landmarks in it."""

    def __init__(self, model: bytes, threads: int, threshold: float) -> None:
        self._net = _CropNet(model, threads, OUTPUT_BATCHES, widths={2, 4, 10})
        self._threshold = threshold

    def locate(self, pixels: Array, boxes: Boxes) -> tuple[Boxes, Array, Array]:
        """Keep the boxes that hold a face, correct them, and find the landmarks.

        Args:
            pixels: a picture from `standardise`.
            boxes: `(n, 4)` float32, square, pixels of the picture.

        Returns:
            Boxes `(k, 4)`, scores `(k,)` and landmarks `(k, 5, 2)` as x, y (left eye, right eye, nose,
            left and right corner of the mouth); all float32, pixels of the picture, best score first.
        """
        return decode_faces(self._net.run(crop(pixels, boxes, self._net.size)), boxes, self._threshold)

    def follow(self, image: Image, boxes: Boxes) -> tuple[NDArray[np.intp], Boxes, Array, Array]:
        """Correct each box that holds a face, whichever others it overlaps; for a few boxes of a large picture.

        Args:
            image: `(height, width, 3)` uint8, BGR.
            boxes: `(n, 4)` float32, square, pixels of the picture.

        Returns:
            Which of `boxes` hold a face, `(k,)` ascending; then as `locate`, in this order.
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
    """One of the three networks at one shape of input; takes and gives float32 whatever it computes in."""

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
    """Batch sizes that hold `count` crops and not one more, the largest first.

    Args:
        count: how many crops there are.
        batches: the sizes there are: 1 and others, smallest first.
    """
    while count > 0:
        batch = max(size for size in batches if size <= count)
        yield batch
        count -= batch


def standardise(image: Image) -> Array:
    """A picture as all three networks take it.

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
    """Values as a network's input takes them: the nearest steps of its scale; a float input's as they are."""
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
        pixels: `(height, width, 3)` float32 or uint8.
        boxes: `(n, 4)` float32, pixels of the picture.
        size: side of the crops, pixels.
        outside: value of what lies outside the picture.

    Returns:
        `(n, size, size, 3)` of the same dtype.
    """
    if not len(boxes):
        return np.empty((0, size, size, 3), pixels.dtype)
    last = np.array([pixels.shape[1] - 1, pixels.shape[0] - 1], np.float32)
    corners = boxes.reshape(-1, 2, 2) * (last / (last + 1))
    steps = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    samples = corners[:, None, 0] + (corners[:, None, 1] - corners[:, None, 0]) * steps
    samples[(samples < 0) | (samples > last)] = -2  # beyond the border's reach, where it would mix with the picture
    shape = (len(boxes), size, size)
    # One row a box: OpenCV's pictures have at most 32,767 rows.
    x = np.broadcast_to(samples[:, None, :, 0], shape).reshape(len(boxes), -1)
    y = np.broadcast_to(samples[:, :, None, 1], shape).reshape(len(boxes), -1)
    border = (outside, outside, outside)
    sampled = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border)
    return np.asarray(sampled, pixels.dtype).reshape(*shape, 3)
