"""Deep-Emotion has the published size, looks where its first part says, and learns where to look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edge_fer.errors import ConfigError
from edge_fer.expression.region import cut_out
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.networks.deep_emotion import DeepEmotion
from edge_fer.lab.networks.spatial_transformer import sample

pytestmark = pytest.mark.lab


@pytest.fixture
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_it_has_the_published_size() -> None:
    sizes = {name: parameter.numel() for name, parameter in DeepEmotion().named_parameters()}
    assert sum(sizes.values()) == 66_877
    assert sum(size for name, size in sizes.items() if name.startswith("where")) == 23_120
    assert DeepEmotion()(torch.zeros(2, 1, 48, 48)).shape == (2, 7)


def test_it_begins_by_looking_at_the_whole_picture() -> None:
    net, image = DeepEmotion(), torch.rand(4, 1, 48, 48) * 2 - 1
    torch.testing.assert_close(sample(image, net.theta(image)), image, atol=1e-5, rtol=0)
    weights = torch.cat([p.flatten() for n, p in net.named_parameters() if p.ndim > 1 and n != "where_fc2.weight"])
    assert weights.std().item() == pytest.approx(0.05, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=1e-3)


def test_the_loss_reaches_where_it_looks() -> None:
    torch.manual_seed(0)
    net = DeepEmotion()
    torch.nn.functional.cross_entropy(net(torch.randn(8, 1, 48, 48)), torch.arange(8) % 7).backward()
    assert (net.where_fc2.weight.grad != 0).any()
    assert (net.where_fc2.bias.grad != 0).all()


def test_dropout_is_off_when_it_is_not_trained() -> None:
    net, image = DeepEmotion(), torch.randn(2, 1, 48, 48)
    assert not torch.equal(net.train()(image), net(image))
    assert torch.equal(net.eval()(image), net(image))


@pytest.mark.parametrize(
    "theta",
    [(1, 0, 0, 0, 1, 0), (0.7, 0.1, 0.2, -0.1, 0.6, -0.1), (1.2, 0.3, -0.4, -0.3, 1.1, 0.5), (0.5, 0, 0, 0, 2, 0)],
)
def test_the_runtime_cuts_out_what_the_network_samples(theta: tuple[float, ...]) -> None:
    face = (np.random.default_rng(0).integers(60, 200, (12, 12)).repeat(4, 0).repeat(4, 1)).astype(np.uint8)
    image = (torch.from_numpy(face)[None, None].float() / 255 - 0.5) / 0.5
    expected = (sample(image, torch.tensor([theta], dtype=torch.float32)) * 0.5 + 0.5)[0, 0].numpy() * 255
    found = cut_out(face, np.array(theta).reshape(2, 3), InputSpec(size=48, colour="grey", mean=0.5, std=0.5))
    difference = np.abs(found - expected)
    assert difference.mean() < 1
    assert np.percentile(difference, 99) < 5, "OpenCV's warp goes by 1/32 of a pixel"


def patch(shift: float) -> Tensor:
    """Four soft patches, so many pixels to the right of the middle, `(4, 1, 48, 48)`."""
    x, y = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="xy")
    widths = torch.tensor([5.0, 6.0, 7.0, 8.0]).reshape(4, 1, 1, 1)
    return 2 * torch.exp(-((x - 23.5 - shift) ** 2 + (y - 23.5) ** 2) / (2 * widths**2)) - 1


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_shifted_face_moves_the_region_after_it() -> None:
    """What is shown to the second part should be in the middle, wherever it is in the picture."""
    torch.manual_seed(0)
    net, shifts = DeepEmotion(), (-8.0, 8.0)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for step in range(60):
        image = patch(shifts[step % 2])
        loss = torch.nn.functional.mse_loss(sample(image, net.theta(image)), patch(0.0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        left, right = (float(net.theta(patch(shift))[:, 2].mean()) for shift in shifts)
    assert left < -0.1
    assert right > 0.1


def test_another_size_or_colour_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected pictures of 48 pixels a side for deep_emotion, found 64"):
        DeepEmotion(resolution=64)
    with pytest.raises(ConfigError, match="expected the colour `grey` for deep_emotion, which takes one channel"):
        DeepEmotion(colour="rgb")
