"""What `edge-fer lab evaluate` measured: the record `edge-fer/evaluation/1`.

Shares, accuracies and intervals are 0..1; intervals are of 95 %.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_fer.lab.files import Record
from edge_fer.types import LABELS, Label

SplitName = Literal["training", "validation", "test"]
LabelSet = Literal["first", "second"]
ModeName = Literal["crops", "end-to-end"]


class Estimate(Record):
    """A share, or a difference of two, with its interval."""

    value: float
    low: float
    high: float


class ClassResult(Record):
    """How one expression is read.

    Attributes:
        label: the expression.
        faces: how many faces have it.
        precision: part of the faces so named that are right; null where none was so named.
        recall: part of its faces that get its name, those not found counted; null where it has no faces.
        f1: harmonic mean of both; null where it has no faces and none was so named.
    """

    label: Label
    faces: int
    precision: float | None
    recall: float | None
    f1: float | None


class Bin(Record):
    """Some of the faces, those with about the same confidence.

    Attributes:
        faces: how many faces.
        confidence: mean confidence of the faces, 0..1.
        accuracy: accuracy on the faces, 0..1.
    """

    faces: int
    confidence: float
    accuracy: float


class Calibration(Record):
    """How far probabilities can be trusted, on the faces that were found.

    Attributes:
        temperature: logits were divided by it.
        ece: expected calibration error, over `bins`.
        nll: mean negative log likelihood of the label, nats.
        brier: mean squared distance of the probabilities from the label, summed over the labels, 0..2.
        bins: bins with equal numbers of faces, least confident first.
    """

    temperature: float
    ece: float
    nll: float
    brier: float
    bins: tuple[Bin, ...]


class Latency(Record):
    """Of one classification on the processor, detection and alignment not counted; milliseconds."""

    threads: int
    p50_ms: float
    p95_ms: float


class EightClass(Record):
    """Accuracy where faces led by contempt count as errors, as the network has no such label."""

    faces: int
    contempt: int
    accuracy: Estimate


class Measured(Record):
    """One model on one set of faces.

    Attributes:
        faces: how many faces there were.
        missed: faces that the detector did not find; 0 where crops are read.
        accuracy: accuracy on all faces; a face that is not found is an error.
        miss_rate: null where crops are read.
        accuracy_of_found: null where crops are read.
        balanced_accuracy: mean recall of the labels that occur.
        recall_deviation: standard deviation of these recalls; null in records from before there was this field.
        macro_f1: mean F1 of the labels that occur or are named.
        per_class: figures of each expression, in the order of `LABELS`.
        confusion: faces by label (row) and by what they are named (column); the last column is those not found.
        before: calibration at temperature 1.
        after: calibration at the model's own temperature.
        latency: duration of a classification.
        eight_class: null unless all faces of a split were read whose contempt is known.
    """

    faces: int
    missed: int
    accuracy: Estimate
    miss_rate: Estimate | None = None
    accuracy_of_found: Estimate | None = None
    balanced_accuracy: float
    recall_deviation: float | None = None
    macro_f1: float
    per_class: tuple[ClassResult, ...] = Field(min_length=len(LABELS), max_length=len(LABELS))
    confusion: tuple[tuple[int, ...], ...]
    before: Calibration
    after: Calibration
    latency: Latency
    eight_class: EightClass | None = None


class Comparison(Record):
    """The model beside another on the same faces.

    Attributes:
        agreement: part of the found faces on which both name the same expression.
        only_model: faces that only the model gets right.
        only_against: faces that only the other gets right.
        difference: accuracy of the model less that of the other, with the interval for paired shares.
    """

    agreement: float
    only_model: int
    only_against: int
    difference: Estimate


class ModeResult(Record):
    """What came out in one way of showing faces to the models."""

    mode: ModeName
    model: Measured
    against: Measured | None = None
    comparison: Comparison | None = None


class Degraded(Record):
    """The model on the same crops, made worse.

    Attributes:
        name: name of the degradation.
        about: how far.
        accuracy: accuracy on all faces.
        loss: accuracy on the crops as they are less this one, with the interval for paired shares.
        against: accuracy of the other model on these faces; None: there is none.
        difference: accuracy of the model less that of the other, with the interval for paired shares.
    """

    name: str
    about: str
    accuracy: Estimate
    loss: Estimate
    against: Estimate | None = None
    difference: Estimate | None = None


class Identity(Record):
    """Which file was measured, or which ensemble.

    Attributes:
        name: name in the manifest.
        file: name of the file; of an ensemble, those of its members.
        sha256: hash of the file; of an ensemble, of its members' hashes and weights.
        quantization: of the file; of an ensemble, `int8` where all members are.
        temperature: what logits are divided by.
        members: weights of an ensemble's members, by name; empty where it is none.
    """

    name: str
    file: str
    sha256: str
    quantization: Literal["int8", "float32"]
    temperature: float
    members: dict[str, float] = Field(default_factory=dict)


class Data(Record):
    """Which faces were read.

    Attributes:
        name: name of the data set.
        split: the split that was read.
        labels: the first ones, or the second annotator's.
        faces: read.
        of: faces that the split has with such a label.
        seed: seed of the draw, where not all faces were read.
        side: median of the crops' longer side, pixels.
        sha256: hash of the pixels and labels of the faces that were read, in order.
    """

    name: str
    split: SplitName
    labels: LabelSet
    faces: int
    of: int
    seed: int | None
    side: int
    sha256: str


class Evaluation(Record):
    """The record `edge-fer/evaluation/1`.

    Attributes:
        date: when, UTC, ISO 8601.
        settings: the command's settings.
        versions: version of each package that took part.
        machine: the machine that it ran on.
        model: the model that was measured.
        against: another model, measured on the same faces in the same run.
        data: the faces.
        modes: results for each way of presenting faces.
        degradations: results of the model on degraded crops.
        notes: sentences for readers of the figures.
    """

    schema_: Literal["edge-fer/evaluation/1"] = Field("edge-fer/evaluation/1", alias="schema")
    date: str
    settings: dict[str, str | int | bool | None]
    versions: dict[str, str]
    machine: dict[str, str]
    model: Identity
    against: Identity | None = None
    data: Data
    modes: tuple[ModeResult, ...] = Field(min_length=1)
    degradations: tuple[Degraded, ...] = ()
    notes: tuple[str, ...] = ()

    def mode(self, name: ModeName) -> ModeResult | None:
        """What came out in one mode; null where it was not run."""
        return next((result for result in self.modes if result.mode == name), None)
