"""How the training of a detector begins: a network with random weights and anchors, and what identifies the run."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch

from edge_fer.inference.manifest_detect import ANCHORS_EACH, BOX_VALUES
from edge_fer.lab.datasets.detection.pictures import LabelledPictures
from edge_fer.lab.networks.yolov3_tiny import VALUES, YoloV3Tiny
from edge_fer.lab.training.anchors import fit_anchors, mean_best_iou
from edge_fer.lab.training.detection_batches import fitted
from edge_fer.lab.training.detection_recipe import DetectionRecipe
from edge_fer.lab.training.lengths import LENGTH
from edge_fer.lab.training.training_log import TrainingReporter

_MOST_PICTURES = 512
"""Pictures whose boxes anchors are fitted to."""
_FIRST_OBJECTNESS = -4.0  # a logit: 2 %
_IDENTIFYING = 3
"""Pictures that tell one set from another."""


def initial_detector(recipe: DetectionRecipe, training: LabelledPictures, reporter: TrainingReporter) -> YoloV3Tiny:
    """A network with random weights, and the anchors that the recipe asks for; how well both kinds fit is reported.

    Args:
        recipe: the recipe.
        training: the pictures to train on.
        reporter: receives a line.

    Raises:
        SourceError: when a picture cannot be read, or there are too few faces to fit anchors to.
    """
    torch.manual_seed(recipe.seed)
    published = YoloV3Tiny(recipe.width, recipe.size, recipe.activation)
    boxes = [fitted(training[number], recipe.size).boxes for number in range(min(len(training), _MOST_PICTURES))]
    corners = np.concatenate(boxes)
    sizes = (corners[:, 2:] - corners[:, :2]).astype(np.float64)
    anchors = fit_anchors(sizes, recipe.seed)
    by_cfg, by_data = (mean_best_iou(sizes, kind) for kind in (published.anchors, anchors))
    reporter.say(
        f"anchors over {len(sizes)} boxes: mean overlap {by_cfg:.3f} with those of yolov3-tiny.cfg, {by_data:.3f} with "
        f"those fitted to them, {', '.join(f'{width:g}x{height:g}' for width, height in anchors)}; "
        f"the recipe takes the {recipe.anchors} ones"
    )
    chosen = anchors if recipe.anchors == "fitted" else published.anchors
    net = YoloV3Tiny(recipe.width, recipe.size, recipe.activation, chosen)
    _expect_background(net)
    return net


def _expect_background(net: YoloV3Tiny) -> None:
    """Let objectness begin low, else background, of which there is so much more, is all that the first steps learn.

    Lin et al., "Focal Loss for Dense Object Detection", 2017.
    """
    with torch.no_grad():
        for head in net.heads:
            assert isinstance(head.bias, torch.Tensor)
            head.bias.view(ANCHORS_EACH, VALUES)[:, BOX_VALUES - 1] = _FIRST_OBJECTNESS


def identity_of(
    recipe: DetectionRecipe, net: YoloV3Tiny, training: LabelledPictures, validation: LabelledPictures
) -> str:
    """A hash of what decides each step of a run; how many there are is not in it, see `lengths`."""
    digest = hashlib.sha256(recipe.model_dump_json(exclude=set(LENGTH)).encode())
    digest.update(repr(net.settings()["anchors"]).encode())
    for pictures in (training, validation):
        digest.update(f"{pictures.name} {len(pictures)}".encode())
        for number in range(min(_IDENTIFYING, len(pictures))):
            picture = pictures[number]
            parts: tuple[Any, ...] = (picture.image, picture.boxes, picture.labels, picture.targets)
            for values in parts:
                digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
