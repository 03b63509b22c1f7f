"""What was measured on tracks of faces: the record `edge-fer/tracks/1`.

Shares, accuracies and intervals are 0..1; intervals are of 95 %.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_fer.lab.evaluation.record import Estimate, Identity, SplitName
from edge_fer.lab.files import Record

MethodName = Literal[
    "mean of logits",
    "mean of probabilities",
    "mean of good frames",
    "smoother",
    "sharpest frame",
    "weighted by sharpness",
    "self-attention",
    "attention",
    "weighted by attention",
    "mean of the frames that are not spoiled",
]
"""How one label is made of what a classifier says of each frame.

`attention` is what its head makes of the features of the frames; `weighted by attention` is the mean of the frames'
probabilities with its weights. Good frames are those that are sharp enough to show a label: their mean is what the
runtime takes where there is no attention. The last way knows what no way can know.
"""

BASELINE: MethodName = "mean of probabilities"
"""What the others are held against; Kahou et al., 2016."""


class MethodResult(Record):
    """One way to label tracks.

    Attributes:
        method: the way.
        accuracy: on all tracks.
        over_mean: accuracy less that of the mean of probabilities, with the interval for paired shares.
        nll: mean negative log likelihood of the label, nats; null where a way gives labels only.
    """

    method: MethodName
    accuracy: Estimate
    over_mean: Estimate
    nll: float | None = None


class ShareResult(Record):
    """All ways on the same tracks.

    Attributes:
        spoiled: part of the frames of each track that is spoiled; null for films.
        results: of each way.
        auc: area under the curve of finding spoiled frames by the attention's low weights, 0.5..1; null where there are
            none, or no attention.
    """

    spoiled: float | None
    results: tuple[MethodResult, ...]
    auc: float | None = None


class TrackData(Record):
    """Which tracks were read.

    Attributes:
        name: name of the data set.
        split: the split that was read.
        tracks: how many.
        of: how many the split has.
        frames: of each track.
        synthetic: whether they are photos that move.
        seed: seed of the draw, and of all that is drawn for synthetic tracks.
    """

    name: str
    split: SplitName
    tracks: int
    of: int
    frames: int
    synthetic: bool
    seed: int


class TracksEvaluation(Record):
    """The tracks of one split.

    Attributes:
        data: which they are.
        shares: results, by how many frames are spoiled.
    """

    data: TrackData
    shares: tuple[ShareResult, ...]


class TracksRecord(Record):
    """The record `edge-fer/tracks/1`.

    Attributes:
        date: when, UTC, ISO 8601.
        versions: version of each package that took part.
        machine: the machine that it ran on.
        model: the classifier.
        attention: hash of the attention's file; null: the classifier has none.
        attend_us: median duration of one answer of the attention over all frames of a track, microseconds; null: none.
        training: the options of the attention's training; empty where it was not trained by this command.
        evaluations: of the splits that were read.
    """

    schema_: Literal["edge-fer/tracks/1"] = Field("edge-fer/tracks/1", alias="schema")
    date: str
    versions: dict[str, str]
    machine: dict[str, str]
    model: Identity
    attention: str | None = None
    attend_us: float | None = None
    training: dict[str, str | int | float] = Field(default_factory=dict)
    evaluations: tuple[TracksEvaluation, ...] = Field(min_length=1)
