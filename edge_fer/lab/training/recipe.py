"""How a network is trained, as one validated model; recipes are YAML files.

The models are the one place for defaults; `edge_fer/lab/recipes` holds the recipes that are shipped.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from edge_fer.lab.networks import DEFAULT

Share = Field(0.0, ge=0, le=1)


class Section(BaseModel):
    """A part of a recipe: what it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Augmentation(Section):
    """How pictures are varied. Everything is off by default; ranges are symmetric and drawn evenly.

    Attributes:
        flip: share of the pictures that are mirrored.
        rotation: angle, up to so many degrees.
        scale: logarithm of the factor of size, up to so much.
        shift: displacement, up to this part of the side, in each direction.
        shear: displacement of the edges, up to this part of the side.
        brightness: added brightness, up to this part of the full range.
        contrast: logarithm of the factor of contrast, up to so much.
        gamma: logarithm of the exponent, up to so much.
        noise: standard deviation of the noise, up to this part of the full range.
        erase: share of the pictures that lose a rectangle.
        shrink: share of the pictures that is scaled down to a third or more of its size, and up again.
        blur: share of the pictures that is blurred, with a deviation up to 2.5 % of the side.
        jpeg: share of the pictures that is compressed, at a quality of 15 to 70.
        dark: share of the pictures that is darkened, down to 15 % of the light, with the noise that this brings.
    """

    flip: float = Share
    rotation: float = Field(0.0, ge=0, le=90)
    scale: float = Field(0.0, ge=0, le=1)
    shift: float = Field(0.0, ge=0, le=0.5)
    shear: float = Field(0.0, ge=0, le=0.5)
    brightness: float = Share
    contrast: float = Field(0.0, ge=0, le=1)
    gamma: float = Field(0.0, ge=0, le=1)
    noise: float = Field(0.0, ge=0, le=0.5)
    erase: float = Share
    shrink: float = Share
    blur: float = Share
    jpeg: float = Share
    dark: float = Share


class Optimizer(Section):
    """How gradients become steps. Decay is on matrices and kernels only, never on vectors.

    Attributes:
        kind: of the update: `adam`, `adamw` (Adam with decay beside the gradient), or `sgd` with momentum.
        betas: of `adam` and `adamw`: decay of the means of gradients and of their squares.
        momentum: of `sgd`: the part of the last step that the next one keeps.
        nesterov: of `sgd`: whether the gradient is taken where the momentum leads (Nesterov, 1983).
        head_rate: learning rate of the heads, as a multiple of the trunk's.
        weight_decay: decay; of `adam` and `sgd` w is added to the gradient times this.
        decay_layers: names of the network's layers that decay, `second` for the second head; null: all do.
        grad_norm: gradients are scaled down to this norm; null: never.
    """

    kind: Literal["adam", "adamw", "sgd"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    head_rate: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    decay_layers: tuple[str, ...] | None = None
    grad_norm: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and (self.kind != "sgd" or not self.momentum):
            raise ValueError(f"nesterov is of `kind: sgd` with momentum, and there is `{self.kind}`")
        return self


class Loss(Section):
    """What is minimised: cross-entropy with the targets.

    Attributes:
        votes: whether targets follow the annotators' votes (where they are known), or lie all on the label.
        smoothing: this part of each target is spread evenly.
        class_weights: each label counts by the inverse of its frequency to this power: 0 not at all, 1 fully.
        balanced: each label with n faces counts by (1 - b) / (1 - b^n), b being this: 0 not at all, near 1 as the
            inverse of its frequency. Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", 2019.
        distillation: this part of each target is the averaged network's answer to the picture (needs `ema`).
        mixup: parameter of the Beta distribution that pairs of pictures are mixed by; 0: they are not.
        second: weight of a second head on another annotator's labels (FER2013's); 0: there is none.
        second_smoothing: `smoothing` of the second head.
    """

    votes: bool = True
    smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: float = Share
    balanced: float = Field(0.0, ge=0, lt=1)
    distillation: float = Share
    mixup: float = Field(0.0, ge=0, le=8)
    second: float = Field(0.0, ge=0)
    second_smoothing: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _labels_are_weighed_once(self) -> Self:
        if self.class_weights and self.balanced:
            raise ValueError("class_weights and balanced weigh the labels, each in its way: set one of them to 0")
        return self


class Start(Section):
    """Which network is trained, where its weights come from when no file is given, and how the top begins.

    Attributes:
        network: name of the network, see `edge-fer lab networks`.
        colour: what its three input channels hold; null: what the weights, or else the network, say.
        needs_weights: whether a file must be given, since the stages are made for trained weights.
        width: factor on the channels of the trunk, of a network that starts from random weights.
        block_scale: last batch-norm scale of each block, where a network starts from random weights.
        top: `keep` what was loaded (PyTorch's defaults otherwise), or draw it from the standard normal
            distribution.
    """

    network: str = DEFAULT
    colour: Literal["grey", "rgb"] | None = None
    needs_weights: bool = False
    width: float = Field(1.0, ge=0.125, le=1, multiple_of=0.125)
    block_scale: float = Field(1.0, ge=0, le=1)
    top: Literal["keep", "standard_normal"] = "keep"


class Teaching(Section):
    """What a stage learns from teachers: trained networks that see the same varied pictures.

    Hinton et al., "Distilling the Knowledge in a Neural Network", 2015; Romero et al., "FitNets", 2015, with the
    features behind the last pooling; Beyer et al., "Knowledge distillation: A good teacher is patient and
    consistent", 2022, for the same view.

    Attributes:
        name: name of the teachers, which the command line brings to files of weights.
        network: whose weights they are; null: what each file says.
        answers: this part of each target, of the second head's too, is the mean of the teachers' probabilities.
        features: weight of the distance between the teachers' pooled features and a linear map of the network's
            own: the mean of squares, in standard deviations of each feature over training faces.
    """

    name: str = Field("teacher", pattern=r"^[a-z0-9_-]+$")
    network: str | None = None
    answers: float = Share
    features: float = Field(0.0, ge=0)


class Schedule(Section):
    """The learning rate over a part of a training.

    Attributes:
        lr: learning rate at the start.
        lr_end: learning rate at the end of `cosine`; the least one of `plateau`.
        schedule: the learning rate: always `lr` (`constant`); half a `cosine` down to `lr_end`; times `factor` at each
            of the `milestones` (`step`); times `factor` after `plateau_epochs` without a lower validation loss
            (`plateau`).
        milestones: of `step`: parts of that part, 0..1.
        factor: of `step` and `plateau`.
        plateau_epochs: of `plateau`.
        warmup: this part of it goes up from nothing to `lr`.
    """

    lr: float = Field(gt=0)
    lr_end: float = Field(0.0, ge=0)
    schedule: Literal["constant", "cosine", "step", "plateau"] = "constant"
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    factor: float = Field(0.1, gt=0, lt=1)
    plateau_epochs: int = Field(5, ge=1)
    warmup: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _steps_have_milestones(self) -> Self:
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError(f"milestones are of `schedule: step`, which needs some, and it is `{self.schedule}`")
        return self


class Stage(Schedule):
    """A part of the training with one data set, input size and learning rate.

    Attributes:
        name: name of the stage.
        data: name of the data set, which the command line brings to a path.
        train: `top` (the network's `TOP` and the heads; the rest keeps its weights and statistics) or `all`.
        size: side of the input in pixels.
        batch: faces a step, or tracks.
        frames: the stage trains on tracks of faces, by one frame drawn from each of so many equal parts; 0: on single
            pictures. Data sets of single pictures become synthetic tracks.
        balance: a face is drawn by the inverse frequency of its label to this power, so that a lap holds some faces
            several times and others not; 0: every lap holds each face once, 1: labels are equally frequent.
        epochs: how many epochs the stage has.
        epoch_faces: faces an epoch; null: all. The log, validation and early stopping go by epochs.
        validation_faces: validate on so many faces, always the same; null: on all.
        minutes: the stage ends after so many minutes; the learning rate follows the clock where that is ahead of
            the steps.
        best_by: what tells the better of two epochs, for `patience` and for the weights that are kept as the best: the
            validation `accuracy`, or the validation `loss`.
        patience: the stage ends after so many epochs that were no better than the best; null: never.
    """

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    data: str = "faces"
    train: Literal["top", "all"] = "all"
    size: int = Field(224, ge=32, le=512)
    batch: int = Field(64, ge=2, le=4096)
    frames: int = Field(0, ge=0, le=16)
    balance: float = Share
    epochs: int = Field(ge=1, le=10_000)
    epoch_faces: int | None = Field(None, ge=1)
    validation_faces: int | None = Field(None, ge=1)
    minutes: float | None = Field(None, gt=0)
    best_by: Literal["accuracy", "loss"] = "accuracy"
    patience: int | None = Field(None, ge=1)
    optimizer: Optimizer = Optimizer()
    loss: Loss = Loss()
    teacher: Teaching | None = None
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _tracks_have_no_teacher(self) -> Self:
        if self.frames and self.teacher:
            raise ValueError("teachers read single pictures, and this stage has `frames`: leave one of them out")
        return self


class Recipe(Section):
    """A whole training.

    Attributes:
        name: name of the recipe.
        about: a sentence or two about it.
        seed: seed of everything that is drawn at random.
        dropout: share of the features that is dropped before the heads, 0..1.
        ema: decay of the exponential moving average of the weights, which is what is measured and
            written; null: the weights themselves are.
        bf16: whether layers run in bfloat16 where that is safe (autocast); the command line leaves it out on a
            processor that is slower so.
        channels_last: whether maps lie in memory as NHWC.
        compile: whether torch.compile is used.
        start: where the weights begin.
        stages: the stages, one after the other.
    """

    name: str
    about: str = ""
    seed: int = Field(0, ge=0)
    dropout: float = Field(0.3, ge=0, lt=1)
    ema: float | None = Field(None, gt=0, lt=1)
    bf16: bool = False
    channels_last: bool = False
    compile: bool = False
    start: Start = Start()
    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"each stage needs a name of its own, and there is {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _distillation_has_a_teacher(self) -> Self:
        distilled = [stage.name for stage in self.stages if stage.loss.distillation]
        if distilled and self.ema is None:
            raise ValueError(f"distillation (stage {distilled[0]}) is from the averaged network, and `ema` is null")
        return self

    @property
    def teachers(self) -> dict[str, str | None]:
        """The network of each name of teachers; None: their files say it."""
        return {stage.teacher.name: stage.teacher.network for stage in self.stages if stage.teacher}

    @property
    def has_second(self) -> bool:
        """Whether any stage trains a second head."""
        return any(stage.loss.second > 0 for stage in self.stages)
