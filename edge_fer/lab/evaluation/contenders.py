"""Classifiers under measurement: opened as the runtime opens them, and their answers over many faces."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import ConfigError, ModelError
from edge_fer.expression import ExpressionModel
from edge_fer.expression.classifier import Classifier, open_region
from edge_fer.expression.ensemble import Ensemble
from edge_fer.expression.feature_branch import open_branch
from edge_fer.inference import open_backend
from edge_fer.inference.manifest import ClassifierSpec, EnsembleSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Progress
from edge_fer.lab.evaluation.metrics import NOT_FOUND, Labels, Logits
from edge_fer.lab.evaluation.record import Identity
from edge_fer.lab.model_folder import find_entry
from edge_fer.types import LABELS, AlignedFace, Image

Views = Sequence[Image | None]
"""One face as each classifier takes it, None where it was not found.

Uint8: `(size, size)`, grey, or `(size, size, 3)`, BGR.
"""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A classifier's file, its manifest entry (or that of the model beside which it is measured), and their folder."""

    name: str
    spec: ClassifierSpec
    content: bytes
    store: ModelStore = field(compare=False, repr=False)

    @property
    def size(self) -> int:
        """Side of its input, pixels."""
        return self.spec.input.size

    @property
    def fingerprint(self) -> str:
        """The hash of what decides its answers: that of its file where there is nothing beside it."""
        further = self.spec.hashes - {self.spec.sha256}
        if self.spec.branch is not None:
            further |= {self.store.spec(self.spec.branch.landmarks, "landmarks").sha256}
        whole = " ".join([self.spec.sha256, *sorted(further)])
        return hashlib.sha256(whole.encode()).hexdigest() if further else self.spec.sha256

    @property
    def identity(self) -> Identity:
        """Which file it is."""
        spec = self.spec
        return Identity(
            name=self.name,
            file=spec.file,
            sha256=spec.sha256,
            quantization=spec.quantization,
            temperature=spec.temperature,
        )

    def open(self, threads: int, stack: ExitStack) -> Classifier:
        """Open it on the processor; it is closed with `stack`."""
        with ExitStack() as parts:
            backend = parts.enter_context(open_backend("cpu", self.content, threads=threads))
            region = open_region(self.store, self.name, self.spec, threads=threads)
            branch = open_branch(self.store, self.name, self.spec)
            for part in filter(None, (region, branch)):
                parts.enter_context(part)
            classifier = Classifier(self.name, self.spec, backend, None, region, branch)
            parts.pop_all()
        return stack.enter_context(classifier)


@dataclass(frozen=True, slots=True)
class EnsembleArtefact:
    """An ensemble's manifest entry, and its members."""

    name: str
    spec: EnsembleSpec
    members: tuple[Artefact, ...]

    @property
    def size(self) -> int:
        """Side of the faces that it takes, pixels."""
        return max(member.size for member in self.members)

    @property
    def fingerprint(self) -> str:
        """The hash of what decides its answers."""
        return self.identity.sha256

    @property
    def identity(self) -> Identity:
        """Which members it has, and with which weights."""
        weights = {member.name: member.weight for member in self.spec.members}
        digest = hashlib.sha256("\n".join(f"{one.fingerprint} {weights[one.name]}" for one in self.members).encode())
        return Identity(
            name=self.name,
            file=" + ".join(member.spec.file for member in self.members),
            sha256=digest.hexdigest(),
            quantization="int8" if {one.spec.quantization for one in self.members} == {"int8"} else "float32",
            temperature=self.spec.temperature,
            members=weights,
        )

    def open(self, threads: int, stack: ExitStack) -> Ensemble:
        """Open its members on the processor; they are closed with `stack`."""
        return Ensemble(self.name, self.spec, [member.open(threads, stack) for member in self.members])


Measurable = Artefact | EnsembleArtefact
"""What an evaluation measures."""


def find_artefact(store: ModelStore, name: str) -> Artefact:
    """A classifier of the manifest.

    Raises:
        ModelError: when there is none of that name, or its file is missing or corrupt.
    """
    return Artefact(name, store.spec(name, "classify"), store.load(name, "classify"), store)


def find_measurable(store: ModelStore, name: str) -> Measurable:
    """A classifier or an ensemble of the manifest.

    Raises:
        ModelError: when there is none of that name, or a file is missing or corrupt.
    """
    spec = store.expression_model(name)
    if isinstance(spec, EnsembleSpec):
        return EnsembleArtefact(name, spec, tuple(find_artefact(store, member.name) for member in spec.members))
    return find_artefact(store, name)


def find_rival(model: Measurable, against: str) -> Measurable:
    """What a model is measured against.

    Args:
        model: the model that is measured.
        against: name of a shipped model, or a .tflite file. Where the manifest beside the file lists it, input,
            region and temperature are as listed there; else they are those of `model`.

    Raises:
        ConfigError: when it is neither, or the model itself.
        ModelError: when its file is missing or corrupt.
    """
    rival = _find_rival(model, against)
    if rival.fingerprint == model.fingerprint:
        raise ConfigError(
            f"expected --against another model than `{model.name}`, found the very same file; give the name of a "
            "model that edge-fer ships, or another .tflite file"
        )
    return rival


def _find_rival(model: Measurable, against: str) -> Measurable:
    packaged, path = ModelStore(), Path(against)
    if against in packaged.expression_models:
        return find_measurable(packaged, against)
    if path.suffix != ".tflite" or not path.is_file():
        known = ", ".join(packaged.expression_models)
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
    first = model if isinstance(model, Artefact) else model.members[0]
    return Artefact(path.stem, first.spec.model_copy(update=changes), content, first.store)


@dataclass(frozen=True, slots=True)
class Contender:
    """An opened model and the temperature that its probabilities were divided by."""

    classifier: ExpressionModel
    temperature: float


def open_contender(artefact: Measurable, threads: int, stack: ExitStack) -> Contender:
    """Open a model on the processor, as the runtime does.

    Raises:
        ModelError: when a file does not fit its manifest entry.
        BackendError: when the processor cannot run it.
    """
    classifier = artefact.open(threads, stack)
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
