"""Training in two processes of torchrun: the result of one, with a teacher or without, and of any that were killed.

    python -m tools.field.two_trainers [--kill-after 6]

A narrow network, 20 steps on stand-in faces, with everything switched on. Weights of two processes may differ from
those of one by 1e-4, by the order of sums alone. Each process is killed once, in the middle: one line says so, and
--resume ends with the very weights of the run that nobody disturbed. Wrong commands are one line, too. As root, in a
network of its own, since torchrun listens on all of them.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from edge_fer.lab.training.checkpoint import CHECKPOINT
from edge_fer.types import LABELS

NEAR = 1e-4
PORT = "29517"
PATIENCE_S = 600.0
STEPS, STEPS_AN_EPOCH, BATCH = 20, 5, 28
LOSS = {"mixup": 0.4, "balanced": 0.9, "smoothing": 0.05, "distillation": 0.2}
AUGMENTATION = {"flip": 0.5, "rotation": 20, "shift": 0.1, "gamma": 0.2, "noise": 0.1, "erase": 0.3, "jpeg": 0.5}


@dataclass
class Ended:
    """A command that has ended.

    Attributes:
        code: its exit code.
        said: what it wrote.
    """

    code: int
    said: str

    @property
    def errors(self) -> list[str]:
        """Our own lines about errors; torchrun has a report of its own."""
        return [line for line in self.said.splitlines() if line.startswith("edge-fer: ")]


def stand_in_faces(folder: Path) -> Path:
    """Grey pictures with a bright bar at a place that says the label."""
    rng = np.random.default_rng(0)
    for split, count in {"train": 8, "valid": 2}.items():
        for label, name in enumerate(LABELS):
            for number in range(count):
                image = rng.integers(0, 60, (40, 40), dtype=np.uint8)
                image[5 * label + 1 : 5 * label + 5] += 150
                path = folder / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), image)
    return folder


def write_recipe(path: Path, *, teacher: bool) -> Path:
    """Everything that could tell two processes from one: batch norm, dropout, mixup, weights of labels, averages.

    Learning is steady: where a single process gets far from itself after a change of 1e-7, nothing can be shown.
    """
    stage = {
        "name": "all", "size": 64, "batch": BATCH, "epochs": STEPS // STEPS_AN_EPOCH,
        "epoch_faces": STEPS_AN_EPOCH * BATCH, "lr": 1e-3, "schedule": "cosine", "loss": LOSS,
        "augmentation": AUGMENTATION, "optimizer": {"kind": "sgd", "weight_decay": 0.01, "grad_norm": 1.0},
    }  # fmt: skip
    if teacher:
        stage["teacher"] = {"answers": 0.5, "features": 1.0}
    start = {"network": "resnet18", "width": 0.125}
    plan = {"name": "narrow", "dropout": 0.3, "ema": 0.9, "start": start, "stages": [stage]}
    path.write_text(yaml.safe_dump(plan))
    return path


class Trainers:
    """Starts trainings.

    Args:
        folder: of their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._faces = stand_in_faces(folder / "faces")
        self._recipe = write_recipe(folder / "narrow.yaml", teacher=False)
        self._taught = write_recipe(folder / "taught.yaml", teacher=True)

    def command(self, processes: int, out: str, *more: str, teacher: bool = False) -> list[str]:
        """The command of a training in so many processes."""
        recipe, weights = self._recipe, ()
        if teacher:
            recipe, weights = self._taught, ("--teacher", str(self._folder / "teacher" / "last.npz"))
        train = ["edge_fer.lab", "train", str(recipe), "--data", str(self._faces), "--out", str(self._folder / out)]
        return [*launcher(processes), "-m", *train, "--device", "cpu", "--threads", "1", *weights, *more]

    def run(self, processes: int, out: str, *more: str, teacher: bool = False) -> Ended:
        """Train to the end."""
        return finished(start(self.command(processes, out, *more, teacher=teacher)))

    def run_and_kill(self, rank: int, out: str, steps: int) -> Ended:
        """Train, and kill one of two processes after so many steps."""
        process = start(self.command(2, out, "--checkpoint-minutes", "0"))
        wait_for_step(self._folder / out / CHECKPOINT, steps, process)
        os.kill(process_of_rank(process.pid, rank), signal.SIGKILL)
        return finished(process)

    def state(self, out: str) -> dict[str, torch.Tensor]:
        """The weights and statistics at the end of a run, and the averaged ones."""
        state = torch.load(self._folder / out / CHECKPOINT, weights_only=True)
        return {f"{part} {name}": value for part in ("model", "average") for name, value in state[part].items()}


def launcher(processes: int) -> list[str]:
    """What comes before `-m edge_fer.lab`."""
    if processes == 1:
        return [sys.executable]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    return [*torchrun, "--master-addr", "127.0.0.1", "--master-port", PORT]


def start(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start a command, of which nothing is heard outside this machine."""
    if os.geteuid() == 0:
        command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, errors="replace"
    )


def finished(process: subprocess.Popen[str]) -> Ended:
    """Wait for a command's end."""
    said, _ = process.communicate(timeout=PATIENCE_S)
    return Ended(process.returncode, said)


def wait_for_step(checkpoint: Path, steps: int, process: subprocess.Popen[str]) -> None:
    """Wait until a run has come so far."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        if checkpoint.exists() and torch.load(checkpoint, weights_only=True)["position"]["step"] >= steps:
            return
        time.sleep(0.1)
    process.kill()
    raise SystemExit(f"expected {steps} steps, found an end: {finished(process).said}")


def process_of_rank(parent: int, rank: int) -> int:
    """The child process of torchrun that has a rank."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise SystemExit(f"expected a process of rank {rank} below {parent}, found none")


def furthest(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The largest difference of any weight or statistic."""
    return max(float((found[name].double() - expected[name].double()).abs().max()) for name in expected)


def split(state: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The weights, and the statistics of batch norms."""
    weights = {name: value for name, value in state.items() if "running_" not in name}
    return weights, {name: value for name, value in state.items() if name not in weights}


def same_as_one(trainers: Trainers) -> list[str]:
    """Whether two processes come to what one does, with a teacher and without; gives what is wrong."""
    problems = []
    first = ("--set", "stages.all.epochs=1", "--set", f"stages.all.epoch_faces={BATCH}")
    for name, steps, options in (("first", 1, first), ("alone", STEPS, ()), ("taught", STEPS, ())):
        for processes in (1, 2):
            ended = trainers.run(processes, f"{name}{processes}", *options, teacher=name == "taught")
            if ended.code:
                return [*problems, f"{name}, {processes} processes: exit {ended.code}: {ended.said}"]
        one, two = (trainers.state(f"{name}{processes}") for processes in (1, 2))
        weights, statistics = (furthest(*kind) for kind in zip(split(two), split(one), strict=True))
        print(
            f"{name}: after {steps} steps the weights of two processes differ from those of one by {weights:.1e}, "
            f"statistics of batch norms by {statistics:.1e}",
            flush=True,
        )
        problems += [f"{name}: expected at most {NEAR:g}"] if weights > NEAR else []
    return problems


def killed_and_resumed(trainers: Trainers, steps: int) -> list[str]:
    """Whether a run goes on after the end of one process; gives what is wrong."""
    problems = []
    for rank in (0, 1):
        killed = trainers.run_and_kill(rank, f"killed{rank}", steps)
        print(f"process {rank} killed: exit {killed.code}, {len(killed.errors)} line(s): {killed.errors}", flush=True)
        if not killed.code or len(killed.errors) != 1 or "--resume" not in killed.errors[0]:
            problems.append(f"process {rank} killed: expected one line: {killed.said}")
        resumed = trainers.run(2, f"killed{rank}", "--resume")
        if resumed.code:
            problems.append(f"process {rank} resumed: exit {resumed.code}: {resumed.said}")
            continue
        distance = furthest(trainers.state(f"killed{rank}"), trainers.state("alone2"))
        print(f"process {rank} killed and all resumed: differs by {distance:.1e}", flush=True)
        problems += [f"process {rank} resumed: expected the same weights"] if distance else []
    return problems


def wrong_commands(trainers: Trainers) -> list[str]:
    """Whether each wrong command is one line; gives what is wrong."""
    problems = []
    wrong = {
        "recipe": ("--set", "stages.all.lr=-1"),
        "data": ("--data", "faces=nowhere"),
        "batch": ("--set", "stages.all.batch=3"),
    }
    for name, options in wrong.items():
        ended = trainers.run(2, f"wrong_{name}", *options)
        print(f"wrong {name}: exit {ended.code}, {ended.errors}", flush=True)
        if not ended.code or len(ended.errors) != 1:
            problems.append(f"wrong {name}: expected one line: {ended.said}")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kill-after", type=int, default=STEPS_AN_EPOCH + 1, help="steps")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trainers = Trainers(Path(folder))
        teacher = trainers.run(1, "teacher", "--set", "stages.all.epochs=1", "--set", "seed=5")
        problems = [f"teacher: {teacher.said}"] if teacher.code else []
        problems += same_as_one(trainers) + killed_and_resumed(trainers, options.kill_after) + wrong_commands(trainers)
    print("\n".join(problems) or "as it should be")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
