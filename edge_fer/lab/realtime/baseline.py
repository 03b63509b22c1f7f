"""The published pipeline written plainly: what the runtime's speed is measured against.

Both baselines find every face of at least 20 pixels, turn its eyes level, cut it out and read it
with the INT8 classifier, one step after the other. They differ in what MTCNN runs on: `Plain` uses
the `mtcnn` package (TensorFlow), `PlainLiteRT` the runtime's float networks on LiteRT, without
anything done for speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np

from edge_fer.common.closeable import Closeable
from edge_fer.expression.classifier import Classifier, open_classifier
from edge_fer.faces.align import align
from edge_fer.faces.boxes import clip, square
from edge_fer.faces.coordinates import to_faces
from edge_fer.faces.detectors.mtcnn.decode import (
    Outputs,
    by_width,
    decode_faces,
    decode_proposals,
    decode_refined,
    merge_proposals,
)
from edge_fer.faces.detectors.mtcnn.networks import crop, standardise
from edge_fer.faces.detectors.mtcnn.pyramid import Array, pyramid_scales
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import ClassifySettings
from edge_fer.status.monitor import Monitor
from edge_fer.types import AlignedFace, Box, Expression, Face, Image, Landmarks, Point

MIN_FACE = 20
FACTOR = 0.709
THRESHOLDS = (0.6, 0.7, 0.8)
SCORE = 0.9

Readings = tuple[tuple[Face, Expression], ...]


class Plain(Closeable):
    """The `mtcnn` package 1.0.0 at its default parameters, then the INT8 classifier."""

    name = "plain"
    min_face = MIN_FACE
    needs = ("mtcnn", "tensorflow")

    def __init__(self, store: ModelStore | None = None, monitor: Monitor | None = None) -> None:
        from mtcnn import MTCNN

        self.monitor = monitor or Monitor(1.0)
        self._classifier = open_classifier(ClassifySettings(backend="cpu"), store or ModelStore())
        self._network = MTCNN()

    def read(self, images: Iterable[Image]) -> Iterator[int]:
        """See `edge_fer.bench.Contender.read`."""
        return (len(self.process(image)) for image in images)

    def process(self, image: Image) -> Readings:
        """Every face with its expression."""
        with self.monitor.stage("detect"):
            rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            found = self._network.detect_faces(rgb)
        faces = [_package_face(row) for row in found if row["confidence"] >= SCORE]
        return _read(self._classifier, image, faces, self.monitor)

    def close(self) -> None:
        """Free the networks."""
        self._classifier.close()


class PlainLiteRT(Closeable):
    """The same networks and parameters on LiteRT: three interpreters, resized for every call."""

    name = "plain-litert"
    min_face = MIN_FACE
    needs = ("ai_edge_litert",)

    def __init__(self, store: ModelStore | None = None, threads: int = 2, monitor: Monitor | None = None) -> None:
        self.monitor = monitor or Monitor(1.0)
        store = store or ModelStore()
        self._classifier = open_classifier(ClassifySettings(backend="cpu", threads=threads), store)
        self._proposal = _ResizedNet(store.load("mtcnn_pnet", "propose"), threads)
        self._refine = _ResizedNet(store.load("mtcnn_rnet", "refine"), threads)
        self._output = _ResizedNet(store.load("mtcnn_onet", "output"), threads)

    def read(self, images: Iterable[Image]) -> Iterator[int]:
        """See `edge_fer.bench.Contender.read`."""
        return (len(self.process(image)) for image in images)

    def process(self, image: Image) -> Readings:
        """Every face with its expression."""
        with self.monitor.stage("detect"):
            faces = self._detect(image)
        return _read(self._classifier, image, [face for face in faces if face.score >= SCORE], self.monitor)

    def _detect(self, image: Image) -> tuple[Face, ...]:
        height, width = image.shape[:2]
        pixels = standardise(image)
        proposals = []
        for scale in pyramid_scales(width, height, MIN_FACE, FACTOR):
            size = int(width * scale), int(height * scale)
            level = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32)
            proposals.append(decode_proposals(self._proposal.run(level[None]), scale, THRESHOLDS[0]))
        boxes = square(merge_proposals(proposals))
        if not len(boxes):
            return ()
        boxes = square(decode_refined(self._refine.run(crop(pixels, boxes, 24)), boxes, THRESHOLDS[1]))
        if not len(boxes):
            return ()
        boxes, scores, landmarks = decode_faces(self._output.run(crop(pixels, boxes, 48)), boxes, THRESHOLDS[2])
        return to_faces(clip(boxes, width, height), scores, landmarks)

    def close(self) -> None:
        """Free the networks."""
        self._classifier.close()


class _ResizedNet:
    """A network whose one interpreter takes the size of whatever it is given."""

    def __init__(self, model: bytes, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=model, num_threads=threads)

    def run(self, batch: Array) -> Outputs:
        """The network's outputs for a batch of any size."""
        index = self._interpreter.get_input_details()[0]["index"]
        self._interpreter.resize_tensor_input(index, batch.shape)
        self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(index, batch)
        self._interpreter.invoke()
        details = self._interpreter.get_output_details()
        return by_width(tuple(self._interpreter.get_tensor(detail["index"]) for detail in details))


def _read(classifier: Classifier, image: Image, faces: list[Face], monitor: Monitor) -> Readings:
    readings = []
    for face in faces:
        with monitor.stage("align"):
            aligned = align(image, face.landmarks, classifier.crop, classifier.size, colour=classifier.colour)
        with monitor.stage("classify"):
            readings.append((face, classifier.classify(AlignedFace.of_crop(aligned))))
    return tuple(readings)


def _package_face(row: Mapping[str, Any]) -> Face:
    points = row["keypoints"]
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    landmarks = Landmarks(*(Point(*map(float, points[name])) for name in names))
    return Face(Box(*map(float, row["box"])), float(row["confidence"]), landmarks)
