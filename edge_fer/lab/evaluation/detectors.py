"""Detectors under measurement: they find faces as the runtime does, but for the score from which a face counts.

A curve of precision over recall needs boxes that a run would not show, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_fer.common.closeable import Closeable
from edge_fer.expression import ExpressionModel
from edge_fer.faces.align import align
from edge_fer.faces.boxes import clip, corners_of
from edge_fer.faces.detectors import Detector, open_detector
from edge_fer.faces.detectors.yolov3_tiny.decode import Detections, decode, find_best
from edge_fer.faces.detectors.yolov3_tiny.letterbox import letterbox
from edge_fer.faces.detectors.yolov3_tiny.network import YoloNetwork
from edge_fer.inference import open_backend
from edge_fer.inference.manifest_detect import DetectorSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.datasets.detection.pictures import LabelledPictures
from edge_fer.lab.evaluation.contenders import find_measurable, open_contender
from edge_fer.lab.evaluation.metrics_detection import Found, Truth
from edge_fer.settings import DetectSettings
from edge_fer.types import LABELS, AlignedFace, Image

LEAST_SCORE = 0.01
"""Objectness below which boxes of a one-pass network are no part of the curve."""

CASCADE = DetectSettings(kind="mtcnn", min_face=20, score=0.3, thresholds=(0.4, 0.5, 0.3), precision="float32")
"""MTCNN as it finds most: half its usual smallest face, and boxes from a score of 0.3, not of 0.8."""


class DetectionContender(Protocol):
    """What finds faces and what they show."""

    name: str

    def find(self, image: Image) -> Found:
        """Find the faces of a picture, `(height, width, 3)` uint8, BGR."""
        ...


class OnePass(Closeable):
    """A network that finds faces and expressions in one pass, on the CPU.

    Args:
        name: its name.
        spec: what the manifest says of it.
        content: its file.
        threads: processor threads.

    Raises:
        ModelError: when the file is not what the entry says.
    """

    def __init__(self, name: str, spec: DetectorSpec, content: bytes, threads: int = 1) -> None:
        self.name, self._spec = name, spec
        self._network = YoloNetwork(name, spec, open_backend("cpu", content, threads=threads))

    def detections(self, image: Image) -> Detections:
        """What the network finds, in pixels of a picture."""
        size = self._spec.input.size
        boxed = letterbox(image, size)
        maps = self._network.maps(boxed.image)
        found = find_best(decode(maps, self._spec.anchors, size, LEAST_SCORE), self._spec.nms_iou)
        return Detections(boxed.to_picture(found.boxes), found.objectness, found.logits)

    def find(self, image: Image) -> Found:
        """See `DetectionContender`; a label's score is objectness times its sigmoid, as published."""
        found = self.detections(image)
        return Found(found.boxes, found.objectness, found.class_scores)

    def close(self) -> None:
        """Free the network."""
        self._network.close()


class Cascade(Closeable):
    """MTCNN, and a classifier on each face that it finds; a label's score is the face's times its probability.

    Args:
        store: the folder of both.
        classifier: its name in the manifest.
        threads: processor threads.

    Raises:
        ModelError: when a network is missing or corrupt.
    """

    def __init__(self, store: ModelStore, classifier: str, threads: int = 1) -> None:
        self.name = f"mtcnn + {classifier}"
        settings = CASCADE.model_copy(update={"threads": threads})
        with ExitStack() as stack:
            self._detector: Detector = stack.enter_context(open_detector(settings, store))
            artefact = find_measurable(store, classifier)
            self._classifier: ExpressionModel = open_contender(artefact, threads, stack).classifier
            self._held = stack.pop_all()

    def find(self, image: Image) -> Found:
        """See `DetectionContender`."""
        faces = self._detector.find(image)
        scores = np.array([face.score for face in faces], np.float32)
        model = self._classifier
        crops = (align(image, face.landmarks, model.crop, model.size, colour=model.colour) for face in faces)
        chances = [model.classify(AlignedFace.of_crop(crop)).probabilities for crop in crops]
        labels = scores[:, None] * np.array(chances, np.float32).reshape(-1, len(LABELS))
        boxes = clip(corners_of([face.box for face in faces]), image.shape[1], image.shape[0])
        return Found(boxes, scores, labels)

    def close(self) -> None:
        """Free the networks."""
        self._held.close()


@dataclass(frozen=True, slots=True)
class Searched:
    """What a detector found in some pictures.

    Attributes:
        truths: the faces of each.
        found: what was found in each.
        milliseconds: median time of a picture.
    """

    truths: tuple[Truth, ...]
    found: tuple[Found, ...]
    milliseconds: float


def search_all(
    contender: DetectionContender,
    pictures: LabelledPictures,
    count: int,
    progress: Progress = silent,
    clock: Callable[[], float] = time.perf_counter,
) -> Searched:
    """Let a detector search the first pictures of a set.

    Args:
        contender: the detector.
        pictures: the set.
        count: how many pictures at most.
        progress: called after each.
        clock: seconds.

    Raises:
        BackendError: when a network fails.
        SourceError: when a picture cannot be read.
    """
    truths, found, seconds = [], [], []
    total = min(count, len(pictures))
    for number in range(total):
        picture = pictures[number]
        started = clock()
        found.append(contender.find(picture.image))
        seconds.append(clock() - started)
        truths.append(Truth(picture.boxes, picture.labels))
        progress(number + 1, total)
    return Searched(tuple(truths), tuple(found), 1000 * float(np.median(seconds)))
