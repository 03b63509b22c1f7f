"""Several processes: the parts of a batch, what is summed over them, and who tells of an error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, distributed, nn
from typer.testing import CliRunner

from edge_fer.errors import ConfigError, SourceError, WorkerCrashed
from edge_fer.lab.cli.app import app
from edge_fer.lab.datasets.tracks import as_tracks
from edge_fer.lab.training import distributed as together
from edge_fer.lab.training.batches import Batches
from edge_fer.lab.training.distributed import Processes, Torchrun, joined
from edge_fer.lab.training.global_layers import GlobalBatchNorm, GlobalDropout, Total, over_all_processes, set_places
from edge_fer.lab.training.multi_task import MultiTaskModel, set_training
from edge_fer.lab.training.objective import cross_entropy, feature_distance
from edge_fer.lab.training.track_batches import TrackBatches
from tests.lab.support.networks.tiny_net import TinyNet
from tests.lab.training.test_loop import EVERYTHING, _one_thread, faces, recipe, simple, tiny

pytestmark = pytest.mark.lab
__all__ = ["_one_thread"]

PARTS = [Torchrun(rank, 2).places for rank in range(2)]


def side_by_side(work: Callable[[int, Total], Any], count: int = 2) -> list[Any]:
    """Have threads work as processes would; each gets its rank, and what sums over all of them."""
    barrier, values = threading.Barrier(count, timeout=60), [torch.empty(0)] * count

    def total_of(rank: int) -> Total:
        def total(value: Tensor) -> Tensor:
            values[rank] = value
            barrier.wait()
            whole = torch.stack(values).sum(0)
            barrier.wait()
            return whole

        return total

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda rank: work(rank, total_of(rank)), range(count)))


@given(count=st.integers(1, 9), pairs=st.integers(0, 40))
def test_each_face_is_in_one_part_with_the_one_that_is_as_far_from_the_end(count: int, pairs: int) -> None:
    size = 2 * count + pairs
    parts = [Torchrun(rank, count).places(size) for rank in range(count)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(size))
    for part in parts:
        np.testing.assert_array_equal(np.flip(size - 1 - part), part)
    assert max(map(len, parts)) - min(map(len, parts)) <= 2


def test_a_batch_has_something_for_each_process() -> None:
    with pytest.raises(ConfigError, match=r"expected at least 6 faces a step for 3 processes, found 5; give the stage"):
        Torchrun(0, 3).places(5)


@pytest.mark.parametrize("step", [0, 7])
def test_parts_of_a_batch_are_those_of_the_whole(step: int) -> None:
    """Varied, mixed, and as teachers see them."""
    stage = recipe().stages[1].model_copy(update={"batch": 9, "balance": 0.5})
    whole = Batches(faces(), stage, (3, 1), TinyNet.INPUT, 56).batch(step)
    for places in PARTS:
        part = Batches(faces(), stage, (3, 1), TinyNet.INPUT, 56, places).batch(step)
        for name in ("images", "targets", "second", "views"):
            torch.testing.assert_close(getattr(part, name), getattr(whole, name)[places(9)], msg=name)


def test_parts_of_a_batch_of_tracks_are_those_of_the_whole() -> None:
    stage = simple(size=32, batch=5, frames=2, augmentation=EVERYTHING).stages[0]
    tracks = as_tracks(faces(12), 3)
    whole = TrackBatches(tracks, stage, (3, 0), TinyNet.INPUT).batch(1)
    for places in PARTS:
        part = TrackBatches(tracks, stage, (3, 0), TinyNet.INPUT, 0, places).batch(1)
        torch.testing.assert_close(part.images, whole.images[places(5)])


@pytest.mark.parametrize("shape", [(9, 5, 4, 3), (9, 5)])
def test_batch_norm_reads_each_part_as_in_the_whole_batch(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    maps, wanted = (torch.randn(shape, generator=generator) * 3 + 1 for _ in range(2))
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d

    def norm() -> Any:
        layer = kind(5, momentum=0.3)
        with torch.no_grad():
            layer.weight.copy_(torch.linspace(0.5, 2, 5))
        return layer

    def run(layer: nn.Module, some: Tensor, goal: Tensor) -> tuple[Tensor, Tensor, list[Tensor], dict[str, Tensor]]:
        some = some.clone().requires_grad_()
        out = layer(some)
        ((out - goal) ** 2).sum().backward()
        assert some.grad is not None
        return out, some.grad, [layer.weight.grad, layer.bias.grad], dict(layer.named_buffers())

    whole = run(norm(), maps, wanted)
    parts = side_by_side(
        lambda rank, total: run(GlobalBatchNorm(norm(), total), maps[PARTS[rank](9)], wanted[PARTS[rank](9)])
    )
    for places, part in zip(PARTS, parts, strict=True):
        torch.testing.assert_close(part[0], whole[0][places(9)])
        torch.testing.assert_close(part[1], whole[1][places(9)], atol=1e-4, rtol=1e-4)
        for name, value in whole[3].items():
            torch.testing.assert_close(part[3][name], value)
    for first, second, expected in zip(parts[0][2], parts[1][2], whole[2], strict=True):
        torch.testing.assert_close(first + second, expected)


def test_a_batch_norm_that_is_frozen_keeps_its_statistics() -> None:
    norm = nn.BatchNorm2d(2).eval()
    layer, maps = GlobalBatchNorm(norm, lambda _: pytest.fail("nothing is to be summed")), torch.randn(3, 2, 4, 4)
    torch.testing.assert_close(layer(maps), norm(maps))
    assert layer.num_batches_tracked == 0


@pytest.mark.parametrize("channels_last", [False, True])
def test_dropout_drops_of_each_part_what_it_drops_of_it_in_the_whole(channels_last: bool) -> None:
    maps = torch.rand(9, 4, 5, 5) + 1
    if channels_last:
        maps = maps.contiguous(memory_format=torch.channels_last)
    torch.manual_seed(3)
    whole = nn.Dropout(0.4)(maps)
    assert 0.2 < (whole == 0).float().mean() < 0.6
    for places in PARTS:
        layer = GlobalDropout(nn.Dropout(0.4))
        layer.places, layer.count = places(9), 9
        torch.manual_seed(3)
        torch.testing.assert_close(layer(maps[places(9)]), whole[places(9)])


def test_a_network_has_its_weights_in_the_layers_that_take_the_place_of_others() -> None:
    model = tiny()
    before = model.state_dict()
    over_all_processes(model, Processes().total)
    set_places(model, np.arange(3), 3)
    assert isinstance(model.net.stem.bn, GlobalBatchNorm)
    assert isinstance(model.net.dropout, GlobalDropout)
    assert model.net.dropout.count == 3
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_parts_of_a_loss_add_up_to_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, features, wanted = (torch.randn(9, 7, generator=generator) for _ in range(3))
    targets, weights = torch.softmax(torch.randn(9, 7, generator=generator), dim=1), torch.linspace(0.2, 3, 7)
    targets[:4] = 0

    def parts(rank: int, total: Total) -> Tensor:
        mine = torch.from_numpy(PARTS[rank](9))
        loss = cross_entropy(logits[mine], targets[mine], weights, total)
        return torch.stack([loss, feature_distance(features[mine], wanted[mine], total)])

    loss, distance = torch.stack(side_by_side(parts)).sum(0)
    torch.testing.assert_close(loss, cross_entropy(logits, targets, weights))
    torch.testing.assert_close(distance, nn.functional.mse_loss(features, wanted))


def test_what_a_stage_does_not_read_is_frozen() -> None:
    """DistributedDataParallel would wait for its gradient for ever."""
    model = MultiTaskModel(TinyNet(), nn.Linear(12, 7), 0.2, feature_sizes={"teacher": 4, "other": 4})
    set_training(model, simple(teacher={"features": 1.0}).stages[0])
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"second.weight", "second.bias", "maps.other.weight", "maps.other.bias"}


def test_without_torchrun_one_process_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as processes:
        assert processes.is_first
        assert processes.from_first(lambda: 7) == 7
        assert processes.places(3).tolist() == [0, 1, 2]


def test_one_process_of_each_machine_tells_the_first_error(monkeypatch: pytest.MonkeyPatch) -> None:
    store = distributed.HashStore()
    monkeypatch.setenv("GROUP_RANK", "0")
    with pytest.raises(SourceError, match=r"^expected faces, found none$"):
        together._tell_once(store, SourceError("expected faces, found none"), 1)
    with pytest.raises(SystemExit) as caught:
        together._tell_once(store, WorkerCrashed("a process has ended"), 2)
    assert caught.value.code == WorkerCrashed.exit_code
    monkeypatch.setenv("GROUP_RANK", "1")
    with pytest.raises(WorkerCrashed, match=r"^process 1: expected faces, found none$"):
        together._tell_once(store, WorkerCrashed("a process has ended"), 2)


def test_a_broken_connection_is_told_from_a_mistake() -> None:
    text = "[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4711"
    lost = together._lost(RuntimeError(text), 2)
    assert str(lost).startswith("expected 2 processes to train together, found that one has ended")
    assert "--resume" in str(lost)
    with pytest.raises(RuntimeError, match="shapes"):
        together._lost(RuntimeError("shapes cannot be multiplied"), 2)


@pytest.mark.parametrize(("rank", "said"), [("0", True), ("1", False)])
def test_one_process_of_a_machine_complains_of_options(monkeypatch: pytest.MonkeyPatch, rank: str, said: bool) -> None:
    monkeypatch.setenv("LOCAL_RANK", rank)
    result = CliRunner().invoke(app, ["train", "edge", "--data", "faces", "--unknown"])
    assert result.exit_code == 2
    assert ("--unknown" in result.output) == said
