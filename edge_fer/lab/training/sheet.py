"""A picture of a data set: how many faces there are of each expression, and how a recipe's training varies them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import SPLITS, Dataset, Split, read_picture
from edge_fer.lab.files import replacing
from edge_fer.lab.networks import open_network
from edge_fer.lab.training.augment import as_tensor, varied
from edge_fer.lab.training.recipe import Recipe
from edge_fer.types import LABELS, Image

_VARIATIONS = 7
_INCHES = 1.1  # side of a face


def draw_sheet(path: Path, dataset: Dataset, recipe: Recipe) -> None:
    """Draw the counts as bars, and below them a row for each expression: a training face, and variations of it.

    Args:
        path: the PNG.
        dataset: the faces.
        recipe: the recipe, whose first stage says how large faces are and how they vary.

    Raises:
        SourceError: when there are no training faces, or one cannot be read.
        OutputError: when the file cannot be written.
    """
    training = dataset.only(Split.TRAINING)
    if not len(training):
        raise SourceError(f"expected training faces in {dataset.name} to draw, found none; check its splits")
    shown = [label for label in range(len(LABELS)) if (training.labels == label).any()]
    rng = np.random.default_rng(recipe.seed)
    figure = Figure(figsize=((1 + _VARIATIONS) * _INCHES, 3.5 + len(shown) * _INCHES), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[3.5, len(shown) * _INCHES])
    _draw_bars(above.subplots(), dataset)
    rows = below.subplots(len(shown), 1 + _VARIATIONS, squeeze=False)
    below.suptitle(f"as {dataset.name} has it, and as the stage {recipe.stages[0].name} of {recipe.name} varies it")
    for row, label in zip(rows, shown, strict=True):
        index = int(rng.choice(np.flatnonzero(training.labels == label)))
        for axes, face in zip(row, _face_and_variations(training, index, recipe, rng), strict=True):
            axes.imshow(face, cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(LABELS[label])
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _draw_bars(axes: Axes, dataset: Dataset) -> None:
    counts, width = dataset.counts(), 0.8 / len(SPLITS)
    for number, split in enumerate(Split):
        places = np.arange(len(LABELS)) + (number - (len(SPLITS) - 1) / 2) * width
        bars = axes.bar(places, counts[split], width, label=SPLITS[split])
        axes.bar_label(bars, fontsize=6)
    axes.set_xticks(range(len(LABELS)), LABELS)
    axes.set_ylabel("faces")
    axes.set_title(f"{dataset.name}: {len(dataset)} faces")
    axes.legend()


def _face_and_variations(faces: Dataset, index: int, recipe: Recipe, rng: np.random.Generator) -> list[Image]:
    """A face and variations of it, uint8: `(height, width)` grey, or `(height, width, 3)` RGB."""
    stage, start = recipe.stages[0], recipe.start
    colour = (start.colour or open_network(start.network).INPUT.colour) == "rgb"
    face = read_picture(faces.images, index, colour=colour)
    images = varied([face] * _VARIATIONS, stage.size, stage.augmentation, rng.spawn(_VARIATIONS))
    tensors = [as_tensor([face])[0], *images]
    shown = [tensor.permute(1, 2, 0).numpy().round().astype(np.uint8) for tensor in tensors]
    return [image if colour else image[..., 0] for image in shown]
