"""What enhancing dark pictures is worth: the same faces in less and less light, through the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import numpy as np

from edge_fer.expression.classifier import open_classifier
from edge_fer.faces.align import align
from edge_fer.faces.detectors import open_detector
from edge_fer.faces.enhance import Enhancer
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Progress
from edge_fer.lab.datasets.dataset import Dataset
from edge_fer.lab.datasets.degradations import darken
from edge_fer.lab.datasets.pasting import Pasted, find, paste
from edge_fer.settings import Settings
from edge_fer.types import LABELS, AlignedFace, Image

LIGHTS = (1.0, 0.5, 0.25, 0.15, 0.1)
"""Shares of the light."""

NOISE = 3.0
"""Standard deviation of a dark camera's noise, grey values."""

WAYS = ("off", "on", "auto")


@dataclass(frozen=True, slots=True)
class Lit:
    """Faces in so much light, enhanced in one way.

    Attributes:
        light: share of the light.
        clahe: the setting.
        faces: how many were shown.
        found: how many of them the detector found.
        right: how many were found and given the annotators' label.
        enhanced: how many pictures were enhanced.
    """

    light: float
    clahe: str
    faces: int
    found: int
    right: int
    enhanced: int


def compare(settings: Settings, faces: Dataset, progress: Progress, lights: Sequence[float] = LIGHTS) -> list[Lit]:
    """Show every face in every light, enhanced in every way.

    Args:
        settings: the runtime's settings; `enhance.clahe` takes each of its values in turn.
        faces: crops and their labels.
        progress: called after each light.
        lights: shares of the light.
    """
    store, rows = ModelStore(settings.models), []
    with ExitStack() as stack:
        detector = stack.enter_context(closing(open_detector(settings.detect, store)))
        classifier = stack.enter_context(
            open_classifier(settings.classify.model_copy(update={"backend": "cpu"}), store)
        )
        for number, light in enumerate(lights):
            for way in WAYS:
                found = right = enhanced = 0
                for index in range(len(faces)):
                    pasted = _in_light(paste(faces.images[index], index), light, index)
                    # One for each picture: they are not frames of one scene, which it would remember.
                    enhancer = Enhancer(settings.enhance.model_copy(update={"clahe": way}))
                    frame = enhancer.enhance(pasted.frame)
                    enhanced += enhancer.active
                    face = find(detector, replace(pasted, frame=frame))
                    if face is not None:
                        crop = align(frame, face.landmarks, classifier.crop, classifier.size, colour=classifier.colour)
                        found += 1
                        right += classifier.classify(AlignedFace.of_crop(crop)).label == LABELS[faces.labels[index]]
                rows.append(Lit(light, way, len(faces), found, right, enhanced))
            progress(number + 1, len(lights))
    return rows


def _in_light(pasted: Pasted, light: float, seed: int) -> Pasted:
    """The same picture in a share of the light, with a camera's noise in what is dark."""
    noise = NOISE if light < 1 else 0.0
    grey: Image = darken(pasted.frame[..., 0], light, noise, np.random.default_rng(seed))
    return replace(pasted, frame=np.repeat(grey[..., None], 3, axis=2))
