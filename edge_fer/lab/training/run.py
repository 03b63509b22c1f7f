"""What a training of any kind goes through: steps of the optimizer, time, the figures of epochs, and checkpoints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from edge_fer.errors import ConfigError
from edge_fer.lab.training.checkpoint import CHECKPOINT, RunFolder, load_checkpoint
from edge_fer.lab.training.lengths import Lengths
from edge_fer.lab.training.multi_task import WeightEma
from edge_fer.lab.training.state import Options, Position
from edge_fer.lab.training.training_log import Row

_N = TypeVar("_N", bound=nn.Module)
_P = TypeVar("_P", bound=Position)


class Run(Generic[_N, _P]):
    """The course of a training, which its checkpoint holds: a run that is resumed goes on exactly.

    Args:
        net: the network with its first weights.
        at: the beginning.
        identity: a hash of what decides each step; a checkpoint with another one is not resumed from.
        lengths: how long its stages are.
        ema: the part of the averaged weights that an update keeps, 0..1; None: they are not averaged.
        folder: the folder of the run.
        options: options that do not change the result.

    Attributes:
        net: the network that is trained.
        at: how far the run is.
        rows: the figures of each epoch.
        folder: the folder of the run.
        optimizer: the optimizer of what is trained now; None: there is none yet.
    """

    def __init__(
        self, net: _N, at: _P, identity: str, lengths: Lengths, ema: float | None, folder: Path, options: Options
    ) -> None:
        self.net, self.at = net, at
        self.rows: list[Row] = []
        self.folder = RunFolder(folder, writes=options.processes.is_first)
        self.optimizer: Any = None
        self._average = WeightEma(net, ema) if ema else None
        self._identity, self._lengths, self._options = identity, lengths, options
        self._saved_at = options.clock()

    @property
    def averaged(self) -> _N | None:
        """The network with the averaged weights; None: they are not averaged."""
        return self._average.model if self._average else None

    @property
    def measured(self) -> _N:
        """The network that is measured and written: that with the averaged weights, where they are averaged."""
        return self._average.model if self._average else self.net

    def read_checkpoint(self) -> dict[str, Any]:
        """The checkpoint in the folder, from which `restore` continues.

        Raises:
            ModelError: when there is none that can be read.
            ConfigError: when it is of another recipe, other data or other first weights.
        """
        path = self.folder.path / CHECKPOINT
        checkpoint = self._options.processes.from_first(lambda: load_checkpoint(path))
        if checkpoint["identity"] != self._identity:
            raise ConfigError(
                f"expected the recipe, the data and the first weights that {path} was made with, found others; "
                "give the same ones (only epochs, minutes and patience may change), or train into another --out"
            )
        return checkpoint

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Be where a checkpoint was saved, but for the state of the optimizer, which may not have been made yet."""
        self.at, self.rows = type(self.at)(**checkpoint["position"]), checkpoint["rows"]
        self.net.load_state_dict(checkpoint["model"])
        if self._average:
            self._average.model.load_state_dict(checkpoint["average"])

    def save(self, **more: Any) -> None:
        """Write a checkpoint.

        Args:
            more: what it holds besides.
        """
        self.folder.save_checkpoint(
            {
                "identity": self._identity,
                "lengths": self._lengths,
                "model": self.net.state_dict(),
                "average": self._average.model.state_dict() if self._average else None,
                "optimizer": self.optimizer.state_dict() if self.optimizer else None,
                "position": asdict(self.at),
                "rows": self.rows,
                **more,
            }
        )
        self._saved_at = self._options.clock()

    def is_save_due(self, now: float) -> bool:
        """Whether the last checkpoint is old, at a time of the clock."""
        return now - self._saved_at >= self._options.checkpoint_s

    def spend(self, before: float) -> float:
        """Count the time since then; gives the time of the clock, now."""
        now = self._options.clock()
        self.at.elapsed_s += self._options.processes.from_first(lambda: now - before)
        return now

    def progress(self, steps: int, minutes: float | None) -> float:
        """How much is done, 0..1, by steps or by the time spent, whichever is further."""
        by_clock = self.at.elapsed_s / (minutes * 60) if minutes else 0.0
        return min(1.0, max(self.at.step / steps, by_clock))

    def update(self, loss: Any, grad_norm: float | None) -> None:
        """Make one step of the optimizer down the gradient of a loss, which is this process's part of the whole.

        Args:
            loss: the loss.
            grad_norm: a longer gradient is cut to this length; None: none is.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self._options.processes.backward(loss)
        if grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), grad_norm)
        self.optimizer.step()
        updates = self.at.count_step()
        if self._average:
            self._average.update(self.net, updates)
