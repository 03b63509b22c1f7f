"""ResNet-18: He et al., "Deep Residual Learning for Image Recognition", 2016."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from edge_fer.errors import ModelError
from edge_fer.lab.arrays import NamedArrays
from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import Network, NetworkInput, new_head
from edge_fer.lab.networks.layers import ConvNorm

_STAGES = ("stage2", "stage3", "stage4", "stage5")
_NORM = ("weight", "bias", "running_mean", "running_var")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, the first with the stride; the shortcut is a 1x1 convolution where the size changes.

    Args:
        inputs: channels of the map that it reads.
        outputs: channels of the map that it makes.
        stride: of the first convolution, and of the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride)
        self.second = ConvNorm(outputs, outputs, 3)
        changes = stride != 1 or inputs != outputs
        self.shortcut = ConvNorm(inputs, outputs, 1, stride) if changes else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Run the block."""
        return torch.relu(self.second(torch.relu(self.first(maps))) + self.shortcut(maps))


class ResNet18(Network):
    """ResNet-18; the head reads the means of the last map, 512 features at full width.

    Args:
        width: see `Network`; every layer keeps a multiple of 8 channels, which accelerators compute best.
        resolution: see `Network`.
        colour: see `Network`.
    """

    PURPOSE = "the trunk of `fan`: ImageNet weights fit it, and it is quick to train"
    PUBLICATION = "ResNet-18 (He et al., 2016)"
    OPERATORS = MappingProxyType({"ADD": 8, "MAX_POOL_2D": 1, "MEAN": 1, "PAD": 5})
    # Mean and deviation of the colours of ImageNet, with which the published weights were trained.
    INPUT = NetworkInput(side=224, colour="grey", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    CAM_LAYERS = _STAGES

    def __init__(self, width: float = 1.0, resolution: int | None = None, colour: Colour | None = None) -> None:
        super().__init__(width, resolution, colour)
        inputs, *widths = (round(channels * width) for channels in (64, 64, 128, 256, 512))
        self.stem = ConvNorm(3, inputs, 7, stride=2)
        for name, outputs in zip(_STAGES, widths, strict=True):
            stage = nn.Sequential()
            stage.add_module("block1", BasicBlock(inputs, outputs, stride=1 if name == "stage2" else 2))
            stage.add_module("block2", BasicBlock(outputs, outputs, stride=1))
            self.add_module(name, stage)
            inputs = outputs
        self.head = new_head(inputs)

    def features(self, image: Tensor) -> Tensor:
        """The `(n, 512 * width)` means of the last map's channels."""
        # Zeros, not -inf, around the pool: the same after a ReLU, and the Edge TPU has no PADV2.
        maps = nn.functional.max_pool2d(nn.functional.pad(torch.relu(self.stem(image)), (1, 1, 1, 1)), 3, 2)
        for name in _STAGES:
            maps = self.get_submodule(name)(maps)
        # keepdim, then flatten: without it the converter would transpose before the mean.
        return maps.mean(dim=(2, 3), keepdim=True).flatten(1)

    def scale_blocks(self, scale: float) -> None:
        """Set the last batch-norm scale of each block."""
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, BasicBlock):
                    layer.second.bn.weight.fill_(scale)

    @classmethod
    def load_foreign(cls, path: Path) -> Self:
        """The network with the trunk of torchvision's ResNet-18, and a new head.

        Args:
            path: a state dict (.pth), such as `resnet18-f37072fd.pth`, with or without `fc`, which is left out.

        Raises:
            ModelError: when the file cannot be read, or an array is missing or has another shape.
        """
        net, arrays = cls(), NamedArrays(_read_state(path), path, "torchvision's ResNet-18")
        _fill(net.stem, arrays, "conv1", "bn1")
        for number, name in enumerate(_STAGES, 1):
            for place, block in enumerate(net.get_submodule(name).children()):
                prefix = f"layer{number}.{place}"
                _fill(block.first, arrays, f"{prefix}.conv1", f"{prefix}.bn1")
                _fill(block.second, arrays, f"{prefix}.conv2", f"{prefix}.bn2")
                if isinstance(block.shortcut, ConvNorm):
                    _fill(block.shortcut, arrays, f"{prefix}.downsample.0", f"{prefix}.downsample.1")
        return net.eval()


def _read_state(path: Path) -> dict[str, Any]:
    """Every array of a PyTorch state dict; no code in the file is executed."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: array.numpy() for name, array in state.items()}
    except OSError as error:
        raise ModelError(
            f"expected weights (.pth) at {path}, found: {error.strerror or error}; check the path"
        ) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError) as error:
        raise ModelError(
            f"expected a state dict of torchvision's ResNet-18 (.pth) in {path}, found another file; get it again"
        ) from error


def _fill(layer: ConvNorm, arrays: NamedArrays, convolution: str, norm: str) -> None:
    arrays.fill(layer.conv.weight, f"{convolution}.weight")
    for name in _NORM:
        arrays.fill(getattr(layer.bn, name), f"{norm}.{name}")
