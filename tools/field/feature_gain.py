"""What hand-made features are worth beside the picture: EmoNet's two networks, each with them and without.

    python -m tools.field.feature_gain --data ferplus.npz --landmarks dlib.npz --out out/feature_gain

Narrow networks from random weights, small pictures, the same few epochs for all, and several seeds: a fixed budget that
a processor has, not the published training. Each pair differs by the features alone. Figures are of validation faces,
by their first labels and by their second ones. What was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.datasets.landmarks import with_landmarks
from edge_fer.lab.evaluation.metrics import paired_difference
from edge_fer.lab.training.batches import plain_batches, plain_features
from edge_fer.lab.training.checkpoint import BEST, CHECKPOINT, LAST
from edge_fer.lab.training.multi_task import MultiTaskModel
from edge_fer.lab.weights.npz import load_weights

Right = NDArray[np.bool_]

BATCH = 64
WITH = "_features"


@dataclass(frozen=True)
class Trunk:
    """A network of EmoNet's, narrow enough for a processor.

    Attributes:
        network: its name without features.
        width: part of the published channels.
        side: of the picture, pixels.
    """

    network: str
    width: float
    side: int


TRUNKS = (Trunk("resnet50", 0.25, 64), Trunk("inception_resnet_v2", 0.125, 76))


def recipe(trunk: Trunk, network: str, seed: int, epochs: int) -> dict[str, Any]:
    """EmoNet's variation of pictures and both kinds of labels; the rest is what learns quickly from random weights."""
    return {
        "name": f"{network}-{seed}",
        "dropout": 0.3,
        "seed": seed,
        "channels_last": True,
        "start": {"network": network, "width": trunk.width},
        "stages": [
            {
                "name": "all", "size": trunk.side, "batch": BATCH, "epochs": epochs,
                "lr": 1e-3, "lr_end": 1e-5, "schedule": "cosine", "warmup": 0.05,
                "optimizer": {"kind": "adamw", "weight_decay": 0.05, "grad_norm": 1},
                "loss": {"votes": False, "second": 1},
                "augmentation": {"flip": 0.5, "rotation": 10, "shear": 0.1, "scale": 0.1},
            }
        ],
    }  # fmt: skip


def train(trunk: Trunk, network: str, seed: int, given: argparse.Namespace) -> Path:
    """Train a network, or the rest of it; its weights."""
    out = given.out / f"{network}-{seed}"
    if not (out / LAST).exists():
        out.mkdir(parents=True, exist_ok=True)
        plan = out.with_suffix(".yaml")
        plan.write_text(yaml.safe_dump(recipe(trunk, network, seed, given.epochs)))
        command = [sys.executable, "-m", "edge_fer", "lab", "train", plan, "--data", given.data, "--out", out]
        command += ["--device", "cpu", "--threads", "1"]
        command += ["--landmarks", given.landmarks] if network.endswith(WITH) else []
        command += ["--resume"] if (out / CHECKPOINT).exists() else []
        subprocess.run(list(map(str, command)), check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return Path(out / BEST)


def answers(weights: Path, faces: Dataset, side: int) -> tuple[Right, Right]:
    """Which faces a network names by their first label, and which by their second one, of those that have one."""
    loaded = load_weights(weights)
    model = MultiTaskModel(loaded.net, loaded.second, 0.0).eval()
    model.net.set_resolution(side)
    first, second = [], []
    with torch.inference_mode():
        pictures = plain_batches(faces, side, BATCH, model.net.input)
        for images, hand_made in zip(pictures, plain_features(faces, BATCH), strict=True):
            logits, others, _ = model(images, hand_made)
            first.append(logits.argmax(1).numpy())
            second.append(others.argmax(1).numpy())
    known = faces.second >= 0
    return np.concatenate(first) == faces.labels, (np.concatenate(second) == faces.second)[known]


def compare(without: tuple[Right, Right], with_them: tuple[Right, Right]) -> dict[str, Any]:
    """Accuracies of a pair, per cent, and what features bring, points with a 95 % interval."""
    found: dict[str, Any] = {}
    for labels, before, after in zip(("first", "second"), without, with_them, strict=True):
        gain, (low, high) = paired_difference(after, before)
        found[labels] = {
            "without": round(100 * float(before.mean()), 2),
            "with": round(100 * float(after.mean()), 2),
            "gain": [round(100 * value, 2) for value in (gain, low, high)],
        }
    return found


def over_seeds(rows: list[dict[str, Any]], labels: str) -> dict[str, float]:
    """Mean gain of the seeds, points, and its standard error."""
    gains = np.array([row[labels]["gain"][0] for row in rows])
    error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else float("nan")
    return {"mean": round(float(gains.mean()), 2), "standard_error": round(float(error), 2)}


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--landmarks", type=Path, required=True, help="of `edge-fer lab landmarks`")
    parser.add_argument("--out", type=Path, default=Path("out/feature_gain"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    faces = with_landmarks(open_dataset(given.data), given.landmarks).only(Split.VALIDATION)
    report: dict[str, Any] = {"faces": len(faces), "epochs": given.epochs, "trunks": []}
    for trunk in TRUNKS:
        rows = []
        for seed in range(given.seeds):
            pair = [train(trunk, trunk.network + more, seed, given) for more in ("", WITH)]
            rows.append({"seed": seed, **compare(*(answers(weights, faces, trunk.side) for weights in pair))})
            print(json.dumps({"network": trunk.network, **rows[-1]}), flush=True)
        gains = {labels: over_seeds(rows, labels) for labels in ("first", "second")}
        report["trunks"].append({**asdict(trunk), "seeds": rows, "gain": gains})
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
