"""The Frame Attention Network: its shapes, what its weights do, and that the runtime computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edge_fer.errors import ModelError
from edge_fer.expression.attention import Attention
from edge_fer.lab.export.convert import parameters
from edge_fer.lab.networks.base import new_head
from edge_fer.lab.networks.fan import Fan
from edge_fer.lab.networks.fan_self import FanSelf
from edge_fer.lab.networks.frame_attention import FrameAttention, FrameAttentionNetwork
from edge_fer.lab.networks.resnet18 import ResNet18
from edge_fer.lab.training.multi_task import MultiTaskModel
from edge_fer.lab.weights.npz import Weights, load_weights, save_weights
from edge_fer.types import LABELS

pytestmark = pytest.mark.lab


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def attention(width: int = 6, *, relation: bool = True) -> FrameAttention:
    torch.manual_seed(1)
    return FrameAttention(width, relation=relation).eval()


@pytest.fixture(scope="module", params=[Fan, FanSelf])
def net(request: pytest.FixtureRequest) -> FrameAttentionNetwork:
    torch.manual_seed(0)
    network: FrameAttentionNetwork = request.param(0.125, 32)
    return network.eval()


def test_tops_on_features_of_any_width_have_the_numbers_of_the_specification() -> None:
    for width, own, relation, head in ((512, 513, 1_025, 7_175), (1000, 1_001, 2_001, 14_007)):
        top = FrameAttention(width, relation=True)
        assert [parameters(layer) for layer in top.denses] == [own, relation]
        assert parameters(new_head(top.outputs)) == head
    assert parameters(new_head(FrameAttention(512, relation=False).outputs)) == 3_591


def test_tracks_of_faces_give_a_vector_and_a_label_each(net: FrameAttentionNetwork) -> None:
    tracks = random(2, 3, 3, 32, 32)
    with torch.no_grad():
        frames = net.pooled(tracks)
        vector, weights = net.attention.attend(frames)
        assert frames.shape == (2, 3, 64)
        assert vector.shape == (2, 128 if net.RELATION else 64)
        assert weights.shape == (2, 3)
        assert net(tracks).shape == (2, len(LABELS))
        torch.testing.assert_close(net(tracks), net.head(vector))


def test_a_picture_is_a_track_of_one_frame_and_so_is_the_deployed_head(net: FrameAttentionNetwork) -> None:
    pictures = random(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(net(pictures), net(pictures.unsqueeze(1)))
        torch.testing.assert_close(net.single_head()(net.embedding.features(pictures)), net(pictures))


@pytest.mark.parametrize("relation", [True, False])
def test_the_order_of_frames_changes_nothing(relation: bool) -> None:
    frames, order = random(4, 9, 6), torch.randperm(9)
    top = attention(relation=relation)
    (vector, weights), (other, moved) = top.attend(frames), top.attend(frames[:, order])
    torch.testing.assert_close(other, vector)
    torch.testing.assert_close(moved, weights[:, order])
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4))
    assert weights.std() > 0


@pytest.mark.parametrize("relation", [True, False])
def test_one_frame_has_weight_1_and_equal_frames_share_it(relation: bool) -> None:
    frame, top = random(2, 1, 6), attention(relation=relation)
    vector, weights = top.attend(frame)
    torch.testing.assert_close(weights, torch.ones(2, 1))
    many, shared = top.attend(frame.expand(2, 5, 6))
    torch.testing.assert_close(shared, torch.full((2, 5), 0.2))
    torch.testing.assert_close(many, vector)


def test_the_published_formula_is_what_is_computed() -> None:
    frames, top = random(1, 4, 6), attention()
    assert top.relation is not None
    own = torch.sigmoid(top.own(frames))
    mean = (own * frames).sum(1) / own.sum(1)
    pairs = torch.cat([frames, mean.unsqueeze(1).expand_as(frames)], 2)
    both = own * torch.sigmoid(top.relation(pairs))
    torch.testing.assert_close(top(frames), (both * pairs).sum(1) / both.sum(1))


def test_frames_of_which_none_is_worth_anything_are_still_weighed() -> None:
    top = attention()
    with torch.no_grad():
        top.own.bias.fill_(-1000)
    _, weights = top.attend(random(1, 4, 6))
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))


def test_training_computes_what_evaluation_does_but_for_what_is_dropped() -> None:
    """The authors' evaluation divides by other weights than it multiplies with."""
    frames, top = random(3, 5, 6), attention()
    evaluated = top(frames)
    top.train().dropout.p = 0.0
    torch.testing.assert_close(top(frames), evaluated)
    top.dropout.p = 0.5
    assert not torch.allclose(top(frames), evaluated)


def test_every_weight_learns(net: FrameAttentionNetwork) -> None:
    model = MultiTaskModel(net, None, 0.0)
    loss = nn.functional.cross_entropy(model(random(4, 3, 3, 32, 32)).logits, torch.tensor([0, 3, 5, 6]))
    loss.backward()
    still = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    model.zero_grad()
    assert still == []


def test_numpy_computes_what_torch_computes() -> None:
    top, head = attention(40), new_head(80)
    runtime = Attention(top.arrays(head, 0.7))
    frames = random(1, 16, 40, seed=3) * 2
    with torch.no_grad():
        vector, weights = top.attend(frames)
        probabilities = torch.softmax(head(vector) / 0.7, dim=1)
    found = runtime.attend(frames[0].numpy())
    np.testing.assert_allclose(found.weights, weights[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(found.probabilities, probabilities[0].numpy(), atol=1e-5)


def test_it_begins_with_the_weights_of_a_trained_resnet18(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trunk = ResNet18(0.125, 32)
    save_weights(tmp_path / "trunk.npz", Weights(trunk.eval()))
    loaded = load_weights(tmp_path / "trunk.npz", "fan").net
    assert isinstance(loaded, Fan)
    assert (loaded.width, loaded.resolution) == (0.125, 32)
    pictures = random(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded.pooled(pictures), trunk.features(pictures), atol=1e-2, rtol=1e-2)
    save_weights(tmp_path / "fan.npz", Weights(loaded))
    again = load_weights(tmp_path / "fan.npz").net
    torch.testing.assert_close(again.state_dict()["attention.own.bias"], loaded.state_dict()["attention.own.bias"])


def torchvision_state() -> dict[str, Tensor]:
    """Random weights under torchvision's names."""
    ours, state = ResNet18(), {}
    names = {"conv": {"": "weight"}, "bn": dict.fromkeys(("weight", "bias", "running_mean", "running_var"))}
    pairs = [("stem", "conv1", "bn1")]
    for stage in range(4):
        for block in range(2):
            theirs = f"layer{stage + 1}.{block}"
            places = [("first", "conv1", "bn1"), ("second", "conv2", "bn2")]
            if stage and not block:
                places.append(("shortcut", "downsample.0", "downsample.1"))
            pairs += [
                (f"stage{stage + 2}.block{block + 1}.{o}", f"{theirs}.{c}", f"{theirs}.{b}") for o, c, b in places
            ]
    for own, convolution, norm in pairs:
        layer = ours.get_submodule(own)
        state[f"{convolution}.weight"] = torch.randn_like(layer.conv.weight)
        state |= {f"{norm}.{name}": torch.rand_like(getattr(layer.bn, name)) for name in names["bn"]}
    return state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


@pytest.mark.slow
def test_weights_of_torchvision_are_taken_layer_by_layer(tmp_path: Path) -> None:
    state = torchvision_state()
    torch.save(state, tmp_path / "resnet18.pth")
    net = Fan.load_foreign(tmp_path / "resnet18.pth")
    taken = net.embedding.state_dict()
    torch.testing.assert_close(taken["stage5.block1.shortcut.conv.weight"], state["layer4.0.downsample.0.weight"])
    torch.testing.assert_close(taken["stem.bn.running_var"], state["bn1.running_var"])
    del state["layer3.1.bn2.bias"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(ModelError, match=r"expected the array `layer3\.1\.bn2\.bias` in .*less\.pth, found none"):
        ResNet18.load_foreign(tmp_path / "less.pth")


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_file_that_is_no_state_dict_is_refused_in_a_line(tmp_path: Path, content: bytes | None) -> None:
    if content is None:
        torch.save([1, 2], tmp_path / "x.pth")
    else:
        (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"expected a state dict of torchvision's ResNet-18 .*x\.pth") as caught:
        ResNet18.load_foreign(tmp_path / "x.pth")
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=r"expected weights \(\.pth\) at .*none\.pth, found: No such file"):
        ResNet18.load_foreign(tmp_path / "none.pth")
