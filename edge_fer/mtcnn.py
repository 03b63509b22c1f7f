"""MTCNN's three networks (Zhang et al. 2016) on LiteRT, each a class with one verb.

P-Net proposes boxes over a pyramid of sizes, R-Net refines them from 24x24 crops, O-Net from
48x48 crops and adds the landmarks. Weights and arithmetic are those of the `mtcnn` package 1.0.0,
so that both find the same faces. `edge_fer.detect` puts the three together.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.backends import Backend, open_backend
from edge_fer.boxes import Boxes, suppress
from edge_fer.errors import ModelError
from edge_fer.types import Image

Array = NDArray[np.float32]
Outputs = dict[int, Array]
"""A network's outputs by their last dimension: 2 scores (no face, face), 4 box offsets, 10 landmark coordinates."""

CELL = 12  # P-Net sees 12x12 pixels at each of its output cells,
STRIDE = 2  # which lie two pixels apart
CELL_BOX = np.array([1, 1, CELL, CELL], np.float32)  # counted from 1, as in the Matlab original
SIDE_BY_SIDE = 2
REFINE_BATCHES = (8, 16, 32, 64)
OUTPUT_BATCHES = (1, 2, 4, 8, 16)


class ProposalNet:
    """P-Net over a pyramid of sizes; keeps one interpreter a level for the last picture's size.

    The largest level is about half of all the work, so two levels at a time are enough to share it out evenly;
    threads beyond two help within a level.
    """

    def __init__(self, model: bytes, threads: int, threshold: float, min_face: int, factor: float) -> None:
        self._model, self._threshold = model, threshold
        self._min_face, self._factor = min_face, factor
        self._threads_a_level = max(threads // SIDE_BY_SIDE, 1)
        self._size = (0, 0)
        self._levels: list[tuple[float, Backend]] = []
        self._opened = ExitStack()
        self._pool = ThreadPoolExecutor(min(threads, SIDE_BY_SIDE), thread_name_prefix="pyramid")
        with self._open(CELL, CELL) as smallest:
            _check(smallest, widths={2, 4})

    def propose(self, pixels: Array) -> Boxes:
        """Boxes that may hold a face.

        Args:
            pixels: a picture from `standardise`.

        Returns:
            `(n, 4)` float32, pixels of the picture, not square, best score first.
        """
        height, width = pixels.shape[:2]
        if (width, height) != self._size:
            self._prepare(width, height)
        return merge_proposals(list(self._pool.map(partial(self._propose_at, pixels), self._levels)))

    def close(self) -> None:
        """Free the interpreters and end the threads."""
        self._pool.shutdown()
        self._opened.close()

    def _open(self, width: int, height: int) -> Backend:
        return open_backend("cpu", self._model, threads=self._threads_a_level, input_shape=(1, height, width, 3))

    def _prepare(self, width: int, height: int) -> None:
        self._opened.close()
        self._levels = []
        for scale in pyramid_scales(width, height, self._min_face, self._factor):
            backend = self._opened.enter_context(self._open(int(width * scale), int(height * scale)))
            self._levels.append((scale, backend))
        self._size = (width, height)

    def _propose_at(self, pixels: Array, level: tuple[float, Backend]) -> tuple[Boxes, Array]:
        scale, backend = level
        _, height, width, _ = backend.input.shape
        shrunk = shrink(pixels, width, height)
        return decode_proposals(by_width(backend.infer(shrunk[None])), scale, self._threshold)


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
        return decode_refined(self._net.run(pixels, boxes), boxes, self._threshold)

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
        return decode_faces(self._net.run(pixels, boxes), boxes, self._threshold)

    def close(self) -> None:
        """Free the interpreters."""
        self._net.close()


class _CropNet:
    """A network over crops, with one interpreter open for each of a few batch sizes."""

    def __init__(self, model: bytes, threads: int, batches: tuple[int, ...], widths: set[int]) -> None:
        with open_backend("cpu", model) as single:
            _check(single, widths)
            crop_shape = single.input.shape[1:]
        with ExitStack() as stack:
            self._backends = {
                batch: stack.enter_context(
                    open_backend("cpu", model, threads=threads, input_shape=(batch, *crop_shape))
                )
                for batch in batches
            }
            self._opened = stack.pop_all()
        self._crop_size = crop_shape[0]
        self._widths = widths

    def run(self, pixels: Array, boxes: Boxes) -> Outputs:
        """The network's outputs for every box, by their width."""
        parts = [{width: np.empty((0, width), np.float32) for width in self._widths}]
        start = 0
        for batch in split(len(boxes), tuple(self._backends)):
            part = boxes[start : start + batch]
            padded = np.zeros(self._backends[batch].input.shape, np.float32)
            padded[: len(part)] = crop(pixels, part, self._crop_size)
            outputs = self._backends[batch].infer(padded)
            parts.append({width: array[: len(part)] for width, array in by_width(outputs).items()})
            start += batch
        return {width: np.concatenate([part[width] for part in parts]) for width in self._widths}

    def close(self) -> None:
        """Free the interpreters."""
        self._opened.close()


def by_width(outputs: tuple[Array, ...]) -> Outputs:
    """A network's outputs by their last dimension, whatever order the file has them in."""
    return {array.shape[-1]: array for array in outputs}


def decode_proposals(outputs: Outputs, scale: float, threshold: float) -> tuple[Boxes, Array]:
    """P-Net's answer for one level of the pyramid.

    Args:
        outputs: `(1, rows, columns, 2)` and `(1, rows, columns, 4)`.
        scale: of the level.
        threshold: cells that score higher are kept.

    Returns:
        Boxes `(n, 4)` in pixels of the full picture and scores `(n,)`, float32, best score first.
    """
    faces = outputs[2][0, :, :, 1]
    rows, columns = np.nonzero(faces > threshold)
    scores = faces[rows, columns]
    corners = np.stack([columns, rows, columns, rows], axis=1).astype(np.float32) * STRIDE
    boxes = (corners + CELL_BOX + outputs[4][0, rows, columns] * (CELL - 1)) / np.float32(scale)
    kept = suppress(boxes, scores, 0.5)
    return boxes[kept], scores[kept]


def merge_proposals(found: list[tuple[Boxes, Array]]) -> Boxes:
    """All levels' boxes together, `(n, 4)` float32, less those that show the same place; best score first."""
    boxes = np.concatenate([np.empty((0, 4), np.float32), *(boxes for boxes, _ in found)])
    scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in found)])
    return boxes[suppress(boxes, scores, 0.7)]


def decode_refined(outputs: Outputs, boxes: Boxes, threshold: float) -> Boxes:
    """R-Net's answer for `boxes`; see `RefineNet.refine`."""
    scores = outputs[2][:, 1]
    passed = scores > threshold
    refined = _correct(boxes, outputs[4])[passed]
    return refined[suppress(refined, scores[passed], 0.7)]


def decode_faces(outputs: Outputs, boxes: Boxes, threshold: float) -> tuple[Boxes, Array, Array]:
    """O-Net's answer for `boxes`; see `OutputNet.locate`."""
    scores = outputs[2][:, 1]
    sides = boxes[:, None, 2:] - boxes[:, None, :2] + 1
    relative = outputs[10].reshape(-1, 2, 5).transpose(0, 2, 1)
    landmarks = relative * sides + boxes[:, None, :2] - 1
    corrected = _correct(boxes, outputs[4])
    passed = np.flatnonzero(scores > threshold)
    kept = passed[suppress(corrected[passed], scores[passed], 0.7, over="smaller")]
    return corrected[kept], scores[kept], landmarks[kept]


def pyramid_scales(width: int, height: int, min_face: int, factor: float) -> list[float]:
    """Scales at which P-Net looks at a picture: from the smallest face to the shorter side.

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        min_face: side of the smallest face to find, pixels.
        factor: from one scale to the next, below 1.

    Returns:
        Scales, largest first; none where the picture is smaller than `min_face`.
    """
    scales = []
    scale = CELL / min_face
    while int(min(width, height) * scale) >= CELL:
        scales.append(scale)
        scale *= factor
    return scales


def split(count: int, batches: tuple[int, ...]) -> Iterator[int]:
    """Batch sizes that hold `count` crops: the largest as long as it fills up, then the smallest that suffices.

    Args:
        count: how many crops there are.
        batches: the sizes there are, smallest first.
    """
    while count > 0:
        batch = next((size for size in batches if size >= count), batches[-1])
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


def shrink(pixels: Array, width: int, height: int) -> Array:
    """A picture from `standardise` at a smaller size, by area averaging.

    The values stay real numbers: rounding a level of the pyramid to whole pixel values moves the
    final boxes by several pixels.
    """
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)


def crop(pixels: Array, boxes: Boxes, size: int) -> Array:
    """Cut boxes out and scale them, as TensorFlow's `crop_and_resize` does.

    The first and last sample lie on the box's sides, samples between them are bilinear, and those outside
    the picture are 0. As in the `mtcnn` package, coordinates shrink by `(side - 1) / side` of the picture.

    Args:
        pixels: `(height, width, 3)` float32.
        boxes: `(n, 4)` float32, pixels of the picture.
        size: side of the crops, pixels.

    Returns:
        `(n, size, size, 3)` float32.
    """
    last = np.array([pixels.shape[1] - 1, pixels.shape[0] - 1], np.float32)
    corners = boxes.reshape(-1, 2, 2) * (last / (last + 1))
    steps = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    samples = corners[:, None, 0] + (corners[:, None, 1] - corners[:, None, 0]) * steps
    samples[(samples < 0) | (samples > last)] = -2  # beyond the border's reach, where it would mix with the picture
    shape = (len(boxes), size, size)
    x = np.broadcast_to(samples[:, None, :, 0], shape).reshape(-1, size)
    y = np.broadcast_to(samples[:, :, None, 1], shape).reshape(-1, size)
    sampled = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(sampled, dtype=np.float32).reshape(*shape, 3)


def _correct(boxes: Boxes, offsets: Array) -> Boxes:
    """Boxes moved by a network's offsets, which are fractions of their sides."""
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    corrected: Boxes = boxes + offsets * np.hstack([sides, sides])
    return corrected


def _check(backend: Backend, widths: set[int]) -> None:
    found = sorted(spec.shape[-1] for spec in backend.outputs)
    if found != sorted(widths):
        raise ModelError(
            f"expected a network of MTCNN with outputs of {sorted(widths)} values, found {found}; reinstall edge-fer"
        )
