"""The evaluation of a shipped classifier: the very file, through the runtime's own way of reading it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np

from edge_fer.common.machine import machine
from edge_fer.errors import SourceError
from edge_fer.faces.align import align
from edge_fer.faces.detectors import Detector, open_detector
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets import Layout
from edge_fer.lab.datasets.dataset import Dataset, Images, Split, read_picture
from edge_fer.lab.datasets.degradations import DEGRADATIONS, Degradation
from edge_fer.lab.datasets.pasting import locate
from edge_fer.lab.datasets.pictures import resize
from edge_fer.lab.evaluation.contenders import (
    Answers,
    Contender,
    Measurable,
    Views,
    classify_all,
    find_measurable,
    find_rival,
    open_contender,
)
from edge_fer.lab.evaluation.faces import SPLIT_NAMES, describe_data, open_faces, pictures
from edge_fer.lab.evaluation.record import (
    Data,
    Degraded,
    Evaluation,
    LabelSet,
    ModeName,
    ModeResult,
)
from edge_fer.lab.evaluation.summary import compare, describe, paired_estimate, share
from edge_fer.settings import DetectSettings
from edge_fer.types import Image

_SEED = 0
_PACKAGES = ("edge-fer", "ai-edge-litert", "numpy", "opencv-python-headless")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        models: folder with the manifest; None: the shipped models.
        model: name of the classifier.
        data: an .npz file, `fer2013.csv`, or a folder.
        layout: layout of the data.
        split: whose faces are read.
        labels: the data's first labels, or those of the second annotator.
        against: see `find_rival`; None: nothing.
        modes: ways of presenting faces.
        degradations: whether the crops are made worse, too.
        faces: how many faces, drawn at random; 0: all of the split.
        threads: processor threads of a classification.
    """

    models: Path | None
    model: str
    data: Path
    layout: Layout = "auto"
    split: Split = Split.VALIDATION
    labels: LabelSet = "first"
    against: str | None = None
    modes: tuple[ModeName, ...] = ("crops",)
    degradations: bool = False
    faces: int = 0
    threads: int = 2


def run_evaluation(plan: Plan, report: Reporter) -> Evaluation:
    """Measure a classifier, and perhaps another one beside it.

    Raises:
        ConfigError: when there is nothing of the name to measure against, or it is the model itself.
        ModelError: when a model is missing, corrupt or no classifier of this runtime.
        SourceError: when the faces cannot be read, or there are none.
    """
    load = f"{os.getloadavg()[0]:.1f} over the minute before"
    store = ModelStore(plan.models)
    model = find_measurable(store, plan.model)
    rival = None if plan.against is None else find_rival(model, plan.against)
    faces, of, contempt = _faces(plan)
    with ExitStack() as stack:
        artefacts = [artefact for artefact in (model, rival) if artefact is not None]
        contenders = [open_contender(artefact, plan.threads, stack) for artefact in artefacts]
        modes: dict[ModeName, tuple[Answers, ...]] = {}
        for mode in plan.modes:
            with report.step(f"{mode}: {len(faces)} faces") as progress, ExitStack() as detection:
                views = _views(mode, faces.images, contenders, store, detection)
                modes[mode] = classify_all(views, contenders, len(faces), progress)
            if not modes[mode][0].found.any():
                raise SourceError(f"expected faces in {plan.data}, the detector found none in {len(faces)} pictures")
        degraded = _degraded(faces, contenders, modes.get("crops"), report) if plan.degradations else ()
    complete = plan.labels == "first" and len(faces) == of
    results = tuple(_mode(mode, answers, faces, contenders, plan, contempt if complete else None)
                    for mode, answers in modes.items())  # fmt: skip
    data = describe_data(faces, plan.split, plan.labels, of, _SEED if len(faces) < of else None)
    return Evaluation(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        settings=_settings(plan),
        versions={name: version(name) for name in _PACKAGES},
        machine=machine() | {"load": load},
        model=model.identity,
        against=None if rival is None else rival.identity,
        data=data,
        modes=results,
        degradations=degraded,
        notes=_notes(data, model, degraded),
    )


def _faces(plan: Plan) -> tuple[Dataset, int, int | None]:
    """The faces to read, how many of them the split has, and how many more are led by contempt."""
    dataset = open_faces(plan.data, plan.layout, plan.split, plan.labels)
    contempt = None if dataset.contempt is None else dataset.contempt[plan.split]
    of = len(dataset)
    if plan.faces and plan.faces < of:
        dataset = dataset.take(np.sort(np.random.default_rng(_SEED).permutation(of)[: plan.faces]))
    return dataset, of, contempt


def _views(
    mode: ModeName, images: Images, contenders: Sequence[Contender], store: ModelStore, stack: ExitStack
) -> Iterator[Views]:
    """Each face as each classifier takes it."""
    if mode == "crops":
        return _crops(images, contenders)
    return _end_to_end(images, contenders, stack.enter_context(open_detector(DetectSettings(), store)))


def _crops(images: Images, contenders: Sequence[Contender]) -> Iterator[Views]:
    """The data's own crops, resized as in training."""
    for index in range(len(images)):
        classifiers = (contender.classifier for contender in contenders)
        yield [resize(read_picture(images, index, colour=one.colour), one.size) for one in classifiers]


def _end_to_end(images: Images, contenders: Sequence[Contender], detector: Detector) -> Iterator[Views]:
    """Crops pasted into frames, found by the runtime's detector and cut out by its alignment."""
    classifiers = [contender.classifier for contender in contenders]
    crops = pictures(images, colour=any(one.colour for one in classifiers))
    for frame, face in locate(crops, detector):
        yield [
            None if face is None else align(frame, face.landmarks, one.crop, one.size, colour=one.colour)
            for one in classifiers
        ]


def _degraded(
    faces: Dataset, contenders: Sequence[Contender], plain: tuple[Answers, ...] | None, report: Reporter
) -> tuple[Degraded, ...]:
    """The model on crops that were made worse, against the same crops as they are and against the other model."""
    if plain is None:
        with report.step(f"crops: {len(faces)} faces") as progress:
            plain = classify_all(_crops(faces.images, contenders[:1]), contenders[:1], len(faces), progress)
    right = plain[0].named == faces.labels
    found = []
    for degradation in DEGRADATIONS:
        with report.step(f"{degradation.name}: {len(faces)} faces") as progress:
            views = zip(*(_made_worse(faces.images, degradation, one) for one in contenders), strict=True)
            answers = classify_all(views, contenders, len(faces), progress)
        still_right, *others = (one.named == faces.labels for one in answers)
        found.append(
            Degraded(
                name=degradation.name,
                about=degradation.about,
                accuracy=share(still_right),
                loss=paired_estimate(right, still_right),
                against=share(others[0]) if others else None,
                difference=paired_estimate(still_right, others[0]) if others else None,
            )
        )
    return tuple(found)


def _made_worse(images: Images, degradation: Degradation, contender: Contender) -> Iterator[Image]:
    size = contender.classifier.size
    for number, picture in enumerate(pictures(images, colour=contender.classifier.colour)):
        rng = np.random.default_rng([_SEED, number])
        if degradation.enlarged:
            yield degradation.change(resize(picture, size), rng)
        else:
            yield resize(degradation.change(picture, rng), size)


def _mode(
    mode: ModeName,
    answers: tuple[Answers, ...],
    faces: Dataset,
    contenders: Sequence[Contender],
    plan: Plan,
    contempt: int | None,
) -> ModeResult:
    measured = [
        describe(
            answer, faces.labels, contender.temperature, plan.threads, pasted=mode == "end-to-end", contempt=contempt
        )
        for answer, contender in zip(answers, contenders, strict=True)
    ]
    if len(measured) == 1:
        return ModeResult(mode=mode, model=measured[0])
    comparison = compare(answers[0], answers[1], faces.labels)
    return ModeResult(mode=mode, model=measured[0], against=measured[1], comparison=comparison)


def _settings(plan: Plan) -> dict[str, str | int | bool | None]:
    """The command's settings; of paths only the last part, which is no secret and means something elsewhere."""
    return {
        "model": plan.model,
        "data": plan.data.name,
        "layout": plan.layout,
        "split": SPLIT_NAMES[plan.split],
        "labels": plan.labels,
        "against": None if plan.against is None else Path(plan.against).name,
        "modes": ", ".join(plan.modes),
        "degradations": plan.degradations,
        "faces": plan.faces,
        "threads": plan.threads,
    }


def _notes(data: Data, model: Measurable, degraded: tuple[Degraded, ...]) -> tuple[str, ...]:
    size, notes = model.size, []
    if data.split == "validation":
        notes.append("Validation faces are those that temperatures and recipes are chosen on.")
    if degraded and data.side < size:
        notes.append(
            f"The crops are {data.side} pixels wide and the network takes {size}: sharper versions of the same faces "
            "cannot be made from them, so what sharpness brings is not measured."
        )
    return tuple(notes)
