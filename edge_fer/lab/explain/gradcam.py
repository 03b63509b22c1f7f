"""Which parts of a face speak for an expression, by the network's last feature maps.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_fer.errors import ConfigError
from edge_fer.lab.networks.base import INPUT_SIZE
from edge_fer.lab.networks.se_resnet50 import SEResNet50

Stage = Literal["auto", "stage2", "stage3", "stage4", "stage5"]

SMALLEST_MAP = 7
"""Side of the coarsest map that still tells eyes from mouth; of the published network's last one."""

_STAGES: tuple[Stage, ...] = ("stage2", "stage3", "stage4", "stage5")


@dataclass(frozen=True, slots=True)
class Cams:
    """What a network said of some faces, and where it looked.

    Attributes:
        maps: `(n, height, width)` float32, not negative; how much each place speaks for the label, as the
            logit rises by it. Of the size of the feature map.
        logits: `(n, classes)` float32.
    """

    maps: NDArray[np.float32]
    logits: NDArray[np.float32]


def grad_cam(net: nn.Module, layer: nn.Module, images: Tensor, labels: NDArray[np.int64]) -> Cams:
    """Explain one logit of each image by a layer's feature maps.

    Each channel of the layer's output weighs as much as the mean of the logit's gradient over it; the map is
    the weighted sum of the channels, and 0 where that is negative (equations 1 and 2 of the paper).

    Args:
        net: gives `(n, classes)` logits; in evaluation mode, so that images do not touch each other.
        layer: of it, whose output is `(n, channels, height, width)`.
        images: `(n, 3, size, size)` float32, as the network takes them.
        labels: `(n,)` which logit of each image is explained.
    """
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        # Gradients must reach the layer even where a network's weights stand still.
        logits = net(images.detach().requires_grad_())
    finally:
        handle.remove()
    (features,) = seen
    # The sum of the images' logits has the gradients of each, as no logit depends on another image.
    chosen = logits.gather(1, torch.from_numpy(labels)[:, None]).sum()
    (gradients,) = torch.autograd.grad(chosen, features)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    maps = torch.relu((weights * features).sum(dim=1))
    return Cams(maps.detach().numpy(), logits.detach().numpy())


def choose_stage(net: SEResNet50, wanted: Stage) -> tuple[Stage, int]:
    """The stage whose maps are used, and their side.

    Args:
        net: the network.
        wanted: a stage, or `auto` for the last one whose map has a side of at least 7, else the first.
    """
    sides = map_sides(net)
    fine = [stage for stage, side in sides.items() if side >= SMALLEST_MAP]
    chosen = wanted if wanted in sides else [*_STAGES[:1], *fine][-1]
    return chosen, sides[chosen]


def map_sides(net: SEResNet50) -> dict[Stage, int]:
    """Side of each stage's feature map, which depends on the resolution that the network looks at."""
    sides: dict[Stage, int] = {}

    def note(stage: Stage) -> Callable[..., None]:
        return lambda _module, _inputs, output: sides.update({stage: output.shape[-1]})

    handles = [getattr(net, stage).register_forward_hook(note(stage)) for stage in _STAGES]
    try:
        with torch.no_grad():
            net(torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE))
    finally:
        for handle in handles:
            handle.remove()
    return sides


def as_stage(name: str) -> Stage:
    """A stage by its name.

    Raises:
        ConfigError: when there is none of that name.
    """
    for stage in get_args(Stage):
        if stage == name:
            return stage
    raise ConfigError(f"expected --layer {', '.join(get_args(Stage))}, found `{name}`")


def over_face(cam: NDArray[np.float32], size: int, resolution: int) -> NDArray[np.float32]:
    """A map brought over the face that it is of, its greatest value 1.

    The network's strided convolutions are padded such that cell `i` of a map looks at pixel `i * stride` of
    the picture, in the middle of what it sees, and not at the middle of the i-th part of it: spreading the
    map evenly over the face would move it by half a cell (16 of 224 pixels) to the right and down. (The
    variant `keras-vggface` looks 3 pixels further to the right and down than that, which is left out.)

    Args:
        cam: `(side, side)` float32, not negative.
        size: side of the face in pixels.
        resolution: at which the network looks at it, pixels.

    Returns:
        `(size, size)` float32, 0..1, bilinear; 0 everywhere where the map is.
    """
    shrink = size // resolution if size % resolution == 0 else 1
    stride = size / cam.shape[0]
    cells = ((np.arange(size) - (shrink - 1) / 2) / stride).astype(np.float32)
    x, y = np.meshgrid(cells, cells)
    spread = cv2.remap(cam, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    greatest = float(spread.max())
    return np.asarray(spread / greatest if greatest > 0 else spread, np.float32)
