"""The networks that came along: what the manifest says of each, and their bytes, verified.

`models/manifest.yaml` names every artefact with its hash and what the runtime must know to
use it. Numbers that a .tflite file states itself (shapes, scales, zero points) are read from
the file, never from here.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_fer.errors import ModelError
from edge_fer.types import LABELS, Label


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Record):
    """How a picture becomes the network's input.

    Attributes:
        size: side of the square input in pixels; null where any size is taken.
        colour: `grey` (one luminance value on three channels) or `rgb`.
        mean: real input = (pixel / 255 - mean) / std.
        std: see `mean`.
    """

    size: int | None
    colour: Literal["grey", "rgb"]
    mean: float
    std: float = Field(gt=0)


class CropSpec(_Record):
    """How a face is cut out for a classifier, as its training faces were.

    The eyes are turned level and brought to `eye_y`, `eye_distance` apart, all as fractions
    of the crop's side; chosen by measurement on validation faces.
    """

    eye_distance: float = Field(gt=0, lt=1)
    eye_y: float = Field(gt=0, lt=1)


class Accuracy(_Record):
    """Figures that were measured on a named set; all 0..1."""

    dataset: str
    images: int
    float32: float
    int8: float
    agreement: float


class ModelSpec(_Record):
    """One artefact.

    Attributes:
        task: what it is for.
        file: its name beside the manifest.
        sha256: of the file.
        input: how a picture becomes its input.
        quantization: `int8` (input, output and everything between) or `float32`.
        labels: what its outputs mean, for classifiers.
        crop: how faces are cut out, for classifiers.
        temperature: logits are divided by it before the softmax, for classifiers.
        accuracy: measured on validation faces, for classifiers.
        source: where the weights come from.
        licence: of the weights.
        card: file with the full story, beside the manifest.
    """

    task: Literal["classify", "propose", "refine", "output"]
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    input: InputSpec
    quantization: Literal["int8", "float32"]
    labels: tuple[Label, ...] | None = None
    crop: CropSpec | None = None
    temperature: float = Field(1.0, gt=0)
    accuracy: Accuracy | None = None
    source: str
    licence: str
    card: str
