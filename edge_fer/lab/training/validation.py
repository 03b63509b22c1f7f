"""What a network in training is worth, between two epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edge_fer.lab.datasets.dataset import Dataset
from edge_fer.lab.evaluation.metrics import negative_log_likelihood, score
from edge_fer.lab.networks.base import NetworkInput
from edge_fer.lab.training.batches import plain_batches, plain_features
from edge_fer.lab.training.multi_task import MultiTaskModel
from edge_fer.lab.training.track_batches import plain_tracks

_BATCH = 64


def some_of(faces: Dataset, count: int | None) -> Dataset:
    """At most `count` of the faces, always the same ones."""
    if count is None or count >= len(faces):
        return faces
    return faces.take(np.sort(np.random.default_rng(0).permutation(len(faces))[:count]))


def measure(
    model: MultiTaskModel, faces: Dataset, size: int, device: str, *, bf16: bool, tracks: bool = False
) -> dict[str, str | float]:
    """What a network is worth on faces without variation.

    Args:
        model: the network.
        faces: the faces, or tracks.
        size: side of the pictures, pixels.
        device: `cpu` or `cuda`.
        bf16: whether layers run in bfloat16 where that is safe.
        tracks: whether all frames of a track are read together; else one picture of it.

    Returns:
        `val_loss` (nats, against the label), `val_accuracy`, `val_balanced` (mean over the labels), and
        `val_second` (accuracy of the second head on the second labels; empty where there are none).
    """
    outputs: list[Any] = []
    seconds: list[Any] = []
    model.eval()
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=bf16):
        for images, hand_made in _batches(faces, size, model.net.input, tracks=tracks):
            logits, second, _ = model(images.to(device), None if hand_made is None else hand_made.to(device))
            outputs.append(logits.float().cpu())
            seconds += [] if second is None else [second.float().cpu()]
    logits_of_all = torch.cat(outputs).double().numpy()
    result = score(logits_of_all, faces.labels)
    known = faces.second >= 0
    by_second: str | float = ""
    if seconds and known.any():
        by_second = float((torch.cat(seconds).numpy().argmax(1) == faces.second)[known].mean())
    return {
        "val_loss": negative_log_likelihood(logits_of_all, faces.labels, 1.0),
        "val_accuracy": result.accuracy,
        "val_balanced": float(np.nanmean(result.recall)),
        "val_second": by_second,
    }


def _batches(
    faces: Dataset, size: int, expected: NetworkInput, *, tracks: bool
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Pictures and their hand-made features, or a track at a time."""
    if tracks:
        return ((track, None) for track in plain_tracks(faces, size, expected))
    return zip(plain_batches(faces, size, _BATCH, expected), plain_features(faces, _BATCH), strict=True)
