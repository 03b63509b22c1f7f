"""The networks have the shapes of the papers, and their weights arrive whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_fer.errors import ModelError
from edge_fer.lab.networks.mtcnn import o_net, p_net, r_net
from edge_fer.lab.networks.se_resnet50 import SEResNet50
from edge_fer.lab.weights.mtcnn import load_mtcnn
from edge_fer.lab.weights.npz import Weights, load_weights, save_weights
from tests.lab.support.untrained import named_arrays

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Arrays named and shaped like those of a weights file, all zero."""
    return {name: np.zeros(array.shape, np.float16) for name, array in named_arrays(SEResNet50()).items()}


def test_se_resnet50_has_the_published_size() -> None:
    net = SEResNet50()
    assert sum(parameter.numel() for parameter in net.parameters()) == 28_095_031
    statistics = sum(value.numel() for name, value in net.named_buffers() if "running" in name)
    second_head = 1000 * 7 + 7
    assert round((28_095_031 + statistics + second_head) / 1e6, 2) == 28.16


def test_se_resnet50_halves_the_map_in_each_stage_and_strides_in_the_first_convolution() -> None:
    net = SEResNet50().eval()
    features = net.stem(torch.zeros(1, 3, 224, 224))
    shapes = [tuple(features.shape[1:])]
    features = torch.nn.functional.max_pool2d(torch.nn.functional.pad(features, (1, 1, 1, 1)), 3, 2)
    for stage in (net.stage2, net.stage3, net.stage4, net.stage5):
        features = stage(features)
        shapes.append(tuple(features.shape[1:]))
    assert shapes == [(64, 112, 112), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]
    assert net.stage3.block1.reduce.conv.stride == (2, 2)
    assert net.stage3.block1.conv3x3.conv.stride == (1, 1)
    assert net.stage5.block2.se_down.out_channels == 128


def test_a_lower_resolution_is_an_average_before_the_first_convolution() -> None:
    torch.manual_seed(0)
    net, image = SEResNet50(resolution=32).eval(), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        averaged = image.reshape(1, 3, 32, 2, 32, 2).mean(dim=(3, 5))
        torch.testing.assert_close(net(image), net(averaged))
        assert not torch.allclose(net(image), net(image[..., ::2, ::2]))


def test_zero_padding_around_the_pool_is_the_symmetric_pool() -> None:
    features = torch.relu(torch.randn(1, 4, 12, 12, generator=torch.Generator().manual_seed(0)))
    ours = torch.nn.functional.max_pool2d(torch.nn.functional.pad(features, (1, 1, 1, 1)), 3, 2)
    assert torch.equal(ours, torch.nn.functional.max_pool2d(features, 3, 2, padding=1))


@pytest.mark.parametrize(
    ("net", "size", "shapes"),
    [
        (p_net, (12, 12), [(1, 4, 1, 1), (1, 2, 1, 1)]),
        (p_net, (97, 64), [(1, 4, 44, 27), (1, 2, 44, 27)]),
        (r_net, (24, 24), [(1, 4), (1, 2)]),
        (o_net, (48, 48), [(1, 4), (1, 10), (1, 2)]),
    ],
)
def test_mtcnn_outputs(net, size, shapes) -> None:
    with torch.no_grad():
        outputs = net()(torch.zeros(1, 3, *size))
    assert [tuple(output.shape) for output in outputs] == shapes
    torch.testing.assert_close(outputs[-1].sum(dim=1), torch.ones_like(outputs[-1].sum(dim=1)))


def test_weights_arrive_in_their_places(tmp_path: Path, arrays) -> None:
    changed = dict(arrays)
    changed["stage3.block2.expand.bn.variance"] = np.full(512, 2.0, np.float32)
    changed["head_ferplus.bias"] = np.arange(7, dtype=np.float16)
    np.savez(tmp_path / "w.npz", **changed)
    net: Any = load_weights(tmp_path / "w.npz").net
    assert not net.training
    assert (net.stage3.block2.expand.bn.running_var == 2).all()
    assert net.head.bias.tolist() == list(range(7))


def test_the_resolution_is_kept_with_the_weights(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights.npz", Weights(SEResNet50(resolution=112)))
    assert load_weights(tmp_path / "weights.npz").net.resolution == 112


def test_a_narrow_network_has_fewer_channels_everywhere_and_keeps_its_width(tmp_path: Path) -> None:
    net = SEResNet50(width=0.375)
    assert (net.stem.conv.out_channels, net.stage5.block3.expand.conv.out_channels) == (24, 768)
    assert {layer.out_channels % 8 for name, layer in net.named_modules() if name.endswith(".conv")} == {0}
    assert 4_400_000 < sum(parameter.numel() for parameter in net.parameters()) < 4_500_000
    assert net.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    save_weights(tmp_path / "narrow.npz", Weights(net))
    assert load_weights(tmp_path / "narrow.npz").net.width == 0.375


def test_a_width_that_there_is_not_is_named(tmp_path: Path, arrays) -> None:
    np.savez(tmp_path / "w.npz", width=np.array(0.3), **arrays)
    with pytest.raises(ModelError, match=r"w\.npz: expected a width of 0\.125 to 1 in eighths .*, found 0\.3"):
        load_weights(tmp_path / "w.npz")


def test_a_missing_array_is_named(tmp_path: Path, arrays) -> None:
    np.savez(tmp_path / "w.npz", **{name: array for name, array in arrays.items() if "block2.se_up.bias" not in name})
    with pytest.raises(ModelError, match=r"`stage2\.block2\.se_up\.bias` in .*w\.npz, found none"):
        load_weights(tmp_path / "w.npz")


def test_an_array_of_another_shape_is_named(tmp_path: Path, arrays) -> None:
    np.savez(tmp_path / "w.npz", **{**arrays, "dense1000.weight": np.zeros((1000, 512), np.float16)})
    with pytest.raises(ModelError, match=r"`dense1000\.weight` of shape \(1000, 2048\).*found \(1000, 512\)"):
        load_weights(tmp_path / "w.npz")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 broken"])
def test_a_broken_file_is_a_model_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.npz").write_bytes(content)
    found = rf"found {len(content)} bytes that are none; give a run's best\.npz$"
    with pytest.raises(ModelError, match=rf"^expected weights \(\.npz\) in .*w\.npz, {found}"):
        load_weights(tmp_path / "w.npz")


def test_a_damaged_file_is_a_model_error(tmp_path: Path, arrays) -> None:
    np.savez(tmp_path / "w.npz", **arrays)
    content = bytearray((tmp_path / "w.npz").read_bytes())
    content[1000:2000] = b"?" * 1000
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(ModelError, match=r"weights \(\.npz\) in .*w\.npz, found a damaged file"):
        load_weights(tmp_path / "w.npz")


@pytest.mark.parametrize("cut", [1, -1])
def test_mtcnn_weights_that_do_not_fit(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    import joblib

    load = joblib.load
    monkeypatch.setattr(joblib, "load", lambda path: load(path)[:-1] if cut == 1 else [*load(path), np.zeros(2)])
    with pytest.raises(ModelError, match=r"pnet\.lz4, found (its end|1)"):
        load_mtcnn("pnet")
