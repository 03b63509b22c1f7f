"""YOLOv3-tiny: its published size, both forms of one definition, and what an Edge TPU takes of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from edge_fer.errors import ConfigError, ModelError
from edge_fer.lab.edgetpu.check import check
from edge_fer.lab.export.convert import parameters
from edge_fer.lab.networks.yolov3_tiny import PUBLISHED_ANCHORS, UpTwice, YoloV3Tiny
from edge_fer.lab.training.batch_norm import statistics
from edge_fer.lab.weights.detector import load_detector, save_detector
from tests.lab.support.detector import SIDE, tiny_detector, tiny_detector_file

pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore")]  # the converter warns of itself


def test_it_has_the_published_size_and_shapes() -> None:
    with torch.device("meta"):
        net = YoloV3Tiny()
        fine, coarse = net(torch.zeros(1, 3, 416, 416))
    assert (parameters(net), statistics(net)) == (8_683_736, 6_368)
    assert (fine.shape, coarse.shape) == ((1, 36, 26, 26), (1, 36, 13, 13))
    assert net.anchors == PUBLISHED_ANCHORS


def test_half_the_width_is_a_quarter_of_the_parameters() -> None:
    with torch.device("meta"):
        assert parameters(YoloV3Tiny(0.5, 256, "relu")) == 2_179_600


def test_the_transposed_convolution_repeats_cells() -> None:
    maps = torch.rand(2, 5, 3, 4)
    assert torch.equal(UpTwice(5)(maps), functional.interpolate(maps, scale_factor=2, mode="nearest"))


def test_both_forms_are_one_network_but_for_the_slope() -> None:
    """Where nothing is negative they agree: zeros beyond the edge are then as good as nothing."""
    relu = tiny_detector()
    leaky = YoloV3Tiny(relu.width, SIDE, "leaky", relu.anchors).eval()
    leaky.load_state_dict(relu.state_dict())
    maps = torch.rand(1, 4, 5, 5)
    assert torch.equal(relu._pool_in_place(maps), leaky._pool_in_place(maps))
    below = -maps
    assert leaky._pool_in_place(below).max() < 0
    picture = torch.rand(1, 3, SIDE, SIDE)
    assert not torch.equal(relu(picture)[0], leaky(picture)[0])


def test_anchors_keep_their_part_of_the_picture() -> None:
    net = YoloV3Tiny(0.0625, 832)
    assert net.anchors[0] == (20, 28)
    for side in (416, 96, 832):
        net.set_resolution(side)
    assert net.anchors == tuple((width * 2, height * 2) for width, height in PUBLISHED_ANCHORS)


@pytest.mark.parametrize(
    "settings",
    [
        {"width": 0.3},
        {"resolution": 100},
        {"resolution": 0},
        {"activation": "swish"},
        {"anchors": [(1, 2)]},
        {"anchors": [(1, 2)] * 5 + [(0, 1)]},
    ],
)
def test_wrong_settings_are_told(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        YoloV3Tiny(**settings)  # type: ignore[arg-type]


def test_weights_come_back_with_anchors(tmp_path) -> None:  # type: ignore[no-untyped-def]
    net = tiny_detector()
    save_detector(tmp_path / "best.npz", net)
    loaded = load_detector(tmp_path / "best.npz")
    assert loaded.settings() == net.settings()
    picture = torch.rand(1, 3, SIDE, SIDE)
    assert all(torch.equal(one, other) for one, other in zip(net(picture), loaded(picture), strict=True))


def test_weights_of_another_network_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    np.savez(tmp_path / "a.npz", network=np.array("se_resnet50"))
    with pytest.raises(ModelError, match="found se_resnet50"):
        load_detector(tmp_path / "a.npz")


@pytest.mark.slow
def test_an_edge_tpu_takes_all_of_it() -> None:
    verdict = check(tiny_detector_file())
    assert (verdict.on_cpu, verdict.refused, verdict.known_issues) == (0, (), ())


@pytest.mark.slow
def test_an_independent_build_computes_the_same() -> None:
    """The same weights in Keras, layer by layer as the configuration of Darknet has them."""
    keras = pytest.importorskip("keras")
    net = YoloV3Tiny(0.0625, SIDE, "leaky", tiny_detector().anchors).eval()
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    layers = keras.layers
    source = keras.Input((SIDE, SIDE, 3))
    count = itertools.count()
    built: list[tuple[str, object, object]] = []

    def conv(maps, name: str, kernel: int):  # type: ignore[no-untyped-def]
        own = net.get_submodule(name)
        one = layers.Conv2D(own.conv.out_channels, kernel, padding="same", use_bias=False, name=f"c{next(count)}")
        norm = layers.BatchNormalization(epsilon=1e-5)
        built.append((name, one, norm))
        return layers.LeakyReLU(negative_slope=0.1)(norm(one(maps)))

    maps, route = source, source
    for number in range(1, 8):
        maps = conv(maps, f"conv{number}", 3)
        route = maps if number == 5 else route
        if number < 7:
            maps = layers.MaxPooling2D(2, 2 if number < 6 else 1, padding="same")(maps)
    neck = conv(maps, "neck", 1)
    heads = [layers.Conv2D(36, 1), layers.Conv2D(36, 1)]
    coarse = heads[1](conv(neck, "coarse", 3))
    up = layers.UpSampling2D(2, interpolation="nearest")(conv(neck, "lateral", 1))
    fine = heads[0](conv(layers.Concatenate()([up, route]), "fine", 3))
    model = keras.Model(source, [fine, coarse])
    for name, one, norm in built:
        own = net.get_submodule(name)
        one.set_weights([own.conv.weight.detach().numpy().transpose(2, 3, 1, 0)])
        statistic = (own.bn.weight, own.bn.bias, own.bn.running_mean, own.bn.running_var)
        norm.set_weights([value.detach().numpy() for value in statistic])
    for head, own in zip(heads, net.heads, strict=True):
        head.set_weights([own.weight.detach().numpy().transpose(2, 3, 1, 0), own.bias.detach().numpy()])
    picture = np.random.default_rng(0).random((1, SIDE, SIDE, 3), np.float32)
    with torch.inference_mode():
        ours = [maps.permute(0, 2, 3, 1).numpy() for maps in net(torch.from_numpy(picture).permute(0, 3, 1, 2))]
    for found, expected in zip(model(picture), ours, strict=True):
        assert np.abs(np.asarray(found) - expected).max() < 1e-4
