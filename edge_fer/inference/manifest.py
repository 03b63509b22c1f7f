"""What a `manifest.yaml` says of each network: one class for each task, chosen by the field `task`.

    models:
      NAME:
        task: classify
        ...                     # the fields of `ClassifierSpec`

Numbers that a network's file states itself (shapes, scales, zero points) are read from the file, never from here.
Another task is another class, listed in `ModelSpec`. docs/bring-your-own-network.md explains every field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from edge_fer.inference.manifest_aggregate import AggregateSpec
from edge_fer.inference.manifest_detect import DetectorSpec
from edge_fer.inference.manifest_labels import LabelMap, check_label_map, check_labels, targets_of
from edge_fer.inference.manifest_parts import (
    Accuracy,
    BranchSpec,
    CropSpec,
    EntrySpec,
    FailoverSpec,
    FurtherOutput,
    ModelFile,
    NetworkSpec,
    Record,
    RegionSpec,
    ValenceArousal,
)
from edge_fer.inference.picture_spec import InputSpec, MtcnnInput

MtcnnTask = Literal["propose", "refine", "output"]
NetworkTask = Literal["classify", "detect", "landmarks"] | MtcnnTask
"""What a network is for: reading expressions, finding faces and reading them in one pass, 68 landmarks, or one of
MTCNN's three stages."""

Task = NetworkTask | Literal["aggregate", "ensemble"]
"""What an entry is for."""

_SUM_TOLERANCE = 1e-3  # of the weights of an ensemble: they are rounded


class ClassifierSpec(NetworkSpec):
    """A network that reads expressions.

    Attributes:
        input: how a face becomes its input.
        output: whether it gives `logits`, or `probabilities` of a softmax inside.
        labels: what its outputs mean, in their order, in its own words.
        label_map: one of the seven expressions for each label of another name, or None to leave it out; labels that
            become the same expression are added up, and what remains is scaled to a sum of 1.
        features: a further output, the face as the network describes it: what `branch`, or an entry with
            `task: aggregate`, reads.
        valence_arousal: a further output; not used yet.
        region: the network that says which part of a face this one looks at; None: it sees the whole face.
        branch: a second input, of hand-made features; the file then gives `features` only, and what is made of both
            gives the logits. None: the network reads the picture alone.
        crop: how faces are cut out.
        temperature: logits are divided by it before the softmax.
        abstain_below: confidence below which its labels are guesses, 0..1.
        failover: when two devices read a face alike.
        accuracy: measured on validation faces.
    """

    task: Literal["classify"]
    input: InputSpec
    output: Literal["logits", "probabilities"] = "logits"
    labels: tuple[str, ...]
    label_map: LabelMap = Field(default_factory=dict, validate_default=True)
    features: FurtherOutput | None = None
    valence_arousal: ValenceArousal | None = None
    region: RegionSpec | None = None
    branch: BranchSpec | None = None
    crop: CropSpec
    temperature: float = Field(1.0, gt=0)
    abstain_below: float = Field(0.0, ge=0, lt=1)
    failover: FailoverSpec = FailoverSpec()
    accuracy: Accuracy | None = None

    _differ = field_validator("labels")(check_labels)
    _covers_the_seven = field_validator("label_map")(check_label_map)

    @field_validator("branch")
    @classmethod
    def _reads_features(cls, branch: BranchSpec | None, info: ValidationInfo) -> BranchSpec | None:
        if branch is not None and (info.data.get("features") is None or info.data.get("output") != "logits"):
            raise ValueError("expected `features` and `output: logits` beside it, found others")
        return branch

    @model_validator(mode="after")
    def _pairs_are_of_the_cpu(self) -> Self:
        if self.region is not None and self.edgetpu is not None:
            raise ValueError("expected no `edgetpu` beside `region`: the runtime cuts the region out on the CPU")
        return self

    @property
    def targets(self) -> tuple[str | None, ...]:
        """For each of `labels` the one of the seven that it becomes; None where it is left out."""
        return targets_of(self.labels, self.label_map)

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The network, what was compiled of it, the one that says where it looks, and weights of a second input."""
        further = (part for part in (self.region, self.branch) if part)
        return (*super().files, *further)

    @property
    def summary(self) -> str:
        """Arithmetic, file, and what was measured."""
        figures = f"  {self.accuracy.int8:.1%} on {self.accuracy.dataset}" if self.accuracy else ""
        return f"{super().summary}{figures}"


class LandmarkAccuracy(Record):
    """How far landmarks are from those that a network learned from, on a named set.

    Attributes:
        dataset: which faces, in words.
        images: how many.
        error: mean distance, as a part of the distance between the eyes' outer corners.
    """

    dataset: str
    images: int
    error: float


class LandmarksSpec(NetworkSpec):
    """A network that finds the 68 landmarks of iBUG 300-W in a face of 48x48 pixels, for hand-made features.

    Its output is x and y in turns, pixels.

    Attributes:
        input: how a face becomes its input.
        accuracy: measured on validation faces.
    """

    task: Literal["landmarks"]
    input: InputSpec
    accuracy: LandmarkAccuracy | None = None

    @property
    def summary(self) -> str:
        """Arithmetic, file, and what was measured."""
        figures = f"  {self.accuracy.error:.1%} of the eye distance" if self.accuracy else ""
        return f"{super().summary}{figures}"


class EnsembleMember(Record):
    """A classifier of an ensemble.

    Attributes:
        name: its entry in the same manifest.
        weight: of its probabilities, 0..1.
    """

    name: str
    weight: float = Field(gt=0, le=1)


class NestedAccuracy(Record):
    """Accuracy of an ensemble whose weights were chosen, in turns, on the other faces of the set; 0..1."""

    dataset: str
    images: int
    accuracy: float


class EnsembleSpec(EntrySpec):
    """Several classifiers that read each face together; see `edge_fer.expression.ensemble`.

    Attributes:
        members: the classifiers, best first: the first one stands for all of them while the machine is hot.
        temperature: the logarithms of the weighted mean are divided by it before they are scaled to a sum of 1.
        abstain_below: confidence below which its labels are guesses, 0..1.
        accuracy: measured on validation faces.
    """

    task: Literal["ensemble"]
    members: tuple[EnsembleMember, ...] = Field(min_length=1)
    temperature: float = Field(1.0, gt=0)
    abstain_below: float = Field(0.0, ge=0, lt=1)
    accuracy: NestedAccuracy | None = None

    @field_validator("members")
    @classmethod
    def _share_out_one(cls, members: tuple[EnsembleMember, ...]) -> tuple[EnsembleMember, ...]:
        names = [member.name for member in members]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"expected every member once, found {', '.join(sorted(twice))} more than once")
        total = sum(member.weight for member in members)
        if abs(total - 1) > _SUM_TOLERANCE:
            raise ValueError(f"expected weights that sum to 1, found {total:g}")
        return members

    @property
    def summary(self) -> str:
        """Members with their weights, and what was measured."""
        figures = f"  {self.accuracy.accuracy:.1%} on {self.accuracy.dataset}" if self.accuracy else ""
        return f"{', '.join(f'{member.weight:.2f} {member.name}' for member in self.members)}{figures}"


class MtcnnSpec(NetworkSpec):
    """One of MTCNN's three networks (Zhang et al. 2016).

    Attributes:
        task: its stage.
        input: how a picture becomes its input.
    """

    task: MtcnnTask
    input: MtcnnInput


NetworkEntry = ClassifierSpec | DetectorSpec | LandmarksSpec | MtcnnSpec
"""An entry with a network of its own, whatever that is for."""

ModelSpec = Annotated[
    AggregateSpec | ClassifierSpec | DetectorSpec | EnsembleSpec | LandmarksSpec | MtcnnSpec,
    Field(discriminator="task"),
]
"""An entry of the manifest."""


class Manifest(Record):
    """All entries of a folder, by name."""

    schema_: Literal["edge-fer/models/1"] = Field(alias="schema")
    models: dict[str, ModelSpec]


def crop_difference(crops: Mapping[str, CropSpec]) -> str | None:
    """What to say of classifiers that cannot read the same crop of a face; None where they can.

    Args:
        crops: how faces are cut out for each of them, by name.
    """
    (first, crop), *others = crops.items()
    for name, other in others:
        if other != crop:
            return f"members that take faces cut out alike, found `{first}` with {crop}, and `{name}` with {other}"
    return None
