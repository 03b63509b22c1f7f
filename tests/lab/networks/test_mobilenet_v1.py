"""MobileNet v1 has the published size, computes what Keras computes, and takes the published face weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_fer.errors import ConfigError, ModelError
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.dataset import Split
from edge_fer.lab.networks.mobilenet_v1 import MobileNetV1, SameConv
from edge_fer.lab.networks.se_resnet50 import SEResNet50
from edge_fer.lab.training.batches import plain_batches
from edge_fer.lab.weights.npz import Weights, load_weights, save_weights
from tests.lab.support.networks.tiny_net import TinyNet

pytestmark = [
    pytest.mark.lab,
    pytest.mark.filterwarnings("default"),  # TensorFlow warns of itself
]

BGR_MEANS = (103.939, 116.779, 123.68)
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    """Random weights named and shaped like those of the published file, with both heads."""
    torch.manual_seed(0)
    state = MobileNetV1().state_dict()
    found = {name: 0.9 * value.numpy() for name, value in state.items() if not name.startswith("head.")}
    rng = np.random.default_rng(0)
    for head in ("head_ferplus", "head_fer2013"):
        found |= {f"{head}.weight": rng.normal(0, 0.1, (7, 1024)), f"{head}.bias": rng.normal(0, 0.1, 7)}
    return {name: value.astype(np.float16 if value.ndim > 1 else np.float32) for name, value in found.items()}


@pytest.fixture(scope="module")
def published(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mobilenet") / "faces.npz"
    np.savez(path, **arrays)
    return path


def in_keras(arrays: Arrays, bgr: np.ndarray) -> np.ndarray:
    """Features of BGR pixels minus the means, `(n, side, side, 3)`, by Keras's layers and 'same' padding."""
    import keras
    from keras import layers

    def fill(layer: Any, maps: Any, kernel: np.ndarray, bias: np.ndarray) -> Any:
        layer.build(maps.shape)
        layer.set_weights([kernel.astype(np.float32), bias])
        return layers.ReLU(max_value=6.0)(layer(maps))

    def conv(name: str, maps: Any, stride: int) -> Any:
        kernel = arrays[f"{name}.weight"].transpose(2, 3, 1, 0)
        layer = layers.Conv2D(kernel.shape[3], kernel.shape[:2], stride, "same")
        return fill(layer, maps, kernel, arrays[f"{name}.bias"])

    inputs = maps = keras.Input(bgr.shape[1:])
    maps = conv("conv1", maps, 2)
    for number in range(1, 14):
        name = f"block{number}.depthwise"
        layer = layers.DepthwiseConv2D(3, 2 if number in (2, 4, 6, 12) else 1, "same")
        maps = fill(layer, maps, arrays[f"{name}.weight"].transpose(2, 3, 0, 1), arrays[f"{name}.bias"])
        maps = conv(f"block{number}.pointwise", maps, 1)
    return np.asarray(keras.Model(inputs, layers.GlobalAveragePooling2D()(maps))(bgr, training=False))


def test_it_has_the_published_size() -> None:
    assert sum(parameter.numel() for parameter in MobileNetV1().parameters()) == 3_196_032 + 1024 * 7 + 7


@pytest.mark.parametrize("side", [64, 75])
def test_features_are_those_of_keras(arrays: Arrays, published: Path, side: int) -> None:
    """At an even side the zeros of a strided layer lie behind the map, at an odd one around it."""
    pixels = np.random.default_rng(1).integers(0, 256, (2, side, side)).astype(np.float32)
    expected = in_keras(arrays, pixels[..., None] - np.array(BGR_MEANS, np.float32))
    net = MobileNetV1.load_foreign(published)
    assert not net.training
    mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (net.input.mean, net.input.std))
    with torch.no_grad():
        features = net.features(torch.from_numpy((pixels[:, None] / 255 - mean) / std).float()).numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(features, expected, atol=1e-4 * np.abs(expected).max())


def test_both_heads_of_the_published_file_arrive(arrays: Arrays, published: Path) -> None:
    loaded = load_weights(published, "mobilenet_v1")
    assert loaded.second is not None
    np.testing.assert_array_equal(loaded.net.head.weight.detach().numpy(), arrays["head_ferplus.weight"])
    np.testing.assert_array_equal(loaded.second.bias.detach().numpy(), arrays["head_fer2013.bias"])


def test_a_file_of_the_trunk_alone_has_a_new_head(tmp_path: Path, arrays: Arrays) -> None:
    np.savez(tmp_path / "trunk.npz", **{name: array for name, array in arrays.items() if "head" not in name})
    loaded = load_weights(tmp_path / "trunk.npz", "mobilenet_v1")
    assert loaded.second is None
    assert loaded.net.head.weight.shape == (7, 1024)


def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, arrays: Arrays) -> None:
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, **(arrays | {"block3.depthwise.weight": np.zeros((128, 1, 5, 5), np.float16)}))
    with pytest.raises(ModelError, match=r"`block3\.depthwise\.weight` of shape \(128, 1, 3, 3\) .* \(128, 1, 5, 5\)"):
        load_weights(wrong, "mobilenet_v1")
    np.savez(wrong, **{"stem.conv.weight": np.zeros((64, 3, 7, 7))})
    with pytest.raises(ModelError, match=r"expected the array `conv1\.weight` in .*; this is not MobileNet v1"):
        load_weights(wrong, "mobilenet_v1")
    save_weights(wrong, Weights(SEResNet50(0.125)))
    with pytest.raises(ModelError, match=r"expected weights of mobilenet_v1 in .*, found those of se_resnet50"):
        load_weights(wrong, "mobilenet_v1")
    with pytest.raises(ModelError, match=r"that this lab wrote .*, found .*x\.h5"):
        TinyNet.load_foreign(tmp_path / "x.h5")


def test_written_weights_are_read_again_with_their_settings(tmp_path: Path) -> None:
    net = MobileNetV1(0.25, 64, "rgb").eval()
    save_weights(tmp_path / "w.npz", Weights(net))
    again = load_weights(tmp_path / "w.npz").net
    assert again.settings() == {"width": 0.25, "resolution": 64, "colour": "rgb"}
    assert again.input.side == 64
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again(image), net(image), atol=1e-2, rtol=1e-2)


def test_a_colour_that_there_is_not_is_named() -> None:
    with pytest.raises(ConfigError, match=r"expected a colour \(grey, rgb\) for mobilenet_v1, found `infrared`"):
        MobileNetV1(colour="infrared")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"expected start\.block_scale 1 for mobilenet_v1, .* found 0\.5"):
        MobileNetV1(0.125).scale_blocks(0.5)


def test_a_layer_keeps_its_map_or_halves_it() -> None:
    for side, stride, zeros in ((8, 1, (1, 1)), (8, 2, (0, 1)), (7, 2, (1, 1))):
        layer = SameConv(3, 4, 3, stride)
        assert layer.zeros(side) == zeros
        assert layer(torch.zeros(1, 3, side, side)).shape[-1] == -(-side // stride)


@pytest.mark.shared
def test_the_published_weights_read_faces(shared: Path) -> None:
    path = shared / "weights" / "mobilenet_v1_fer_v1.npz"
    if not path.is_file():
        pytest.skip("the published weights are not here")
    net = load_weights(path, "mobilenet_v1").net
    validation = open_dataset(shared / "data" / "ferplus.npz").only(Split.VALIDATION)
    some = validation.take(np.arange(0, len(validation), 18))
    with torch.inference_mode():
        labels = np.concatenate([net(images).argmax(1).numpy() for images in plain_batches(some, 160, 32, net.input)])
    assert (labels == some.labels).mean() > 0.78
