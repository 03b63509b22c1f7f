"""MTCNN's three nets: Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Networks", 2016."""

from __future__ import annotations

from torch import Tensor, nn


class MtcnnNet(nn.Module):
    """One of MTCNN's nets: a trunk, and heads that all read its last feature map.

    The input is `(n, 3, height, width)` float32, RGB, (pixel - 127.5) / 128. The outputs, in the
    order of `heads`: `boxes` (4: corner offsets as fractions of the window), `landmarks` (10:
    five x, then five y, as fractions; O-Net only), `scores` (2: not a face, a face; sum 1).
    """

    def __init__(self, trunk: nn.Sequential, heads: dict[str, nn.Sequential], input_size: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleDict(heads)
        self.input_size = input_size

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Run the net."""
        features = self.trunk(image)
        return tuple(head(features) for head in self.heads.values())


def p_net() -> MtcnnNet:
    """The proposal net: fully convolutional, a window of 12 pixels every 2 pixels."""
    trunk = nn.Sequential(
        *_conv_prelu(3, 10, 3),
        nn.MaxPool2d(2, 2, ceil_mode=True),
        *_conv_prelu(10, 16, 3),
        *_conv_prelu(16, 32, 3),
    )
    heads = {
        "boxes": nn.Sequential(nn.Conv2d(32, 4, 1)),
        "scores": nn.Sequential(nn.Conv2d(32, 2, 1), nn.Softmax(dim=1)),
    }
    return MtcnnNet(trunk, heads, input_size=12)


def r_net() -> MtcnnNet:
    """The refinement net, on windows of 24 pixels."""
    trunk = nn.Sequential(
        *_conv_prelu(3, 28, 3),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        *_conv_prelu(28, 48, 3),
        nn.MaxPool2d(3, 2),
        *_conv_prelu(48, 64, 2),
        nn.Flatten(),
        nn.Linear(64 * 3 * 3, 128),
        nn.PReLU(128),
    )
    return MtcnnNet(trunk, {"boxes": _dense(128, 4), "scores": _scores(128)}, input_size=24)


def o_net() -> MtcnnNet:
    """The output net, on windows of 48 pixels: also gives five landmarks."""
    trunk = nn.Sequential(
        *_conv_prelu(3, 32, 3),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        *_conv_prelu(32, 64, 3),
        nn.MaxPool2d(3, 2),
        *_conv_prelu(64, 64, 3),
        nn.MaxPool2d(2, 2, ceil_mode=True),
        *_conv_prelu(64, 128, 2),
        nn.Flatten(),
        nn.Linear(128 * 3 * 3, 256),
        nn.PReLU(256),
    )
    heads = {"boxes": _dense(256, 4), "landmarks": _dense(256, 10), "scores": _scores(256)}
    return MtcnnNet(trunk, heads, input_size=48)


def _conv_prelu(inputs: int, outputs: int, kernel: int) -> tuple[nn.Conv2d, nn.PReLU]:
    return nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)


def _dense(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs))


def _scores(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 2), nn.Softmax(dim=1))
