"""An export that is about to be made: what is given is read and checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import ModelError, SourceError
from edge_fer.expression.feature_branch import FeatureBranch
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.export import balance
from edge_fer.lab.export.calibration import check_faces
from edge_fer.lab.export.deployed import input_spec
from edge_fer.lab.export.two_inputs import SecondInput, second_input
from edge_fer.lab.networks.base import Network
from edge_fer.lab.weights.npz import Weights, load_weights
from edge_fer.lab.weights.provenance import Origin, Provenance

CROP = CropSpec(eye_distance=0.3, eye_y=0.37, detail=64)
"""How faces are cut out for a classifier whose training faces were not cut by `edge-fer lab faces`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a classifier is exported.

    Attributes:
        name: name of the classifier in the manifest; None: `my_` and the network's, which is that of a shipped one.
        network: name of the network; None: what the weights say.
        provenance: what the card states of the weights.
        head: `first`, or `second` for the head that was trained on the second labels; it is then those that
            the network is measured by.
        resolution: side of the picture that the network's layers work on, pixels; None: the size that it was last
            trained at.
        features: whether the features that the head reads are a second output.
        balance: how much rare labels are named more often, 0..1; see `balance.adjustment`.
        faces: faces of the training split that ranges are measured on.
        chosen_on: validation faces that ways of setting the ranges are compared on.
        seed: seed of the draw of both.
        landmarks: folder with the network of landmarks for one that reads hand-made features, too: that of the
            artefacts; None: there is none.
        float_file: where the network before quantization goes; None: nowhere.
    """

    name: str | None = None
    network: str | None = None
    provenance: Provenance = field(default_factory=Provenance)
    head: Literal["first", "second"] = "first"
    resolution: int | None = None
    features: bool = False
    balance: float = 0.0
    faces: int = 512
    chosen_on: int = 512
    seed: int = 0
    landmarks: Path | None = None
    float_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """An export in which everything that is given was checked, and fits together; see `prepare`.

    Attributes:
        plan: how to export.
        name: name of the classifier in the manifest.
        provenance: what the card states of the weights, by the plan and their origin.
        net: the network, with the head and at the resolution of the plan.
        origin: what is known of the weights.
        dataset: the faces, those of the training split among them.
        validation: faces to choose and measure on.
        training: labels of the training faces.
        crop: how faces are cut out for it.
        second: the hand-made features that it reads, too; None: the picture alone.
    """

    plan: Plan
    name: str
    provenance: Provenance
    net: Network
    origin: Origin | None
    dataset: Dataset
    validation: Dataset
    training: NDArray[np.int64]
    crop: CropSpec
    second: SecondInput | None

    @property
    def branch(self) -> FeatureBranch | None:
        """What makes logits of the features that the file of a network with two inputs gives."""
        return self.second.branch if self.second else None

    @property
    def input(self) -> InputSpec:
        """How a picture becomes the network's input."""
        return input_spec(self.net)


def prepare(weights: Path, dataset: Dataset, plan: Plan) -> Job:
    """Check everything that an export is given, before anything is computed.

    Args:
        weights: see `load_weights`.
        dataset: the faces: those of the training split to calibrate on, those of validation to choose and measure on.
        plan: how to export.

    Raises:
        ModelError: when the weights do not fit, or have no second head, or there is no network of landmarks for a
            network that needs one.
        SourceError: when the faces are too few, or cut in another way.
    """
    loaded, crop = load_weights(weights, plan.network), dataset.crop or CROP
    net = _network(loaded, weights, plan)
    labelled = dataset.by_second() if plan.head == "second" else dataset
    validation, training = labelled.only(Split.VALIDATION), labelled.only(Split.TRAINING).labels
    second = check(net, dataset, validation, plan)
    name = plan.name or f"my_{net.name()}"
    balance.adjust(net.head, training, plan.balance)
    provenance = plan.provenance.over(loaded.origin)
    return Job(plan, name, provenance, net, loaded.origin, dataset, validation, training, crop, second)


def check(net: Network, dataset: Dataset, validation: Dataset, plan: Plan) -> SecondInput | None:
    """Check what an export needs beside weights; also for a network that is still to be trained.

    Args:
        net: the network.
        dataset: the faces.
        validation: those of them to choose and measure on.
        plan: how to export.

    Returns:
        The network's second input; None where it has none.

    Raises:
        ModelError: when there is no network of landmarks for a network that needs one.
        SourceError: when the faces are too few, or cut in another way.
    """
    check_faces(dataset, dataset.crop or CROP, plan.faces)
    if not len(validation):
        raise SourceError(f"expected validation faces in {dataset.name} to measure on, found none; check its splits")
    return second_input(net, plan.landmarks)


def _network(loaded: Weights, path: Path, plan: Plan) -> Network:
    """The network with the head and at the resolution of the plan."""
    net = loaded.net
    net.set_resolution(plan.resolution or net.resolution)
    if plan.head == "second":
        if loaded.second is None:
            raise ModelError(f"expected a second head in {path}, found none; export the first one")
        net.head = loaded.second
    return net
