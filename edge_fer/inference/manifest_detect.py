"""What a `manifest.yaml` says of a network that finds faces and their expressions in one pass.

Its entry is of `task: detect`; docs/bring-your-own-network.md shows one.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from edge_fer.inference.manifest_labels import LabelMap, check_label_map, check_labels, targets_of
from edge_fer.inference.manifest_parts import NetworkSpec, Record
from edge_fer.inference.picture_spec import InputSpec

STRIDES = (16, 32)
"""Pixels of the input for each cell of the two grids, the finer one first."""

ANCHORS_EACH = 3
"""How many anchors each grid has."""

BOX_VALUES = 5
"""tx, ty, tw, th and the logit of the objectness, before the logits of the labels."""

Side = Annotated[float, Field(gt=0, le=10_000)]
Anchor = tuple[Side, Side]


class DetectionAccuracy(Record):
    """Average precision at an overlap (IoU) of 0.5 on a named set; all 0..1.

    Attributes:
        dataset: which pictures, in words.
        images: how many.
        faces: of faces, whatever they show.
        float32: mean over the labels, of the network before it was quantized.
        int8: mean over the labels, of the file.
    """

    dataset: str
    images: int
    faces: float
    float32: float
    int8: float


class DetectorFailoverSpec(Record):
    """When two devices see the same in a picture; see `edge_fer.faces.detectors.yolov3_tiny.failover`.

    Attributes:
        tolerance: largest difference of a value of the two maps after the sigmoid, 0..1.
    """

    tolerance: float = Field(0.25, gt=0, lt=1)


class DetectorSpec(NetworkSpec):
    """YOLOv3-tiny: two grids of cells, each cell with three anchors.

    The outputs are found by shape: `(1, size / 16, size / 16, n)` and `(1, size / 32, size / 32, n)`, where n is three
    times tx, ty, tw, th, the logit of the objectness, and the logits of the labels.

    Attributes:
        input: how a picture becomes its input; `size` is a multiple of 32.
        labels: what its classes mean, in their order, in its own words.
        label_map: see `LabelMap`.
        anchors: width and height of six boxes, pixels of the input, smallest first: three of the finer grid, then
            three of the coarser one.
        score: objectness above which there is a face, 0..1; `detect.score` replaces it.
        nms_iou: of two faces that overlap by more than this (IoU), only the better one is kept.
        temperature: logits of the labels are divided by it before the softmax.
        abstain_below: confidence below which its labels are guesses, 0..1.
        failover: when two devices see the same.
        accuracy: measured on validation pictures.
    """

    task: Literal["detect"]
    input: InputSpec
    labels: tuple[str, ...]
    label_map: LabelMap = Field(default_factory=dict, validate_default=True)
    anchors: tuple[Anchor, Anchor, Anchor, Anchor, Anchor, Anchor]
    score: float = Field(0.5, ge=0, lt=1)
    nms_iou: float = Field(0.45, gt=0, le=1)
    temperature: float = Field(1.0, gt=0)
    abstain_below: float = Field(0.0, ge=0, lt=1)
    failover: DetectorFailoverSpec = DetectorFailoverSpec()
    accuracy: DetectionAccuracy | None = None

    _differ = field_validator("labels")(check_labels)
    _covers_the_seven = field_validator("label_map")(check_label_map)

    @field_validator("input")
    @classmethod
    def _fills_whole_cells(cls, value: InputSpec) -> InputSpec:
        if value.size % STRIDES[-1]:
            raise ValueError(f"expected a size that is a multiple of {STRIDES[-1]}, found {value.size}")
        if value.colour == "grey":
            raise ValueError("expected colour `rgb` or `bgr`, found `grey`")
        return value

    @field_validator("anchors")
    @classmethod
    def _ascend(cls, anchors: tuple[Anchor, ...]) -> tuple[Anchor, ...]:
        areas = [width * height for width, height in anchors]
        if areas != sorted(areas):
            raise ValueError(f"expected anchors by their area, smallest first, found {[list(one) for one in anchors]}")
        return anchors

    @property
    def targets(self) -> tuple[str | None, ...]:
        """For each of `labels` the one of the seven that it becomes; None where it is left out."""
        return targets_of(self.labels, self.label_map)

    @property
    def map_shapes(self) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
        """The shapes of the two outputs, the finer grid first."""
        channels = ANCHORS_EACH * (BOX_VALUES + len(self.labels))
        fine, coarse = (self.input.size // stride for stride in STRIDES)
        return (1, fine, fine, channels), (1, coarse, coarse, channels)

    @property
    def summary(self) -> str:
        """Arithmetic, file, and what was measured."""
        figures = f"  mAP {self.accuracy.int8:.1%} on {self.accuracy.dataset}" if self.accuracy else ""
        return f"{super().summary}{figures}"
