"""What a `manifest.yaml` says of an attention over the frames of a track; see `edge_fer.inference.manifest`."""

from __future__ import annotations

from typing import Literal

from edge_fer.inference.manifest_parts import EntrySpec, FileName, ModelFile, Record, Sha256


class TrackAccuracy(Record):
    """Accuracy on synthetic tracks of a named set, half of whose frames are spoiled; 0..1.

    Attributes:
        dataset: which faces, in words.
        tracks: how many.
        attention: of the label that attention gives a track.
        mean: of the mean of the probabilities of its frames.
    """

    dataset: str
    tracks: int
    attention: float
    mean: float


class AggregateSpec(EntrySpec):
    """Attention over the frames of a track: what a classifier says of each becomes one answer.

    Attributes:
        of: the classifier's entry in the same manifest, which has `features`.
        file: the numbers of the attention beside the manifest (.npz); see `edge_fer.expression.attention`.
        sha256: the file's hash.
        accuracy: measured on validation tracks.
    """

    task: Literal["aggregate"]
    of: str
    file: FileName
    sha256: Sha256
    accuracy: TrackAccuracy | None = None

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The one file."""
        return (ModelFile(file=self.file, sha256=self.sha256),)

    @property
    def summary(self) -> str:
        """Whose frames it weighs, file, and what was measured."""
        figures = f"  {self.accuracy.attention:.1%} on {self.accuracy.dataset}" if self.accuracy else ""
        return f"of {self.of}, {self.file}{figures}"
