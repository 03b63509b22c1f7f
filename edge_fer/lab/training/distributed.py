"""Training in several processes, on one machine or many, to what one process would come to.

torchrun starts the processes. Each makes and reads its part of each batch; gradients, statistics of batch norms and
counts are summed over all parts. What is left differs by the order of these sums alone. The first process has the
folder of the run and speaks for all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from edge_fer.errors import ConfigError, EdgeFerError, WorkerCrashed
from edge_fer.lab.training.global_layers import over_all_processes, set_places

_T = TypeVar("_T")

_PATIENCE = timedelta(hours=2)  # with a process that says nothing, such as the first one while it validates
_CAUSE, _TOLD = "edge_fer/cause", "edge_fer/told"


class Processes:
    """The processes of a training: here this one alone.

    Attributes:
        is_first: whether this is the process that writes, measures and speaks.
    """

    is_first = True

    def use(self, device: str) -> None:
        """Take the device that this process will have, `cpu` or `cuda`."""

    def places(self, count: int) -> NDArray[np.int64]:
        """Which faces of a batch of so many this process reads; see `batches.Places`."""
        return np.arange(count)

    def total(self, values: Tensor) -> Tensor:
        """The sum of a tensor over the processes."""
        return values

    def from_first(self, action: Callable[[], _T]) -> _T:
        """What an action gives, or the error that it raises, in the first process, which alone carries it out."""
        return action()

    def prepared(self, model: nn.Module) -> None:
        """Make a network, which is on its device, fit for parts of batches, and equal in all processes."""

    def parallel(self, model: nn.Module, count: int, *, compiled: bool) -> Any:
        """What runs a network on parts of batches of so many faces.

        Args:
            model: a network that was `prepared`; which of its parameters are trained must not change hereafter.
            count: faces of a whole batch.
            compiled: whether torch.compile is used where there is one process.
        """
        return torch.compile(model) if compiled else model

    def backward(self, loss: Tensor) -> None:
        """Give parameters the gradient of the whole loss, from this process's part of it."""
        loss.backward()


class Torchrun(Processes):
    """The processes that torchrun has started, which are connected.

    Args:
        rank: the number of this one.
        count: how many there are.
    """

    def __init__(self, rank: int, count: int) -> None:
        self.is_first = rank == 0
        self._rank, self._count = rank, count

    def use(self, device: str) -> None:
        """Take the GPU of this process's number on its machine.

        Raises:
            ConfigError: when there are fewer.
        """
        if device != "cuda":
            return
        number, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if number >= there:
            raise ConfigError(
                f"expected a GPU for each process of a machine, found {there}; start torchrun with "
                f"--nproc-per-node {there}, or train with --device cpu"
            )
        torch.cuda.set_device(number)

    def places(self, count: int) -> NDArray[np.int64]:
        """Every so manieth pair of a face and the one that is as far from the end.

        Raises:
            ConfigError: when there is not a pair for each process.
        """
        if count < 2 * self._count:
            raise ConfigError(
                f"expected at least {2 * self._count} faces a step for {self._count} processes, found {count}; give "
                "the stage a larger batch, or start fewer"
            )
        front = np.arange(self._rank, (count + 1) // 2, self._count)
        return np.union1d(front, count - 1 - front)

    def total(self, values: Tensor) -> Tensor:
        """See `Processes.total`."""
        summed = values.detach().clone()
        distributed.all_reduce(summed)
        return summed

    def from_first(self, action: Callable[[], _T]) -> _T:
        """See `Processes.from_first`."""
        box: list[tuple[Any, EdgeFerError | None]] = [(None, None)]
        if self.is_first:
            try:
                box = [(action(), None)]
            except EdgeFerError as error:
                box = [(None, error)]
        distributed.broadcast_object_list(box)
        result, failure = box[0]
        if failure is not None:
            raise failure
        return cast(_T, result)

    def prepared(self, model: nn.Module) -> None:
        """See `Processes.prepared`."""
        over_all_processes(model, self.total)
        for values in model.state_dict().values():
            distributed.broadcast(values, 0)

    def parallel(self, model: nn.Module, count: int, *, compiled: bool) -> Any:
        """See `Processes.parallel`."""
        set_places(model, self.places(count), count)
        return DistributedDataParallel(model, forward_sync_buffers=False)

    def backward(self, loss: Tensor) -> None:
        """See `Processes.backward`; DistributedDataParallel takes the mean over the processes."""
        (loss * self._count).backward()


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """The processes that this one was started with, to which it connects.

    Of an error, one process on each machine tells the cause; so does one where another process has ended.

    Raises:
        EdgeFerError: what was raised meanwhile, or had been raised first in another process.
        WorkerCrashed: when another process has ended without a word.
        SystemExit: when another process tells the error.
    """
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    store, *_ = next(distributed.rendezvous("env://"))
    with contextlib.ExitStack() as stack:
        if rank:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
        try:
            distributed.init_process_group(_backend(), store=store, rank=rank, world_size=count, timeout=_PATIENCE)
            yield Torchrun(rank, count)
            distributed.destroy_process_group()
        except (EdgeFerError, RuntimeError) as error:
            told = error if isinstance(error, EdgeFerError) else _lost(error, count)
            _tell_once(store, told, rank)


def _backend() -> str:
    """NCCL for what lies on GPUs, where there are any, and gloo for the rest."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and distributed.is_nccl_available() else "gloo"


def _lost(error: RuntimeError, count: int) -> EdgeFerError:
    """The error of a broken connection in a sentence; any other one is raised again."""
    if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
        raise error
    return WorkerCrashed(
        f"expected {count} processes to train together, found that one has ended or cannot be reached; start all of "
        f"them again with --resume to go on from the last checkpoint"
    )


def _tell_once(store: Any, error: EdgeFerError, rank: int) -> None:
    """Raise the first error of all processes in one process of each machine, and end the others."""
    try:
        first, _, cause = store.compare_set(_CAUSE, "", f"{rank}:{error}").decode().partition(":")
        is_teller = store.add(f"{_TOLD}/{os.environ.get('GROUP_RANK', '0')}", 1) == 1
    except (RuntimeError, distributed.DistError):  # whoever keeps the store has ended, too
        raise error from None
    if not is_teller:
        raise SystemExit(error.exit_code) from error
    raise type(error)(cause if cause == str(error) else f"process {first}: {cause}") from error
