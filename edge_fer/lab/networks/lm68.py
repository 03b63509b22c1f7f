"""A small network of 68 landmarks, shaped like MTCNN's O-Net: it learns dlib's answers, and needs no dlib."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_fer.expression.face_features import LANDMARK_FEATURES, SIDE
from edge_fer.inference.picture_spec import InputSpec

INPUT = InputSpec(size=SIDE, colour="grey", mean=0.5, std=0.25)

_HIDDEN, _LAST_SIDE = 192, 6


class LandmarkNet(nn.Module):
    """Four convolutions and two dense layers, 0.38 M parameters.

    The input is `(n, 1, 48, 48)` float32, as `INPUT` says; the output is `(n, 136)`, x and y in turns, pixels.

    Args:
        mean_points: `(68, 2)`, pixels: what it answers at first.
    """

    def __init__(self, mean_points: NDArray[Any]) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        inputs = 1
        for number, outputs in enumerate((32, 64, 64), 1):
            layers |= _layer(f"conv{number}", inputs, outputs, stride=1)
            layers[f"pool{number}"] = nn.MaxPool2d(2, 2)
            inputs = outputs
        layers |= _layer("conv4", inputs, 128, stride=2)
        self.trunk = nn.Sequential(layers)
        self.dense = nn.Linear(128 * (_LAST_SIDE // 2) ** 2, _HIDDEN)
        self.points = nn.Linear(_HIDDEN, LANDMARK_FEATURES)
        with torch.no_grad():
            self.points.bias.copy_(torch.from_numpy(mean_points.reshape(-1)))

    def forward(self, image: Tensor) -> Tensor:
        """Run the network."""
        maps = self.trunk(image)
        # Channels last before the flattening: without it the converter would transpose at run time.
        return self.points(torch.relu(self.dense(maps.permute(0, 2, 3, 1).flatten(1))))


def _layer(name: str, inputs: int, outputs: int, *, stride: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        {
            name: nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            f"{name}_norm": nn.BatchNorm2d(outputs),
            f"{name}_relu": nn.ReLU(),
        }
    )
