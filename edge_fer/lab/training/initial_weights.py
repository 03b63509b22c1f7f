"""The first weights of a training: read and checked before the faces are, and made a model with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from edge_fer.errors import ConfigError, ModelError
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.datasets.landmarks import feature_statistics
from edge_fer.lab.model_folder import find_entry
from edge_fer.lab.networks import DEFAULT, open_network
from edge_fer.lab.networks.base import Network, new_head
from edge_fer.lab.networks.two_inputs import TwoInputs
from edge_fer.lab.training.batch_norm import has_batch_norms, settle_on_faces
from edge_fer.lab.training.multi_task import MultiTaskModel, initialise
from edge_fer.lab.training.recipe import Recipe
from edge_fer.lab.weights.npz import load_weights
from edge_fer.lab.weights.provenance import Origin, origin_of
from edge_fer.lab.weights.tflite import find_deployed, weights_from_tflite


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """The first weights of a training.

    Attributes:
        net: the network.
        second: its second head; None where the weights have none.
        origin: what is known of the weights; None: nothing.
        trained: whether the weights come from a file; else they are random.
        deployed: the .tflite file that they come from, whose batch norms were folded away; None: another one.
    """

    net: Network
    second: nn.Linear | None = None
    origin: Origin | None = None
    trained: bool = True
    deployed: Path | None = None


def initial_weights(weights: Path | None, recipe: Recipe) -> InitialWeights:
    """Read the weights that training goes on from, or draw random ones.

    Args:
        weights: name of a shipped classifier, a .tflite file, an .npz file, or another file that the network can
            read, such as keras-vggface's .h5; None: random weights.
        recipe: the recipe, which says which network is trained and whether it needs weights.

    Raises:
        ConfigError: when the recipe needs weights and there are none.
        ModelError: when they cannot be read, or are another network's.
    """
    torch.manual_seed(recipe.seed)
    start = recipe.start
    if weights is None:
        network = open_network(start.network)
        if start.needs_weights:
            raise ConfigError(
                f"expected --weights for the recipe {recipe.name}, which starts from trained weights, found none; give "
                f"--weights with a file of {start.network}, or the name of a model of it that is shipped"
            )
        return InitialWeights(network(start.width, colour=start.colour), trained=False)
    first = read_weights(weights, start.network)
    first.net.colour = start.colour or first.net.colour
    return first


def read_weights(weights: Path, network: str | None = None) -> InitialWeights:
    """Read weights of a network.

    Args:
        weights: see `initial_weights`.
        network: whose weights they must be; None: what the file says, or else the default network's.

    Raises:
        ModelError: when they cannot be read, or are another network's.
    """
    if deployed := find_deployed(weights):
        net = weights_from_tflite(deployed, open_network(network or DEFAULT))
        entry = find_entry(deployed, deployed.read_bytes())
        if entry is None:
            return InitialWeights(net, deployed=deployed)
        name, spec = entry
        net.colour = "grey" if spec.input.colour == "grey" else "rgb"
        return InitialWeights(net, origin=origin_of(name, spec), deployed=deployed)
    if not weights.suffix and not weights.exists():
        shipped = ", ".join(sorted(name for name, spec in ModelStore().specs.items() if spec.task == "classify"))
        raise ModelError(
            f"expected a file of weights, or a shipped classifier (there is: {shipped}), found no `{weights}`; "
            "check the path"
        )
    loaded = load_weights(weights, network)
    return InitialWeights(loaded.net, loaded.second, loaded.origin)


def initial_model(
    first: InitialWeights,
    recipe: Recipe,
    sets: Mapping[str, Dataset],
    report: Reporter,
    feature_sizes: Mapping[str, int] | None = None,
) -> MultiTaskModel:
    """The network as a recipe begins to train it.

    A deployed network's batch norms are made fit to be trained on these faces; what standardises the hand-made
    features of a network that reads them is measured on them; a second head is added where the recipe and the faces
    have a use for one.

    Args:
        first: the weights, which become those of the model.
        recipe: the recipe.
        sets: the data set of each name in the recipe.
        report: receives a line about the first weights.
        feature_sizes: how many features the teachers of each name have; see `MultiTaskModel`.

    Raises:
        SourceError: when there are too few faces, one cannot be read, or its landmarks are needed and not known.
    """
    if first.deployed is not None and has_batch_norms(first.net):
        stage = recipe.stages[0]
        with report.step(f"starting from {first.deployed}: statistics of its batch norms") as progress:
            faces = sets[stage.data].only(Split.TRAINING)
            settle_on_faces(first.net, faces, stage, recipe.seed, progress=progress)
    if isinstance(first.net, TwoInputs) and not first.net.has_statistics:
        faces = sets[recipe.stages[0].data].only(Split.TRAINING)
        with report.step(f"hand-made features of {len(faces)} faces") as progress:
            first.net.set_statistics(*feature_statistics(faces, progress))
    second = first.second
    if second is None and recipe.has_second and any((dataset.second >= 0).any() for dataset in sets.values()):
        second = new_head(first.net.head.in_features)
    model = MultiTaskModel(first.net, second, recipe.dropout, first.origin, feature_sizes)
    initialise(model, recipe.start, trained=first.trained)
    return model
