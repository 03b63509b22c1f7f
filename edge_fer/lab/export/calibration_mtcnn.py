"""What the ranges of INT8 MTCNN are measured on: the inputs of each of its nets in the project's own pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_fer.faces.boxes import square
from edge_fer.faces.detectors.mtcnn.networks import ProposalNet, RefineNet, crop, standardise
from edge_fer.faces.detectors.mtcnn.pyramid import Array, Canvas
from edge_fer.faces.resize import fit
from edge_fer.lab.networks.mtcnn import MtcnnNet
from edge_fer.lab.realtime.mtcnn_reference import NAMES, PORTRAITS
from edge_fer.lab.tflite.writer import IMAGE_RANGE, Range, trunk_names
from edge_fer.settings import DetectSettings
from edge_fer.synthetic.scenes import crowd_scene, sample_scene
from edge_fer.types import Image

_SETTINGS = DetectSettings(min_face=20, threads=1)
_SCENE_FRAMES = 24
_CROWDS = (4, 9, 16)
_PERCENTILE = 98
"""Of the extremes of all windows: what one in a hundred needs would cost the others their resolution. Of 100, 99.5,
99 and 98, tried on the renderings of `reference` and on another video, 98 moved the landmarks least."""


def calibration_pictures() -> Iterator[Image]:
    """The portraits, and frames of synthetic scenes: `(height, width, 3)` uint8, BGR."""
    for name in NAMES:
        yield np.asarray(cv2.imread(str(PORTRAITS / f"{name}.jpg")), np.uint8)
    scene = sample_scene(seed=0)
    for index in np.linspace(0, scene.frames - 1, _SCENE_FRAMES).astype(int).tolist():
        yield scene.render(index)
    for faces in _CROWDS:
        yield crowd_scene(seed=0, faces=faces, frames=1).render(0)


def cascade_inputs(models: Mapping[str, bytes]) -> dict[str, list[Array]]:
    """Run the float cascade over the calibration pictures, and keep what each net is given.

    Args:
        models: content of the float .tflite files, by `pnet` and `rnet`.

    Returns:
        Batches of `(n, height, width, 3)` float32: for `pnet` the levels of the pyramid, for `rnet` the windows that
        P-Net proposes, for `onet` those that R-Net lets pass.
    """
    inputs: dict[str, list[Array]] = {"pnet": [], "rnet": [], "onet": []}
    propose_above, refine_above, _ = _SETTINGS.thresholds
    with ExitStack() as stack:
        proposal = stack.enter_context(
            closing(ProposalNet(models["pnet"], 1, propose_above, _SETTINGS.min_face, _SETTINGS.factor))
        )
        refine = stack.enter_context(closing(RefineNet(models["rnet"], 1, refine_above)))
        for picture in calibration_pictures():
            pixels = standardise(fit(picture, _SETTINGS.size))
            height, width = pixels.shape[:2]
            canvas = Canvas(width, height, _SETTINGS.min_face, _SETTINGS.factor)
            canvas.fill(pixels)
            inputs["pnet"].extend(canvas.pixels[level.place][None].copy() for level in canvas.levels)
            boxes = square(proposal.propose(pixels))
            if len(boxes):
                inputs["rnet"].append(crop(pixels, boxes, 24))
            boxes = square(refine.refine(pixels, boxes))
            if len(boxes):
                inputs["onet"].append(crop(pixels, boxes, 48))
    return inputs


def measure_ranges(net: MtcnnNet, batches: Sequence[Array]) -> dict[str, Range]:
    """How far the trunk's tensors reach.

    Args:
        net: the net with its weights.
        batches: its inputs, `(n, height, width, 3)` float32.

    Returns:
        Least and greatest value, by the names of `trunk_names`; that of a pooling is its input's.
    """
    names = {id(layer): name for name, layer in trunk_names(net).items()}
    extremes: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names.values()}
    with torch.no_grad():
        for batch in batches:
            values = torch.from_numpy(batch).permute(0, 3, 1, 2)
            for layer in net.trunk:
                values = layer(values)
                if id(layer) in names:
                    flat = values.flatten(1)
                    extremes[names[id(layer)]].append(torch.stack([flat.amin(1), flat.amax(1)]).numpy())
    ranges: dict[str, Range] = {}
    before = IMAGE_RANGE
    for name, layer in trunk_names(net).items():
        low, high = np.concatenate(extremes[name], axis=1)
        measured = float(np.percentile(low, 100 - _PERCENTILE)), float(np.percentile(high, _PERCENTILE))
        ranges[name] = before = before if isinstance(layer, nn.MaxPool2d) else measured
    return ranges
