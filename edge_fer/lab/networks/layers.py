"""Layers that several networks are made of."""

from __future__ import annotations

from torch import nn


class ConvNorm(nn.Sequential):
    """A convolution without bias and its batch norm.

    Args:
        inputs: channels of the map that it reads.
        outputs: channels of the map that it makes.
        kernel: height and width of the kernel; one number for both.
        stride: of the convolution.
        padded: whether half a kernel of zeros lies around the map, so that stride 1 keeps its size; else none.
        epsilon: of the batch norm.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        *,
        padded: bool = True,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        zeros = (height // 2, width // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding=zeros, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=epsilon)


def same_zeros(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """How many zeros TensorFlow's 'same' padding puts before and behind a map.

    The result has a side of ceil(side / stride). Where the number of zeros is odd, the odd one lies behind the map
    (right and below).

    Args:
        side: side of the map, pixels.
        kernel: side of the kernel.
        stride: of the layer.
    """
    count = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return count // 2, count - count // 2
