"""The networks have as many parameters as the published ones."""

from __future__ import annotations

import pytest
import torch

from edge_fer.lab.explain.gradcam import map_sides
from edge_fer.lab.export.convert import parameters
from edge_fer.lab.networks import open_network
from edge_fer.lab.training.batch_norm import statistics

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(
    ("name", "without_head", "features", "kept"),
    [
        ("se_resnet50", 28_088_024, 1000, 53_120),
        ("vgg_face", 134_289_223 - 28_679, 4096, 0),
        ("resnet50", 23_508_032, 2048, 53_120),
        ("inception_resnet_v2", 54_306_464, 1536, 60_544),
        ("resnet18", 11_176_512, 512, 9_600),
        ("fan", 11_185_225 - 7_175, 1024, 9_600),
        ("fan_self", 11_180_616 - 3_591, 512, 9_600),
    ],
)
def test_a_network_has_its_published_size(name: str, without_head: int, features: int, kept: int) -> None:
    with torch.device("meta"):  # shapes without memory
        net = open_network(name)()
    assert net.head.in_features == features
    assert parameters(net) == without_head + 7 * features + 7
    assert statistics(net) == kept


def test_vgg_face_with_its_own_persons_has_145_million_parameters() -> None:
    """14,714,688 of the convolutions, and those of the published 2,622 classes."""
    with torch.device("meta"):
        net = open_network("vgg_face")()
        convolutions = sum(parameters(net.get_submodule(f"block{number}")) for number in range(1, 6))
        assert convolutions == 14_714_688
        assert parameters(net) - parameters(net.head) + 4096 * 2622 + 2622 == 145_002_878
        assert parameters(open_network("vgg_face")(resolution=112)) == 50_403_143


def test_maps_have_the_published_sides() -> None:
    """At 224, 197 and 139 pixels."""
    sides = {"vgg_face": (56, 28, 14), "resnet50": (49, 25, 13, 7), "inception_resnet_v2": (15, 7, 3)}
    for name, expected in sides.items():
        assert tuple(map_sides(open_network(name)(0.125).eval()).values()) == expected, name
