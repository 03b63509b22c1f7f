"""Faces with five landmarks: the cascade of MTCNN's three networks, on a smaller copy of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing

import numpy as np

from edge_fer.common.closeable import Closeable
from edge_fer.faces.boxes import Boxes, clip, corners_of, square
from edge_fer.faces.detectors.mtcnn.networks import OutputNet, ProposalNet, RefineNet, standardise
from edge_fer.faces.detectors.mtcnn.precision import quicker
from edge_fer.faces.detectors.mtcnn.pyramid import CELL, Array, Canvas
from edge_fer.faces.resize import fit
from edge_fer.inference.manifest import Task
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import DetectSettings
from edge_fer.types import Box, Face, Image, Landmarks, Point

OUTPUT_SHAPE = (1, 48, 48, 3)
"""Of O-Net's input, for one face."""


def open_detector(settings: DetectSettings, store: ModelStore) -> Detector:
    """Load the three networks, in the precision that the settings ask for.

    Raises:
        ModelError: when one is missing, corrupt or not what it should be.
        BackendError: when the CPU cannot run one.
    """
    return Detector(settings, **choose_nets(settings, store))


def choose_nets(settings: DetectSettings, store: ModelStore) -> dict[str, bytes]:
    """The three networks' files by the names that `Detector` gives them, in the precision that the settings ask for.

    Raises:
        ModelError: when one is missing or corrupt.
    """
    canvas = Canvas(settings.size, settings.size * 9 // 16, settings.min_face, settings.factor).pixels
    proposal_shape = (1, *canvas.shape) if canvas.size else (1, CELL, CELL, 3)
    return {
        "proposal": load_net(store, "mtcnn_pnet", "propose", settings, proposal_shape),
        "refine": load_net(store, "mtcnn_rnet", "refine", settings, (8, 24, 24, 3)),
        "output": load_net(store, "mtcnn_onet", "output", settings, OUTPUT_SHAPE),
    }


def load_net(store: ModelStore, name: str, task: Task, settings: DetectSettings, shape: tuple[int, ...]) -> bytes:
    """One network's file, in the precision that the settings ask for.

    Args:
        store: has the file.
        name: of the float32 network.
        task: of it.
        settings: of the detector.
        shape: of the input that it is quick or slow on.

    Raises:
        ModelError: when it is missing or corrupt.
    """
    int8 = f"{name}_int8"
    if settings.precision == "int8":
        return store.load(int8, task)
    if settings.precision == "float32" or int8 not in store.specs:
        return store.load(name, task)
    files = {each: store.load(each, task) for each in (name, int8)}
    return files[quicker(files, shape, threads=settings.threads)]


class Detector(Closeable):
    """Finds faces in pictures of any size; quickest while the size stays the same.

    Args:
        settings: sizes, thresholds, processor threads.
        proposal: content of P-Net's .tflite file.
        refine: content of R-Net's.
        output: content of O-Net's.

    Raises:
        ModelError: when a network's outputs are not those of its stage.
        BackendError: when the CPU cannot run one.
    """

    def __init__(self, settings: DetectSettings, proposal: bytes, refine: bytes, output: bytes) -> None:
        self._size = settings.size
        self._max_faces = settings.max_faces
        threads = settings.threads
        propose_above, refine_above, output_above = settings.thresholds
        final_above = max(output_above, settings.score)
        with ExitStack() as stack:
            pyramid = (settings.min_face, settings.factor)
            self._proposal = stack.enter_context(closing(ProposalNet(proposal, threads, propose_above, *pyramid)))
            self._refine = stack.enter_context(closing(RefineNet(refine, threads, refine_above)))
            self._output = stack.enter_context(closing(OutputNet(output, threads, final_above)))
            self._opened = stack.pop_all()

    def detect(self, image: Image) -> tuple[Face, ...]:
        """Find the faces of one picture.

        Args:
            image: `(height, width, 3)` uint8, BGR.

        Returns:
            Faces in pixels of `image` (whole coordinates are pixel centres), best score first.

        Raises:
            BackendError: when a network fails.
        """
        small = fit(image, self._size)
        pixels = standardise(small)
        boxes = square(self._proposal.propose(pixels))
        boxes = square(self._refine.refine(pixels, boxes))
        boxes, scores, landmarks = self._output.locate(pixels, boxes)
        best = slice(self._max_faces)
        boxes = clip(boxes[best], small.shape[1], small.shape[0])
        return enlarged(to_faces(boxes, scores[best], landmarks[best]), small, image)

    def close(self) -> None:
        """Free the networks."""
        self._opened.close()


def to_faces(boxes: Boxes, scores: Array, landmarks: Array) -> tuple[Face, ...]:
    """Records from what `OutputNet.locate` gives."""
    return tuple(
        Face(Box(left, top, right - left, bottom - top), score, Landmarks(*(Point(x, y) for x, y in points)))
        for (left, top, right, bottom), score, points in zip(
            boxes.tolist(), scores.tolist(), landmarks.tolist(), strict=True
        )
    )


def enlarged(faces: Sequence[Face], small: Image, image: Image) -> tuple[Face, ...]:
    """Faces of a smaller copy of a picture, in pixels of the picture."""
    ratio = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]], np.float32)

    def place(points: Array) -> Array:
        return (points + 0.5) * ratio - 0.5

    corners = place(corners_of([face.box for face in faces]).reshape(-1, 2, 2)).reshape(-1, 4)
    landmarks = place(np.array([face.landmarks.points for face in faces], np.float32).reshape(-1, 5, 2))
    return to_faces(corners, np.array([face.score for face in faces]), landmarks)
