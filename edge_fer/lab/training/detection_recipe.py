"""How a detector is trained, as one validated model, which is the one place for defaults.

The recipes that are shipped are in `edge_fer/lab/recipes/detectors`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from edge_fer.inference.manifest_detect import STRIDES
from edge_fer.lab.datasets.detection.scenes import ScenePlan
from edge_fer.lab.training.recipe import Optimizer, Schedule, Section


class Variation(Section):
    """How pictures are varied; Darknet's names and meanings. Scenes are varied in colour only: their faces move anyway.

    Attributes:
        jitter: sides of the part of a picture that is shown differ from the picture's by up to this part.
        flip: share of the pictures that are mirrored.
        saturation: factor, or one over it, up to this.
        exposure: factor of brightness, or one over it, up to this.
        hue: part of the circle of colours by which they turn, up to this.
    """

    jitter: float = Field(0.3, ge=0, lt=1)
    flip: float = Field(0.5, ge=0, le=1)
    saturation: float = Field(1.5, ge=1, le=4)
    exposure: float = Field(1.5, ge=1, le=4)
    hue: float = Field(0.1, ge=0, le=0.5)


class DetectionRecipe(Schedule):
    """The whole training of a detector.

    Attributes:
        name: name of the recipe.
        about: a sentence or two about it.
        seed: seed of everything that is drawn at random.
        width: factor on the channels of the layers.
        activation: of the layers: `leaky` as published, or `relu` for an Edge TPU.
        size: side of the network's input, pixels.
        sizes: sides that batches are drawn from instead (multi-scale); empty: all have `size`.
        anchors: `published`, or `fitted` to the boxes of the data.
        batch: pictures a step.
        epochs: how many epochs there are.
        epoch_pictures: pictures an epoch. Validation and the log go by epochs.
        validation_pictures: validate on so many pictures, always the same.
        minutes: training ends after so many minutes; the learning rate follows the clock where that is ahead of the
            steps.
        burn_in: so many first steps go up from nothing to the learning rate, by the fourth power of their number.
        ema: decay of the exponential moving average of the weights, which is what is measured and written; null: the
            weights themselves are.
        channels_last: whether maps lie in memory as NHWC.
        optimizer: the optimizer; it has no heads.
        variation: how pictures are varied.
        scenes: what scenes show, where the data are face crops.
    """

    name: str
    about: str = ""
    seed: int = Field(0, ge=0)
    width: float = Field(1.0, gt=0, le=1)
    activation: Literal["leaky", "relu"] = "leaky"
    size: int = Field(416, ge=64, le=832)
    sizes: tuple[int, ...] = ()
    anchors: Literal["published", "fitted"] = "fitted"
    batch: int = Field(64, ge=2, le=1024)
    epochs: int = Field(ge=1, le=10_000)
    epoch_pictures: int = Field(9600, ge=2)
    validation_pictures: int = Field(400, ge=1)
    minutes: float | None = Field(None, gt=0)
    burn_in: int = Field(1000, ge=0)
    ema: float | None = Field(None, gt=0, lt=1)
    channels_last: bool = True
    optimizer: Optimizer = Optimizer()
    variation: Variation = Variation()
    scenes: ScenePlan = ScenePlan()

    @field_validator("size", "sizes")
    @classmethod
    def _whole_cells(cls, value: int | tuple[int, ...]) -> int | tuple[int, ...]:
        for side in (value,) if isinstance(value, int) else value:
            if side % STRIDES[-1]:
                raise ValueError(f"expected sizes in multiples of {STRIDES[-1]}, found {side}")
        return value

    @property
    def steps_per_epoch(self) -> int:
        """Steps an epoch."""
        return max(1, self.epoch_pictures // self.batch)
