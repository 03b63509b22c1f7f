"""Classifiers under measurement: opened as the runtime opens them, and their answers over many faces."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import ConfigError, ModelError
from edge_fer.expression.classifier import Classifier
from edge_fer.expression.region import RegionFinder
from edge_fer.inference import open_backend
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Progress
from edge_fer.lab.evaluation.metrics import NOT_FOUND, Labels, Logits
from edge_fer.lab.model_folder import find_entry
from edge_fer.types import LABELS, AlignedFace, Image

Views = Sequence[Image | None]
"""One face as each classifier takes it, None where it was not found.

Uint8: `(size, size)`, grey, or `(size, size, 3)`, BGR.
"""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A classifier's files, and its manifest entry (or that of the model beside which it is measured).

    Attributes:
        name: its name.
        spec: its entry.
        content: of its file.
        region: content of the file that says where it looks; None: it sees the whole face.
    """

    name: str
    spec: ClassifierSpec
    content: bytes
    region: bytes | None = None


def find_artefact(store: ModelStore, name: str) -> Artefact:
    """A classifier of the manifest.

    Raises:
        ModelError: when there is none of that name, or its file is missing or corrupt.
    """
    return Artefact(name, store.spec(name, "classify"), store.load(name, "classify"), store.load_region(name))


def find_rival(model: Artefact, against: str) -> Artefact:
    """What a model is measured against.

    Args:
        model: the model that is measured.
        against: name of a shipped classifier, or a .tflite file. Where the manifest beside the file lists it, input,
            region and temperature are as listed there; else they are those of `model`.

    Raises:
        ConfigError: when it is neither, or the model itself.
        ModelError: when its file is missing or corrupt.
    """
    rival = _find_rival(model, against)
    if rival.spec.sha256 == model.spec.sha256:
        raise ConfigError(
            f"expected --against another model than `{model.name}`, found the very same file; give the name of a "
            "model that edge-fer ships, or another .tflite file"
        )
    return rival


def _find_rival(model: Artefact, against: str) -> Artefact:
    packaged, path = ModelStore(), Path(against)
    if against in packaged.specs:
        return find_artefact(packaged, against)
    if path.suffix != ".tflite" or not path.is_file():
        known = ", ".join(name for name, spec in packaged.specs.items() if spec.task == "classify")
        raise ConfigError(
            f"expected --against the name of a model that edge-fer ships ({known}) or a .tflite file, found `{against}`"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"expected the model {path}, found: {error.strerror}; check the path") from error
    if listed := find_entry(path, content):
        return find_artefact(ModelStore(path.parent), listed[0])
    with open_backend("cpu", content) as backend:
        quantization = "int8" if backend.inputs[0].dtype == np.int8 else "float32"
    changes = {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), "quantization": quantization}
    return Artefact(path.stem, model.spec.model_copy(update=changes), content, model.region)


@dataclass(frozen=True, slots=True)
class Contender:
    """An opened classifier and the temperature that its probabilities were divided by."""

    classifier: Classifier
    temperature: float


def open_contender(artefact: Artefact, threads: int, stack: ExitStack) -> Contender:
    """Open a classifier on the processor, as the runtime does.

    Raises:
        ModelError: when the file does not fit its manifest entry.
        BackendError: when the processor cannot run it.
    """
    backend = open_backend("cpu", artefact.content, threads=threads)
    stack.callback(backend.close)
    region = None
    if artefact.region is not None:
        region = RegionFinder(artefact.name, artefact.spec.input, open_backend("cpu", artefact.region, threads=threads))
        stack.callback(region.close)
    classifier = Classifier(artefact.name, artefact.spec, backend, region=region)
    classifier.classify(classifier.blank_face)  # the first call is the slowest
    return Contender(classifier, artefact.spec.temperature)


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one classifier.

    Attributes:
        logits: `(n, 7)`, each row up to a constant; not a number for a face that was not found.
        seconds: `(k,)`, the duration of each classification.
    """

    logits: Logits
    seconds: NDArray[np.float64]

    @property
    def found(self) -> NDArray[np.bool_]:
        """`(n,)`: which faces were found."""
        return np.asarray(np.isfinite(self.logits).all(axis=1))

    @property
    def named(self) -> Labels:
        """`(n,)`: indices into `LABELS`, or `NOT_FOUND`."""
        return np.where(self.found, np.nan_to_num(self.logits).argmax(axis=1), NOT_FOUND)


def classify_all(
    faces: Iterable[Views],
    contenders: Sequence[Contender],
    total: int,
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Answers, ...]:
    """Have classifiers read the same faces, in turns, face by face.

    The runtime gives probabilities at the model's temperature; logits are their logarithms times it.

    Args:
        faces: for each face, one view for each classifier.
        contenders: the classifiers.
        total: how many faces there are.
        progress: called after each of them.
        clock: seconds.

    Raises:
        BackendError: when a network fails.
    """
    logits = np.full((len(contenders), total, len(LABELS)), np.nan)
    seconds: list[list[float]] = [[] for _ in contenders]
    smallest = np.finfo(np.float64).tiny  # of a probability that has run out of digits
    for number, views in enumerate(faces):
        for place, (contender, view) in enumerate(zip(contenders, views, strict=True)):
            if view is not None:
                start = clock()
                expression = contender.classifier.classify(AlignedFace.of_crop(view))
                seconds[place].append(clock() - start)
                chances = np.maximum(expression.probabilities, smallest)
                logits[place, number] = contender.temperature * np.log(chances)
        progress(number + 1, total)
    return tuple(Answers(rows, np.array(times)) for rows, times in zip(logits, seconds, strict=True))
