"""Faces read by the runtime as they are, smaller, blurred and turned: quality and correctness of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_fer.errors import SourceError
from edge_fer.expression import ExpressionModel
from edge_fer.expression.open_model import open_expression_model
from edge_fer.faces.align import align
from edge_fer.faces.detectors import open_detector
from edge_fer.faces.quality import measure_quality
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.dataset import Dataset
from edge_fer.lab.datasets.degradations import Random, blur, turn
from edge_fer.lab.datasets.pasting import Pasted, find, paste
from edge_fer.lab.datasets.pictures import resize
from edge_fer.settings import Settings
from edge_fer.types import LABELS, AlignedFace, Face, Image, Quality

_SEED = 0
_SIDES = 100, 200  # of crops in pictures, pixels
_SMALL_SIDES = 10, 60  # of those that are to be small
_SMALL_FACE = 12  # the smallest that the detector can find, pixels
_AROUND = 60  # pixels that a picture has more than its largest crop: a larger wall takes time and shows nothing
_DETAILED = 192  # side at which crops are blurred and turned, pixels
_MOST_BLUR = 0.06  # standard deviation, part of the crop's side
_MOST_TURN = 60.0  # degrees

SeriesName = Literal["as they are", "smaller", "blurred", "turned in the plane"]


@dataclass(frozen=True, slots=True)
class Observation:
    """A face that the runtime found: its quality, and whether it was read rightly.

    Attributes:
        quality: the face's quality as the runtime measured it.
        roll: angle of the line through the eyes, degrees, -180..180.
        right: whether the label is that of the annotators.
    """

    quality: Quality
    roll: float
    right: bool


@dataclass(frozen=True, slots=True)
class Series:
    """All faces, presented in one way.

    Attributes:
        shown: how many faces there were.
        observations: one for each face that was found.
    """

    shown: int
    observations: tuple[Observation, ...]

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the faces that were found, 0..1; None where none was."""
        right = sum(observation.right for observation in self.observations)
        return right / len(self.observations) if self.observations else None


def draw(faces: Dataset, count: int) -> Dataset:
    """Some of the faces, always the same ones; all for 0 or where there are no more.

    Raises:
        SourceError: when there is none.
    """
    if not len(faces):
        raise SourceError("expected validation faces, found none; see `edge-fer lab data`")
    if not 0 < count < len(faces):
        return faces
    return faces.take(np.sort(np.random.default_rng(_SEED).permutation(len(faces))[:count]))


def show(settings: Settings, faces: Dataset, report: Reporter) -> dict[SeriesName, Series]:
    """Have the runtime read faces presented in every way.

    Args:
        settings: settings of the detector and the classifier. `detect.precision: auto` counts as float32, since
            `auto` chooses by a short measurement, which may differ from one run to the next.
        faces: labelled crops.
        report: receives lines and progress.

    Returns:
        By name. Whatever the detector finds above `track.score` counts: a face that is followed is read so long.

    Raises:
        BackendError: when the device fails.
        ModelError: when a network is missing or corrupt.
        SourceError: when a picture cannot be read.
    """
    store, found = ModelStore(settings.models), {}
    detect = settings.detect.model_copy(update={"score": settings.track.score})
    if detect.precision == "auto":
        detect = detect.model_copy(update={"precision": "float32"})
    with closing(open_expression_model(settings.classify, store)) as classifier:
        for name, (present, smallest) in _WAYS.items():
            near = detect if smallest is None else detect.model_copy(update={"min_face": smallest})
            with closing(open_detector(near, store)) as detector, report.step(name) as progress:
                observations = []
                for number, pasted in enumerate(_pictures(faces, present)):
                    face = find(detector, pasted)
                    if face is not None:
                        observations.append(_observe(pasted, face, classifier, int(faces.labels[number])))
                    progress(number + 1, len(faces))
            found[name] = Series(len(faces), tuple(observations))
    return found


def _pictures(faces: Dataset, present: _Present) -> Iterator[Pasted]:
    for number in range(len(faces)):
        yield present(faces.images[number], number, np.random.default_rng([number, 1]))


def _observe(pasted: Pasted, face: Face, classifier: ExpressionModel, label: int) -> Observation:
    crop = align(pasted.frame, face.landmarks, classifier.crop, classifier.size, colour=classifier.colour)
    left, right = face.landmarks.left_eye, face.landmarks.right_eye
    roll = math.degrees(math.atan2(right.y - left.y, right.x - left.x))
    expression = classifier.classify(AlignedFace.of_crop(crop))
    return Observation(measure_quality(crop, face), roll, expression.label == LABELS[label])


def _at_a_size(face: Image, sides: tuple[int, int], seed: int, rng: Random) -> Pasted:
    """At a side that is drawn so that each doubling is as likely."""
    smallest, largest = sides
    return paste(face, seed, side=round(smallest * (largest / smallest) ** rng.uniform()), size=largest + _AROUND)


def _as_it_is(face: Image, seed: int, rng: Random) -> Pasted:
    return _at_a_size(face, _SIDES, seed, rng)


def _smaller(face: Image, seed: int, rng: Random) -> Pasted:
    return _at_a_size(face, _SMALL_SIDES, seed, rng)


def _blurred(face: Image, seed: int, rng: Random) -> Pasted:
    deviation = rng.uniform(0.001, _MOST_BLUR) * _DETAILED
    return _at_a_size(blur(resize(face, _DETAILED), deviation), _SIDES, seed, rng)


def _turned(face: Image, seed: int, rng: Random) -> Pasted:
    degrees = rng.uniform(-_MOST_TURN, _MOST_TURN)
    return _at_a_size(turn(resize(face, _DETAILED), degrees), _SIDES, seed, rng)


_Present = Callable[[Image, int, Random], Pasted]

_WAYS: dict[SeriesName, tuple[_Present, int | None]] = {
    "as they are": (_as_it_is, None),
    "smaller": (_smaller, _SMALL_FACE),
    "blurred": (_blurred, None),
    "turned in the plane": (_turned, None),
}
"""For each series: how a face becomes a picture, and the smallest face searched for; None: as the settings say."""
