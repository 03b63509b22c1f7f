"""keras-vggface's SENet-50 computes here what it computes in Keras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_fer.errors import ModelError
from edge_fer.lab.networks.residual import GREY_MEAN, GREY_STD
from edge_fer.lab.networks.se_resnet50 import SEResNet50

h5py = pytest.importorskip("h5py")

pytestmark = [
    pytest.mark.lab,
    pytest.mark.filterwarnings("default"),  # TensorFlow warns of itself
]

BLOCKS = {2: (3, 64), 3: (4, 128), 4: (6, 256), 5: (3, 512)}
BGR_MEANS = (91.4953, 103.8827, 131.0912)
Arrays = dict[str, dict[str, np.ndarray]]


def shapes() -> Iterator[tuple[str, dict[str, tuple[int, ...]]]]:
    """The layers of the published file with the shapes of their arrays, in Keras's order."""

    def conv(name: str, kernel: int, inputs: int, outputs: int) -> Iterator[tuple[str, dict[str, tuple[int, ...]]]]:
        yield name, {"kernel": (kernel, kernel, inputs, outputs)}
        yield f"{name}/bn", dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (outputs,))

    yield from conv("conv1/7x7_s2", 7, 3, 64)
    inputs = 64
    for stage, (count, width) in BLOCKS.items():
        for number in range(1, count + 1):
            prefix, outputs = f"conv{stage}_{number}_1x1_", 4 * width
            yield from conv(f"{prefix}reduce", 1, inputs, width)
            yield from conv(f"conv{stage}_{number}_3x3", 3, width, width)
            yield from conv(f"{prefix}increase", 1, width, outputs)
            yield f"{prefix}down", {"kernel": (1, 1, outputs, outputs // 16), "bias": (outputs // 16,)}
            yield f"{prefix}up", {"kernel": (1, 1, outputs // 16, outputs), "bias": (outputs,)}
            if number == 1:
                yield from conv(f"{prefix}proj", 1, inputs, outputs)
            inputs = outputs


def random_array(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name == "kernel":
        return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:3]))).astype(np.float32)
    low, high = {"gamma": (0.5, 1), "moving_variance": (1e-4, 2)}.get(name, (-0.2, 0.2))
    return rng.uniform(low, high, shape).astype(np.float32)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    rng = np.random.default_rng(0)
    return {layer: {name: random_array(name, shape, rng) for name, shape in inner.items()} for layer, inner in shapes()}


def write_h5(path: Path, arrays: Arrays, group: str = "") -> Path:
    """Keras 2's layout: a group a layer, with its arrays under `layer/name:0` in it."""
    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        root.attrs["layer_names"] = [name.encode() for name in ("input_1", *arrays, "activation_1")]
        for layer in ("input_1", *arrays, "activation_1"):
            inner = root.require_group(layer)
            names = [f"{layer}/{name}:0" for name in arrays.get(layer, {})]
            inner.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays.get(layer, {}).values(), strict=True):
                inner[name] = array
    return path


@pytest.fixture(scope="module")
def weights(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_h5(tmp_path_factory.mktemp("vggface") / "senet50.h5", arrays)


def in_keras(arrays: Arrays, images: np.ndarray) -> np.ndarray:
    """The published network, built with Keras's layers: pooled features of preprocessed BGR images."""
    import keras
    from keras import layers

    def norm(name: str, maps: Any) -> Any:
        layer = layers.BatchNormalization(epsilon=1e-4)
        layer.build(maps.shape)
        layer.set_weights([arrays[f"{name}/bn"][key] for key in ("gamma", "beta", "moving_mean", "moving_variance")])
        return layer(maps)

    def conv(name: str, maps: Any, stride: int = 1, padding: str = "valid") -> Any:
        kernel = arrays[name]["kernel"]
        bias = "bias" in arrays[name]
        layer = layers.Conv2D(kernel.shape[3], kernel.shape[:2], stride, padding, use_bias=bias)
        layer.build(maps.shape)
        layer.set_weights(list(arrays[name].values()))
        return layer(maps)

    inputs = maps = keras.Input(images.shape[1:])
    maps = layers.ReLU()(norm("conv1/7x7_s2", conv("conv1/7x7_s2", maps, 2, "same")))
    maps = layers.MaxPooling2D(3, 2)(maps)
    for stage, (count, _) in BLOCKS.items():
        for number in range(1, count + 1):
            prefix, three = f"conv{stage}_{number}_1x1_", f"conv{stage}_{number}_3x3"
            stride = 2 if stage > 2 and number == 1 else 1
            x = layers.ReLU()(norm(f"{prefix}reduce", conv(f"{prefix}reduce", maps, stride)))
            x = layers.ReLU()(norm(three, conv(three, x, 1, "same")))
            x = norm(f"{prefix}increase", conv(f"{prefix}increase", x))
            gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
            gate = layers.ReLU()(conv(f"{prefix}down", gate))
            gate = layers.Activation("sigmoid")(conv(f"{prefix}up", gate))
            shortcut = norm(f"{prefix}proj", conv(f"{prefix}proj", maps, stride)) if number == 1 else maps
            maps = layers.ReLU()(layers.Add()([layers.Multiply()([x, gate]), shortcut]))
    outputs = layers.GlobalAveragePooling2D()(maps)
    return np.asarray(keras.Model(inputs, outputs)(images, training=False))


def test_features_and_logits_are_those_of_keras(arrays: Arrays, weights: Path) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (2, 224, 224)).astype(np.float32)
    expected = in_keras(arrays, grey[..., None] - np.array(BGR_MEANS, np.float32))
    net = SEResNet50.load_foreign(weights)
    assert not net.training
    pooled: list[torch.Tensor] = []
    net.dense1000.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    ours = torch.from_numpy((grey / 255 - GREY_MEAN) / GREY_STD)[:, None].repeat(1, 3, 1, 1)
    with torch.no_grad():
        logits = net(ours).numpy()
    assert expected.std() > 0.1
    scale = np.abs(expected).max()
    np.testing.assert_allclose(pooled[0].numpy() / scale, expected / scale, atol=2e-5)
    hidden = np.maximum(expected @ net.dense1000.weight.detach().numpy().T + net.dense1000.bias.detach().numpy(), 0)
    on_top = hidden @ net.head.weight.detach().numpy().T + net.head.bias.detach().numpy()
    np.testing.assert_allclose(logits / scale, on_top / scale, atol=2e-5)


def test_a_whole_models_file_is_read_too(arrays: Arrays, weights: Path, tmp_path: Path) -> None:
    top = {"classifier": {"kernel": np.zeros((2048, 5), np.float32), "bias": np.zeros(5, np.float32)}}
    whole = SEResNet50.load_foreign(write_h5(tmp_path / "whole.h5", arrays | top, "model_weights"))
    for name, value in SEResNet50.load_foreign(weights).state_dict().items():
        if not name.startswith(("dense1000", "head")):
            assert torch.equal(whole.state_dict()[name], value), name


def test_a_file_of_another_network_is_named(arrays: Arrays, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected keras-vggface's SENet-50 \(\.h5\) in .*none\.h5, found"):
        SEResNet50.load_foreign(tmp_path / "none.h5")
    stem = {name: arrays[name] for name in ("conv1/7x7_s2", "conv1/7x7_s2/bn")}
    with pytest.raises(ModelError, match=r"expected the array `conv2_1_1x1_reduce/kernel` in .*a\.h5, found none"):
        SEResNet50.load_foreign(write_h5(tmp_path / "a.h5", stem))
    stem["conv1/7x7_s2"] = {"kernel": np.zeros((3, 3, 3, 64), np.float32)}
    with pytest.raises(ModelError, match=r"expected `conv1/7x7_s2/kernel` of shape \(64, 3, 7, 7\) .* \(64, 3, 3, 3\)"):
        SEResNet50.load_foreign(write_h5(tmp_path / "b.h5", stem))
