"""Grad-CAM on the float network, for the expression that the exported classifier names.

INT8 has no gradients. So the float network that it was made from is explained, for the very expression that
the exported classifier names; where the float network names another one, that is written beside the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.capture.sources.picture import read_picture as read_file
from edge_fer.errors import SourceError
from edge_fer.expression.classifier import Classifier
from edge_fer.faces.align import align
from edge_fer.faces.detectors import Detector
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.datasets.dataset import Dataset, FileImages, pictures_below, read_picture
from edge_fer.lab.datasets.pictures import resize
from edge_fer.lab.explain.gradcam import grad_cam, over_face
from edge_fer.lab.networks.base import Network
from edge_fer.lab.training.augment import as_tensor, standardise
from edge_fer.types import LABELS, AlignedFace, Expression, Image, Label

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Subject:
    """A face to be explained.

    Attributes:
        face: uint8: `(size, size)`, grey, or `(size, size, 3)`, BGR, as the classifier takes it.
        title: the face's source, for readers.
        truth: the annotators' label; None where it is not known.
    """

    face: Image
    title: str
    truth: Label | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to a face, and which parts of it raised that answer.

    Attributes:
        subject: the face.
        expression: the exported classifier's answer.
        float_label: what the float network names.
        explained: the label that `heat` is for.
        heat: `(size, size)` float32, 0..1, over the face.
    """

    subject: Subject
    expression: Expression
    float_label: Label
    explained: Label
    heat: NDArray[np.float32]


def subjects_of_dataset(faces: Dataset, per_class: int, classifier: Classifier, seed: int) -> list[Subject]:
    """Some faces of each label, drawn at random.

    Args:
        faces: the faces of one split.
        per_class: faces of each label, at most.
        classifier: the classifier, whose input they are brought to.
        seed: seed of the draw.
    """
    drawn = np.random.default_rng(seed).permutation(len(faces))
    chosen = [index for label in range(len(LABELS)) for index in drawn[faces.labels[drawn] == label][:per_class]]
    return [
        Subject(
            face=resize(read_picture(faces.images, int(index), colour=classifier.colour), classifier.size),
            title=f"{faces.name}, face {index} of the split",
            truth=LABELS[faces.labels[index]],
        )
        for index in chosen
    ]


def subjects_of_crops(paths: Sequence[Path], classifier: Classifier) -> list[Subject]:
    """Pictures that are cut-out faces already.

    Args:
        paths: pictures, or folders of them.
        classifier: the classifier, whose input they are brought to.

    Raises:
        SourceError: when one cannot be read, or there is none.
    """
    files = _files(paths)
    images = FileImages(tuple(files))
    faces = (read_picture(images, index, colour=classifier.colour) for index in range(len(files)))
    return [Subject(resize(face, classifier.size), path.name, None) for face, path in zip(faces, files, strict=True)]


def subjects_of_frames(paths: Sequence[Path], detector: Detector, classifier: Classifier) -> list[Subject]:
    """The faces that the runtime finds in pictures and would hand to the classifier.

    Args:
        paths: pictures, or folders of them.
        detector: the runtime's detector.
        classifier: the classifier, which states how faces are cut out for it.

    Raises:
        SourceError: when a picture cannot be read, or no face is found in any.
    """
    subjects = []
    for path in _files(paths):
        image = read_file(path)
        for number, found in enumerate(detector.find(image), 1):
            face = align(image, found.landmarks, classifier.crop, classifier.size, colour=classifier.colour)
            subjects.append(Subject(face, f"{path.name}, face {number}", None))
    if not subjects:
        raise SourceError(
            f"expected faces in {', '.join(map(str, paths))}, found none; give --crops for pictures that are cut-out "
            "faces already"
        )
    return subjects


def _files(paths: Sequence[Path]) -> list[Path]:
    files = [file for path in paths for file in (pictures_below(path) if path.is_dir() else [path])]
    if not files:
        raise SourceError(f"expected pictures in {', '.join(map(str, paths))}, found none; check the path")
    return files


def explain(
    net: Network,
    classifier: Classifier,
    subjects: Sequence[Subject],
    layer: str,
    *,
    label: Label | None = None,
    progress: Progress = silent,
) -> Iterator[Explanation]:
    """Explain faces, one after the other.

    Args:
        net: the float network that the classifier was made from.
        classifier: the shipped artefact in the runtime.
        subjects: the faces.
        layer: name of the layer whose maps are used; see `gradcam.choose_layer`.
        label: explain this one, whatever the classifier names; None: what it names.
        progress: called after each face.

    Raises:
        BackendError: when the classifier's device fails.
    """
    mapped, first_cell = net.get_submodule(layer), net.first_cell(layer)
    for first in range(0, len(subjects), _BATCH):
        batch = subjects[first : first + _BATCH]
        expressions = [classifier.classify(AlignedFace.of_crop(subject.face)) for subject in batch]
        explained = [label or expression.label for expression in expressions]
        images = standardise(as_tensor([subject.face for subject in batch]), net.input)
        cams = grad_cam(net, mapped, images, np.array([LABELS.index(each) for each in explained]))
        stride = net.cell_stride(layer, cams.maps.shape[-1])
        for place, subject in enumerate(batch):
            yield Explanation(
                subject=subject,
                expression=expressions[place],
                float_label=LABELS[int(cams.logits[place].argmax())],
                explained=explained[place],
                heat=over_face(cams.maps[place], len(subject.face), net.resolution, stride, first_cell),
            )
            progress(first + place + 1, len(subjects))
