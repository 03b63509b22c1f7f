"""Which parts of a face raise the logit of an expression, by the network's feature maps.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_fer.errors import ConfigError
from edge_fer.lab.networks.base import Network

AUTO = "auto"
SMALLEST_MAP = 7
"""Side of the coarsest map that separates eyes from mouth; of the published network's last one."""


@dataclass(frozen=True, slots=True)
class Cams:
    """The logits of some faces, and which places raised one of them.

    Attributes:
        maps: `(n, height, width)` float32, not negative; how much each place of the feature map raises the label's
            logit.
        logits: `(n, classes)` float32.
    """

    maps: NDArray[np.float32]
    logits: NDArray[np.float32]


def grad_cam(net: Callable[[Tensor], Tensor], layer: nn.Module, images: Tensor, labels: NDArray[np.int64]) -> Cams:
    """Explain one logit of each image by a layer's feature maps.

    Each channel of the layer's output weighs as much as the mean of the logit's gradient over it; the map is
    the weighted sum of the channels, and 0 where that is negative (equations 1 and 2 of the paper).

    Args:
        net: gives `(n, classes)` logits; in evaluation mode, so that images do not touch each other.
        layer: one of its layers, whose output is `(n, channels, height, width)`.
        images: `(n, channels, size, size)` float32, as the network takes them.
        labels: `(n,)` which logit of each image is explained.
    """
    outputs: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        # Gradients must reach the layer even where a network's weights stand still.
        logits = net(images.detach().requires_grad_())
    finally:
        handle.remove()
    (features,) = outputs
    # The sum of the images' logits has the gradients of each, as no logit depends on another image.
    chosen = logits.gather(1, torch.from_numpy(labels)[:, None]).sum()
    (gradients,) = torch.autograd.grad(chosen, features)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    maps = torch.relu((weights * features).sum(dim=1))
    return Cams(maps.detach().numpy(), logits.detach().numpy())


def choose_layer(net: Network, wanted: str) -> tuple[str, int]:
    """The layer whose maps are used, and the side of its map.

    Args:
        net: the network.
        wanted: one of the network's `CAM_LAYERS`, or `auto` for the last one whose map has a side of at least
            `SMALLEST_MAP`, else the first.

    Raises:
        ConfigError: when the network has no such layer.
    """
    if not net.CAM_LAYERS:
        raise ConfigError(
            f"expected a network with a map that lies over the whole face, found {net.name()}; the region of the face "
            "that it looks at is in its readings"
        )
    if wanted not in (AUTO, *net.CAM_LAYERS):
        known = ", ".join((AUTO, *net.CAM_LAYERS))
        raise ConfigError(f"expected --layer {known} for {net.name()}, found `{wanted}`")
    sides = map_sides(net)
    fine = [layer for layer, side in sides.items() if side >= SMALLEST_MAP]
    chosen = wanted if wanted in sides else [*net.CAM_LAYERS[:1], *fine][-1]
    return chosen, sides[chosen]


def map_sides(net: Network) -> dict[str, int]:
    """The side of the map of each of the network's `CAM_LAYERS`, which depends on its resolution."""
    sides: dict[str, int] = {}

    def note(layer: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: sides.update({layer: output.shape[-1]})

    handles = [net.get_submodule(layer).register_forward_hook(note(layer)) for layer in net.CAM_LAYERS]
    try:
        with torch.no_grad():
            net.pooled(torch.zeros(1, net.input.channels, net.side, net.side))
    finally:
        for handle in handles:
            handle.remove()
    return sides


def over_face(
    cam: NDArray[np.float32], size: int, resolution: int, stride: int, first: float = 0.0
) -> NDArray[np.float32]:
    """A map brought over the face that it is of, its greatest value 1.

    Cell `i` of a map sees what lies around pixel `first + i * stride` of the picture, and not around the middle of
    the i-th part of it: spreading the map evenly over the face would move it, by half a cell (16 of 224 pixels)
    where `first` is 0.

    Args:
        cam: `(side, side)` float32, not negative.
        size: side of the face, pixels.
        resolution: side of the picture that the network's layers work on, pixels.
        stride: see `Network.cell_stride`, pixels of that picture.
        first: see `Network.first_cell`, pixels of that picture.

    Returns:
        `(size, size)` float32, 0..1, bilinear; 0 everywhere where the map is.
    """
    shrink = size // resolution if size % resolution == 0 else 1
    pixels = (np.arange(size) - (shrink - 1) / 2) / shrink
    cells = ((pixels - first) / stride).astype(np.float32)
    x, y = np.meshgrid(cells, cells)
    spread = cv2.remap(cam, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    greatest = float(spread.max())
    return np.asarray(spread / greatest if greatest > 0 else spread, np.float32)
