"""Inception-ResNet v2 computes what Keras's own builds of it compute, under the names of all its versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_fer.errors import ConfigError, ModelError
from edge_fer.lab.networks.inception_resnet_v2 import InceptionResNetV2, Linear
from tests.lab.support.keras_files import Arrays, random_array, write_h5

pytestmark = [
    pytest.mark.lab,
    pytest.mark.filterwarnings("default"),  # TensorFlow warns of itself
]


def test_the_smallest_picture_has_one_place_left() -> None:
    net = InceptionResNetV2(0.125, 75).eval()
    maps: list[torch.Tensor] = []
    net.conv_7b.register_forward_hook(lambda _module, _given, made: maps.append(made))
    assert net(torch.zeros(1, 3, 75, 75)).shape == (1, 7)
    assert maps[0].shape == (1, 192, 1, 1)
    with pytest.raises(ConfigError, match=r"expected at least 75 pixels for inception_resnet_v2, found 74"):
        InceptionResNetV2(0.125, 74)


def test_what_a_block_adds_counts_by_its_factor() -> None:
    net = InceptionResNetV2(0.125)
    factors = [layer.scale for layer in net.modules() if isinstance(layer, Linear)]
    assert factors == [0.17] * 10 + [0.1] * 20 + [0.2] * 9 + [1.0]
    block, maps = net.block17[3].eval(), torch.rand(1, 136, 5, 5)
    with torch.no_grad():
        block.linear.weight.zero_()
        block.linear.bias.fill_(1.0)
        torch.testing.assert_close(block(maps), maps + 0.1)
        assert net.block8[9].eval()(torch.full((1, 260, 1, 1), -1e3)).min() < 0, "the last one has no ReLU"


def test_blocks_can_begin_by_adding_nothing() -> None:
    net = InceptionResNetV2(0.125, 75).eval()
    net.scale_blocks(0)
    maps = torch.rand(1, 40, 3, 3)
    with torch.no_grad():
        torch.testing.assert_close(net.block35(maps), maps)


@dataclass(frozen=True)
class Published:
    """Keras's build with random weights, by the names of its layers, and what it makes of some pictures."""

    arrays: Arrays
    rgb: np.ndarray
    features: np.ndarray


@pytest.fixture(scope="module")
def published() -> Published:
    import keras

    keras.backend.clear_session()  # names begin anew
    net = keras.applications.InceptionResNetV2(
        include_top=False, weights=None, input_shape=(139, 139, 3), pooling="avg"
    )
    rng, arrays = np.random.default_rng(0), {}
    for layer in net.layers:
        kinds = [re.sub(r".*/|:0", "", variable.name) for variable in layer.weights]
        shapes = [tuple(variable.shape) for variable in layer.weights]
        values = [random_array(kind, shape, rng) for kind, shape in zip(kinds, shapes, strict=True)]
        layer.set_weights(values)
        if values:
            arrays[layer.name] = dict(zip(kinds, values, strict=True))
    rgb = rng.integers(0, 256, (2, 139, 139, 3)).astype(np.float32)
    return Published(arrays, rgb, np.asarray(net(rgb / 127.5 - 1, training=False)))


def renumbered(name: str, first: int) -> str:
    found = re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d+))?", name)
    return name if found is None else f"{found[1]}_{int(found[2] or 0) + first}"


@pytest.mark.slow
def test_features_are_those_of_keras(published: Published, tmp_path: Path) -> None:
    net = InceptionResNetV2.load_foreign(write_h5(tmp_path / "inception.h5", published.arrays))
    assert not net.training
    mean, std = (np.array(values, np.float32) for values in (net.input.mean, net.input.std))
    with torch.no_grad():
        images = torch.from_numpy((published.rgb / 255 - mean) / std).permute(0, 3, 1, 2)
        features = net.features(images).numpy()
    expected, scale = published.features, np.abs(published.features).max()
    assert expected.std() > 0.01 * scale
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * scale
    np.testing.assert_allclose(features / scale, expected / scale, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 98])
def test_numbers_of_layers_may_begin_anywhere(published: Published, tmp_path: Path, first: int) -> None:
    """`conv2d_1` is the first one of the published file, `conv2d` of newer ones."""
    expected = InceptionResNetV2.load_foreign(write_h5(tmp_path / "a.h5", published.arrays)).state_dict()
    other = {renumbered(name, first): values for name, values in published.arrays.items()}
    found = InceptionResNetV2.load_foreign(write_h5(tmp_path / "b.h5", other)).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected if not name.startswith("head."))


@pytest.mark.slow
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected Keras's Inception-ResNet v2 \(\.h5\) in .*none\.h5, found"):
        InceptionResNetV2.load_foreign(tmp_path / "none.h5")
    other = {f"conv2d_{number}": {"kernel": np.zeros((3, 3, 3, 32), np.float32)} for number in range(1, 5)}
    with pytest.raises(
        ModelError, match=r"expected 203 layers conv2d_1 to conv2d_203 in .*, found 4; this is not Keras's"
    ):
        InceptionResNetV2.load_foreign(write_h5(tmp_path / "other.h5", other))
