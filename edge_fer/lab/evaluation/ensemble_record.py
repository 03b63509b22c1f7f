"""What `edge-fer lab ensemble` chose and measured: the record `edge-fer/ensemble/1`.

Shares, accuracies and intervals are 0..1; intervals are of 95 %.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_fer.lab.evaluation.record import Data, Estimate, Latency
from edge_fer.lab.files import Record


class Figures(Record):
    """One way to read a set of faces.

    Attributes:
        accuracy: on all faces.
        balanced_accuracy: mean recall of the labels that occur.
        recall_deviation: standard deviation of these recalls.
        nll: mean negative log likelihood of the label, nats.
    """

    accuracy: Estimate
    balanced_accuracy: float
    recall_deviation: float
    nll: float


class EnsembleMember(Record):
    """One member.

    Attributes:
        name: name in the manifest.
        sha256: hash of its file.
        weight: its weight, 0..1; 0: it was left out, since it makes nothing better.
        latency: of one classification; those of a run take turns, face by face.
    """

    name: str
    sha256: str
    weight: float
    latency: Latency


class EnsembleSplit(Record):
    """The ensemble beside its members and beside equal weights, on the same faces.

    Attributes:
        data: the faces.
        ensemble: the ensemble; on validation faces, each face by weights that were chosen on others (nested folds).
        members: each member alone, in the order of the record's members.
        best: name of the member that was best on validation faces.
        equal: all members with the same weight.
        over_best: accuracy of the ensemble less that of the best member, with the interval for paired shares.
        over_equal: accuracy of the ensemble less that of equal weights, with the interval for paired shares.
    """

    data: Data
    ensemble: Figures
    members: tuple[Figures, ...]
    best: str
    equal: Figures
    over_best: Estimate
    over_equal: Estimate


class EnsembleRecord(Record):
    """The record `edge-fer/ensemble/1`.

    Attributes:
        date: when, UTC, ISO 8601.
        versions: version of each package that took part.
        machine: the machine that it ran on.
        name: name of the ensemble in the manifest.
        members: the members, best first.
        temperature: fitted to the ensemble on validation faces.
        abstain_below: confidence below which a label counts as a guess.
        seed: seed of the search and of the folds.
        own_faces: accuracy on the validation faces that the weights were chosen on.
        optimism: how much less the ensemble is right by nested folds than on these.
        fold_weights: weights of the members in each fold.
        latency: of the ensemble with all members on one device; with a device for each it is that of the slowest.
        validation: what was measured on validation faces.
        test: what was measured on test faces, once; None: they were not read.
    """

    schema_: Literal["edge-fer/ensemble/1"] = Field("edge-fer/ensemble/1", alias="schema")
    date: str
    versions: dict[str, str]
    machine: dict[str, str]
    name: str
    members: tuple[EnsembleMember, ...] = Field(min_length=1)
    temperature: float
    abstain_below: float
    seed: int
    own_faces: Estimate
    optimism: float
    fold_weights: tuple[tuple[float, ...], ...]
    latency: Latency
    validation: EnsembleSplit
    test: EnsembleSplit | None = None
