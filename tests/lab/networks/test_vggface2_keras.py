"""keras-vggface's SENet-50 and ResNet-50 compute here what they compute in Keras."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_fer.errors import ModelError
from edge_fer.lab.networks.resnet50 import ResNet50
from edge_fer.lab.networks.se_resnet50 import SEResNet50
from tests.lab.support.keras_files import Arrays, random_array, write_h5

pytest.importorskip("h5py")

pytestmark = [
    pytest.mark.lab,
    pytest.mark.filterwarnings("default"),  # TensorFlow warns of itself
]

BLOCKS = {2: (3, 64), 3: (4, 128), 4: (6, 256), 5: (3, 512)}
BGR_MEANS = (91.4953, 103.8827, 131.0912)


@dataclass(frozen=True)
class Case:
    """A published network, and the class that takes its file."""

    kind: type[SEResNet50] | type[ResNet50]
    side: int
    epsilon: float

    @property
    def gated(self) -> bool:
        return self.kind is SEResNet50


SENET50 = Case(SEResNet50, 224, 1e-4)
RESNET50 = Case(ResNet50, 197, 1e-3)


def shapes(gated: bool) -> Iterator[tuple[str, dict[str, tuple[int, ...]]]]:
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
            if gated:
                yield f"{prefix}down", {"kernel": (1, 1, outputs, outputs // 16), "bias": (outputs // 16,)}
                yield f"{prefix}up", {"kernel": (1, 1, outputs // 16, outputs), "bias": (outputs,)}
            if number == 1:
                yield from conv(f"{prefix}proj", 1, inputs, outputs)
            inputs = outputs


def random_arrays(case: Case) -> Arrays:
    rng = np.random.default_rng(0)
    return {
        layer: {name: random_array(name, shape, rng) for name, shape in inner.items()}
        for layer, inner in shapes(case.gated)
    }


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    """Of SENet-50."""
    return random_arrays(SENET50)


@pytest.fixture(scope="module")
def weights(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_h5(tmp_path_factory.mktemp("vggface") / "senet50.h5", arrays)


def in_keras(case: Case, arrays: Arrays, images: np.ndarray) -> np.ndarray:
    """The published network, built with Keras's layers: pooled features of preprocessed BGR images."""
    import keras
    from keras import layers

    def norm(name: str, maps: Any) -> Any:
        layer = layers.BatchNormalization(epsilon=case.epsilon)
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
            if case.gated:
                gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
                gate = layers.ReLU()(conv(f"{prefix}down", gate))
                gate = layers.Activation("sigmoid")(conv(f"{prefix}up", gate))
                x = layers.Multiply()([x, gate])
            shortcut = norm(f"{prefix}proj", conv(f"{prefix}proj", maps, stride)) if number == 1 else maps
            maps = layers.ReLU()(layers.Add()([x, shortcut]))
    outputs = layers.GlobalAveragePooling2D()(maps)
    return np.asarray(keras.Model(inputs, outputs)(images, training=False))


@pytest.mark.parametrize("case", [SENET50, pytest.param(RESNET50, marks=pytest.mark.slow)], ids=["senet50", "resnet50"])
def test_features_and_logits_are_those_of_keras(case: Case, tmp_path: Path) -> None:
    """In colour: a picture that is RGB here is BGR there."""
    arrays = random_arrays(case)
    rgb = np.random.default_rng(1).integers(0, 256, (2, case.side, case.side, 3)).astype(np.float32)
    expected = in_keras(case, arrays, rgb[..., ::-1] - np.array(BGR_MEANS, np.float32))
    net = case.kind.load_foreign(write_h5(tmp_path / "weights.h5", arrays))
    assert not net.training
    mean, std = (np.array(values, np.float32) for values in (net.input.mean, net.input.std))
    ours = torch.from_numpy((rgb / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        pooled, logits = net.pooled(ours), net(ours)
        on_top = net.head(net.after_pool(torch.tensor(expected)))
    assert expected.std() > 0.1
    scale = np.abs(expected).max()
    np.testing.assert_allclose(pooled.numpy() / scale, expected / scale, atol=2e-5)
    np.testing.assert_allclose(logits.numpy() / scale, on_top.numpy() / scale, atol=2e-5)


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


def test_the_gates_of_senet50_are_not_left_out(weights: Path) -> None:
    with pytest.raises(
        ModelError, match=r"expected keras-vggface's ResNet-50 in .*, found SENet-50, which has `conv2_1"
    ):
        ResNet50.load_foreign(weights)
    with pytest.raises(ModelError, match=r"expected keras-vggface's ResNet-50 \(\.h5\) in .*, found"):
        ResNet50.load_foreign(weights.with_name("none.h5"))
