"""Every network of the lab at its published size, from the command that makes it to labels of the sample.

    python -m tools.field.every_network --out out/every_network [--only resnet50,vgg_face]

Two steps of training from random weights on one face in many lights, so its labels mean nothing; all else is as in a
whole training. `lab train --models DIR` makes the folder, `lab edgetpu-check` says what an Edge TPU would take of it,
and `run --models DIR` reads the sample with it. Folders are removed as soon as they have been used: of VGG-Face it is
3 GB.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.landmarks import save_landmarks
from edge_fer.lab.networks import network_names, open_network
from edge_fer.lab.networks.base import Network
from edge_fer.lab.networks.frame_attention import FrameAttentionNetwork
from edge_fer.lab.networks.two_inputs import TwoInputs
from edge_fer.types import LABELS
from tests.lab.support.portraits import portrait_crop

COMMAND = [sys.executable, "-m", "edge_fer"]
FRAMES = 30
NOT_RUN = frozenset({"fan_self"})
"""Networks that the runtime has no part for."""


@dataclass(frozen=True)
class Result:
    """What became of a network.

    Attributes:
        network: its name.
        side: of its input, pixels.
        mib: of its INT8 files together.
        on_cpu: operators that an Edge TPU would leave to the processor.
        dev_board_ms: predicted time of its first file there; None where something stays on the processor.
        readings: of the sample's first frames, in how many a face had probabilities.
        seconds: that all of it took.
    """

    network: str
    side: int
    mib: float
    on_cpu: int
    dev_board_ms: float | None
    readings: int
    seconds: int


def call(*arguments: str | Path, ends_with: tuple[int, ...] = (0,)) -> str:
    """Run a command as a person does; what it wrote to standard output."""
    print("$ edge-fer", *arguments, file=sys.stderr, flush=True)
    done = subprocess.run([*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in ends_with:
        raise SystemExit(f"expected exit code {ends_with}, found {done.returncode}:\n{done.stdout}")
    return done.stdout


def faces_in_many_lights(folder: Path) -> Path:
    """One portrait, which the detector finds, with every label."""
    face = portrait_crop()
    for split, count in {"train": 8, "valid": 2}.items():
        for number, name in enumerate(LABELS * count):
            path = folder / split / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), (face * (0.5 + 0.5 * number / (count * len(LABELS)))).astype(np.uint8))
    return folder


def write_recipe(path: Path, kind: type[Network], side: int) -> None:
    """Two steps of four faces, at the published size."""
    stage: dict[str, object] = {"name": "all", "size": side, "batch": 4, "epochs": 1, "epoch_faces": 8, "lr": 1e-5}
    if issubclass(kind, FrameAttentionNetwork):
        stage["frames"] = 3
    path.write_text(yaml.safe_dump({"name": kind.name(), "start": {"network": kind.name()}, "stages": [stage]}))


def try_network(name: str, folder: Path) -> Result:
    """Make one network, check it, and read the sample with it."""
    began, kind = time.monotonic(), open_network(name)
    side = kind.INPUT.side
    faces, models = faces_in_many_lights(folder / "faces"), folder / "models"
    write_recipe(folder / "recipe.yaml", kind, side)
    more: list[str | Path] = []
    if issubclass(kind, TwoInputs):
        landmarks, dataset = folder / "landmarks.npz", open_dataset(faces)
        points = np.random.default_rng(0).uniform(10, 40, (len(dataset), 68, 2)).astype(np.float32)
        save_landmarks(landmarks, dataset, points, "a trial")
        call("lab", "lm68", faces, "--landmarks", landmarks, "--out", models, "--minutes", "0.02")
        more = ["--landmarks", landmarks]
    run = folder / "run"
    call("lab", "train", folder / "recipe.yaml", "--data", faces, "--out", run, "--models", models, *more)
    named = f"my_{name}"
    verdict = json.loads(call("lab", "edgetpu-check", named, "--models", models, "--json", ends_with=(0, 1)))
    printed = call(
        "run", "--camera", "sample", "--models", models, "--model", named, "--format", "json",
        "--max-frames", str(FRAMES),
    )  # fmt: skip
    readings = [json.loads(line) for line in printed.splitlines()]
    labelled = sum(any(face["probabilities"] for face in one.get("faces", [])) for one in readings)
    size = sum(path.stat().st_size for path in models.glob(f"{named}*.tflite"))
    on_cpu = sum(part["cpu"] for part in (verdict, verdict["region"]) if part is not None)
    boards = [one["milliseconds"] for one in verdict["predicted"] if "Dev Board" in one["board"]]
    predicted = round(boards[0], 1) if boards else None
    return Result(name, side, round(size / 2**20, 1), on_cpu, predicted, labelled, round(time.monotonic() - began))


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/every_network"))
    parser.add_argument("--only", help="names, with commas; default: all that the runtime can run")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else [name for name in network_names() if name not in NOT_RUN]
    failed = []
    for name in names:
        folder = arguments.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        result = try_network(name, folder)
        print(json.dumps(asdict(result)), flush=True)
        shutil.rmtree(folder)
        if result.readings < FRAMES // 2:
            failed.append(name)
    print(f"{len(names) - len(failed)} of {len(names)} networks read the sample")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
