"""VGG-Face takes any size of picture, drops out where the thesis says, and computes what Keras computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_fer.errors import ConfigError, ModelError
from edge_fer.lab.networks.vgg_face import VGGFace
from edge_fer.lab.weights.npz import Weights, load_weights, save_weights
from tests.lab.support.keras_files import Arrays, random_array, write_h5

pytestmark = [
    pytest.mark.lab,
    pytest.mark.filterwarnings("default"),  # TensorFlow warns of itself
]

BLOCKS = {1: (2, 64), 2: (2, 128), 3: (3, 256), 4: (3, 512), 5: (3, 512)}
BGR_MEANS = (93.5940, 104.7624, 129.1863)


def narrow(side: int) -> VGGFace:
    torch.manual_seed(0)
    return VGGFace(0.125, side).eval()


@pytest.mark.parametrize(("side", "places"), [(32, 1), (56, 1), (64, 2), (112, 3), (224, 7)])
def test_the_first_dense_layer_fits_the_picture(side: int, places: int) -> None:
    net = narrow(side)
    assert net.fc6.in_features == places**2 * 64
    assert net(torch.zeros(2, 3, side, side)).shape == (2, 7)


def test_a_new_size_adds_up_the_same_places() -> None:
    """A map that is the same everywhere gives a unit the same, whatever the size."""
    net, maps = narrow(224), torch.rand(1, 64, generator=torch.Generator().manual_seed(0))
    net.fc6.requires_grad_(False)
    large = net.fc6(maps.repeat(1, 49))
    net.set_resolution(64)
    assert net.resolution == 64
    assert not net.fc6.weight.requires_grad
    torch.testing.assert_close(net.fc6(maps.repeat(1, 4)), large)
    assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    kept = net.fc6.weight
    net.set_resolution(65)
    assert net.fc6.weight is kept, "the map has as many places"


def test_a_new_size_keeps_the_spread_of_what_the_units_make() -> None:
    net = narrow(224).requires_grad_(False)
    maps = torch.rand(64, 64 * 49, generator=torch.Generator().manual_seed(0)) - 0.5
    before = net.fc6(maps).std()
    net.set_resolution(96)
    assert net.fc6(maps[:, : 9 * 64]).std() == pytest.approx(float(before), rel=0.2)


def test_a_picture_without_a_place_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected at least 32 pixels for vgg_face, found 31"):
        VGGFace(0.125, 31)


def test_both_dense_layers_have_dropout() -> None:
    net = narrow(32)
    net.dropout.p = 0.5
    shares: list[float] = []
    net.dropout.register_forward_hook(lambda _module, given, made: shares.append(_dropped(given[0], made)))
    net.train()(torch.rand(8, 3, 32, 32))
    assert len(shares) == 2
    assert all(0.3 < share < 0.7 for share in shares)


def _dropped(given: torch.Tensor, made: torch.Tensor) -> float:
    return float((made[given > 0] == 0).float().mean())


def test_weights_of_any_size_are_read_again(tmp_path: Path) -> None:
    net = narrow(96)
    save_weights(tmp_path / "w.npz", Weights(net))
    again = load_weights(tmp_path / "w.npz").net
    assert again.settings() == {"width": 0.125, "resolution": 96, "colour": "rgb"}
    image = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(again(image), net(image), atol=1e-2, rtol=1e-2)


def shapes() -> Iterator[tuple[str, dict[str, tuple[int, ...]]]]:
    """The layers of the published file with the shapes of their arrays."""
    inputs = 3
    for block, (count, outputs) in BLOCKS.items():
        for number in range(1, count + 1):
            yield f"conv{block}_{number}", {"kernel": (3, 3, inputs, outputs), "bias": (outputs,)}
            inputs = outputs
    yield "fc6", {"kernel": (7 * 7 * 512, 4096), "bias": (4096,)}
    yield "fc7", {"kernel": (4096, 4096), "bias": (4096,)}


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    rng = np.random.default_rng(0)
    return {layer: {name: random_array(name, shape, rng) for name, shape in inner.items()} for layer, inner in shapes()}


def in_keras(arrays: Arrays, images: np.ndarray) -> np.ndarray:
    """The published network, built with Keras's layers: what fc7 makes of preprocessed BGR images."""
    import keras
    from keras import layers

    def filled(layer: Any, maps: Any, name: str) -> Any:
        layer.build(maps.shape)
        layer.set_weights([arrays[name]["kernel"], arrays[name]["bias"]])
        return layer(maps)

    inputs = maps = keras.Input(images.shape[1:])
    for block, (count, outputs) in BLOCKS.items():
        for number in range(1, count + 1):
            layer = layers.Conv2D(outputs, 3, padding="same", activation="relu")
            maps = filled(layer, maps, f"conv{block}_{number}")
        maps = layers.MaxPooling2D(2, 2)(maps)
    maps = layers.Flatten()(maps)
    for name in ("fc6", "fc7"):
        maps = filled(layers.Dense(4096, activation="relu"), maps, name)
    return np.asarray(keras.Model(inputs, maps)(images, training=False))


@pytest.mark.slow
def test_logits_are_those_of_keras(arrays: Arrays, tmp_path: Path) -> None:
    """In colour: a picture that is RGB here is BGR there. fc6 is for 224 pixels, and so is this."""
    rgb = np.random.default_rng(1).integers(0, 256, (1, 224, 224, 3)).astype(np.float32)
    expected = in_keras(arrays, rgb[..., ::-1] - np.array(BGR_MEANS, np.float32))
    net = VGGFace.load_foreign(write_h5(tmp_path / "vgg16.h5", arrays))
    assert not net.training
    mean, std = (np.array(values, np.float32) for values in (net.input.mean, net.input.std))
    ours = torch.from_numpy((rgb / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        features, logits, on_top = net.features(ours), net(ours), net.head(torch.tensor(expected))
    scale = np.abs(expected).max()
    assert expected.std() > 0.05 * scale
    np.testing.assert_allclose(features.numpy() / scale, expected / scale, atol=1e-4)
    np.testing.assert_allclose(logits.numpy() / scale, on_top.numpy() / scale, atol=1e-4)


@pytest.mark.slow
def test_a_file_without_its_top_leaves_the_dense_layers_new(arrays: Arrays, tmp_path: Path) -> None:
    trunk = {name: inner for name, inner in arrays.items() if name.startswith("conv")}
    net = VGGFace.load_foreign(write_h5(tmp_path / "notop.h5", trunk))
    kernel = arrays["conv5_3"]["kernel"].transpose(3, 2, 0, 1)
    np.testing.assert_array_equal(net.get_submodule("block5.conv3").weight.detach().numpy(), kernel)
    assert not np.array_equal(net.fc6.bias.detach().numpy(), arrays["fc6"]["bias"])


@pytest.mark.slow
def test_a_wrong_file_is_refused_in_one_line(arrays: Arrays, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected keras-vggface's VGG16 \(\.h5\) in .*none\.h5, found"):
        VGGFace.load_foreign(tmp_path / "none.h5")
    with pytest.raises(
        ModelError, match=r"expected the array `conv1_1/kernel` in .*; this is not keras-vggface's VGG16"
    ):
        VGGFace.load_foreign(write_h5(tmp_path / "a.h5", {"conv1/7x7_s2": {"kernel": np.zeros((7, 7, 3, 64))}}))
    half = {name: inner for name, inner in arrays.items() if name.startswith("conv") or name == "fc6"}
    half["fc6"] = {"kernel": np.zeros((9 * 512, 4096), np.float32), "bias": np.zeros(4096, np.float32)}
    with pytest.raises(ModelError, match=r"expected `fc6/kernel` of shape \(4096, 25088\) in .*, found \(4096, 4608\)"):
        VGGFace.load_foreign(write_h5(tmp_path / "b.h5", half))
