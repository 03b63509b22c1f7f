"""What the converter makes of layers that networks here are built of, or must not be built of."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_fer.lab.edgetpu.check import check
from edge_fer.lab.quiet import quiet
from edge_fer.lab.tflite.graph import NEWEST_VERSION, Graph

# The converter warns of this and that, from half a dozen libraries.
pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

MAP = (1, 8, 8, 4)  # NHWC, as a deployed network takes it


class Function(nn.Module):
    """A network of one function, with a few dense layers for those that take one."""

    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(self, *inputs)


def converted(net: nn.Module, *shapes: tuple[int, ...]) -> bytes:
    with quiet(), tempfile.TemporaryDirectory() as folder:
        import litert_torch

        wrapped = litert_torch.to_channel_last_io(net, args=[0]).eval()
        path = Path(folder) / "float.tflite"
        litert_torch.convert(wrapped, tuple(torch.zeros(shape) for shape in shapes)).export(str(path))
        return path.read_bytes()


def operators(function: Callable[..., Tensor], *shapes: tuple[int, ...], **layers: nn.Module) -> Counter[str]:
    graph = Graph(converted(Function(function, **layers), *(shapes or (MAP,))))
    return Counter(node.name for node in graph.nodes)


def pooled(maps: Tensor) -> Tensor:
    """To one number a channel, so that the output of the network is no map, which would be transposed."""
    return maps.mean(dim=(2, 3), keepdim=True).flatten(1)


def test_flattening_a_map_transposes_it_unless_channels_come_last() -> None:
    layers = {"dense": nn.Linear(8 * 8 * 4, 3)}
    assert operators(lambda net, x: net.dense(x.flatten(1)), **layers)["TRANSPOSE"] == 1
    found = operators(lambda net, x: net.dense(x.permute(0, 2, 3, 1).flatten(1)), **layers)
    assert found == {"RESHAPE": 1, "FULLY_CONNECTED": 1}


def test_nearest_neighbours_are_of_half_pixels_and_stay_on_the_cpu() -> None:
    content = converted(Function(lambda _, x: pooled(functional.interpolate(x, scale_factor=2.0, mode="nearest"))), MAP)
    (node,) = (node for node in Graph(content).nodes if node.name == "RESIZE_NEAREST_NEIGHBOR")
    assert node.options.halfPixelCenters
    assert any("half_pixel_centers" in str(finding) for finding in check(content).findings)


def test_a_transposed_convolution_enlarges_as_well() -> None:
    up = nn.ConvTranspose2d(4, 4, 2, 2, bias=False)
    with torch.no_grad():
        up.weight.copy_(torch.eye(4)[:, :, None, None].expand(4, 4, 2, 2))
    maps = torch.rand(1, 4, 3, 3)
    torch.testing.assert_close(up(maps), functional.interpolate(maps, scale_factor=2.0, mode="nearest"))
    content = converted(Function(lambda net, x: pooled(net.up(x)), up=up), MAP)
    (node,) = (node for node in Graph(content).nodes if node.name == "TRANSPOSE_CONV")
    assert node.version <= NEWEST_VERSION["TRANSPOSE_CONV"]


def test_a_leaky_relu_is_a_product_and_a_maximum() -> None:
    convolution = nn.Conv2d(4, 4, 1)
    leaky = operators(lambda net, x: pooled(functional.leaky_relu(net.convolution(x), 0.1)), convolution=convolution)
    assert leaky["LEAKY_RELU"] == 1
    assert "LEAKY_RELU" not in NEWEST_VERSION

    def maximum(net: nn.Module, maps: Tensor) -> Tensor:
        maps = net.convolution(maps)
        return pooled(torch.maximum(maps, 0.1 * maps))

    found = operators(maximum, convolution=convolution)
    assert (found["MUL"], found["MAXIMUM"]) == (1, 1)
    assert set(found) <= set(NEWEST_VERSION)


def test_an_average_that_leaves_its_border_out_is_one_pool() -> None:
    pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    content = converted(Function(lambda net, x: pooled(net.pool(x)), pool=pool), MAP)
    names = [node.name for node in Graph(content).nodes]
    assert names.count("AVERAGE_POOL_2D") == 1
    assert set(names) <= set(NEWEST_VERSION)
    found = operators(lambda _, x: pooled(functional.max_pool2d(functional.pad(x, (0, 1, 0, 1)), 2, 1)))
    assert (found["PAD"], found["MAX_POOL_2D"]) == (1, 1)
    assert set(found) <= set(NEWEST_VERSION)


def test_a_network_may_have_two_inputs() -> None:
    def joined(net: nn.Module, maps: Tensor, vector: Tensor) -> Tensor:
        return net.dense(torch.cat([pooled(net.convolution(maps)), torch.relu(net.branch(vector))], dim=1))

    layers = {"convolution": nn.Conv2d(4, 4, 1), "branch": nn.Linear(6, 4), "dense": nn.Linear(8, 3)}
    found = operators(joined, MAP, (1, 6), **layers)
    assert found["CONCATENATION"] == 1
    assert set(found) <= set(NEWEST_VERSION)


def test_a_grid_is_never_sampled_on_an_edge_tpu() -> None:
    def sampled(_: nn.Module, maps: Tensor, theta: Tensor) -> Tensor:
        grid = functional.affine_grid(theta, [1, 4, 8, 8], align_corners=False)
        return pooled(functional.grid_sample(maps, grid, align_corners=False))

    assert not set(operators(sampled, MAP, (1, 2, 3))) <= set(NEWEST_VERSION)
