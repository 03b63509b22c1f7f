"""Two processes of torchrun come to the weights of one. `make field-two_trainers` does more: it kills them, too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_fer.lab.training.checkpoint import CHECKPOINT
from edge_fer.lab.training.distributed import Processes
from tests.lab.support.tiny_trainer import train
from tests.lab.training.test_loop import _one_thread, log

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:matplotlib.*"),
]
__all__ = ["_one_thread"]


def test_two_processes_come_to_the_weights_of_one(tmp_path: Path) -> None:
    """After 20 steps, with a teacher and without; batch norm, dropout, mixup, two heads, averages."""
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    subprocess.run(
        [
            *(sys.executable, *torchrun, "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
            *("-m", "tests.lab.support.tiny_trainer", str(tmp_path / "two")),
        ],
        check=True,
        timeout=300,
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[3],
    )
    train(tmp_path / "one", Processes())
    for name in ("alone", "taught"):
        one, two = (torch.load(tmp_path / run / name / CHECKPOINT, weights_only=True) for run in ("one", "two"))
        assert one["position"]["updates"] == 20
        for part in ("model", "average"):
            for key, value in one[part].items():
                torch.testing.assert_close(two[part][key], value, atol=1e-4, rtol=0, msg=f"{name} {part} {key}")
        rows, expected = (log(tmp_path / run / name) for run in ("two", "one"))
        for row, wanted in zip(rows, expected, strict=True):
            np.testing.assert_allclose(float(row["train_loss"]), float(wanted["train_loss"]), atol=1e-4)
            assert row["train_accuracy"] == wanted["train_accuracy"]
