"""Trains the small network of landmarks on those that another one finds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edge_fer.errors import SourceError
from edge_fer.expression.face_features import SIDE, small_face
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.datasets.landmarks import FindLandmarks
from edge_fer.lab.networks.lm68 import INPUT, LandmarkNet
from edge_fer.lab.training.augment import light
from edge_fer.lab.training.recipe import Augmentation

_LIGHT = Augmentation(brightness=0.15, contrast=0.3, gamma=0.2, noise=0.03)
_TURN, _ZOOM, _SHIFT = np.deg2rad(12), 0.12, 0.05  # the largest: radians, log of a factor, part of the side
_WARMUP = 0.05
_EYE_CORNERS = (36, 45)  # the outer ones

_PAIRS = (
    *((left, 16 - left) for left in range(17)),  # jaw
    *((left, 43 - left) for left in range(17, 27)),  # brows
    *((left, 66 - left) for left in range(31, 36)),  # nostrils
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),  # eyes
    *((48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)),  # mouth
)
_MIRROR = dict(_PAIRS) | {right: left for left, right in _PAIRS}
MIRRORED = np.array([_MIRROR.get(point, point) for point in range(68)])
"""`(68,)`: which landmark of a mirrored face each one is."""


@dataclass(frozen=True, slots=True)
class LandmarkPlan:
    """How long and how fast.

    Attributes:
        minutes: after which training ends; the learning rate follows the clock.
        batch: faces a step.
        lr: the highest learning rate.
        seed: of everything that is drawn at random.
        clock: gives a time in seconds that only goes forward.
    """

    minutes: float = 10.0
    batch: int = 64
    lr: float = 2e-3
    seed: int = 0
    clock: Callable[[], float] = time.monotonic


def fit_landmarks(dataset: Dataset, plan: LandmarkPlan, progress: Progress = silent) -> LandmarkNet:
    """Train the network on the landmarks of the training faces, each time varied.

    Args:
        dataset: the faces, with landmarks.
        plan: how.
        progress: called with the seconds spent, and those of the plan.

    Raises:
        SourceError: when there are no training faces.
    """
    training = dataset.only(Split.TRAINING)
    if training.landmarks is None or len(training) < 2:
        raise SourceError(f"expected training faces with landmarks in {dataset.name}, found none; check its splits")
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    pictures, points = _pictures(training), torch.from_numpy(training.landmarks)
    net = LandmarkNet(training.landmarks.mean(axis=0)).train()
    optimizer = torch.optim.AdamW(net.parameters(), plan.lr, weight_decay=1e-4)
    began, most = plan.clock(), plan.minutes * 60
    while (spent := plan.clock() - began) < most:
        for group in optimizer.param_groups:
            group["lr"] = plan.lr * _pace(spent / most)
        chosen = torch.from_numpy(rng.integers(0, len(pictures), plan.batch))
        images, wanted = jittered(pictures[chosen].float(), points[chosen], rng)
        loss = functional.smooth_l1_loss(
            net(_standardised(light(images, _LIGHT, rng.spawn(len(images))))), wanted.flatten(1)
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        progress(int(spent), int(most))
    return net.eval()


def jittered(pictures: Tensor, points: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Turn, scale, shift and mirror faces, and their landmarks alike.

    Args:
        pictures: `(n, 1, 48, 48)` float32.
        points: `(n, 68, 2)` float32, pixels.
        rng: drawn from.

    Returns:
        Both, varied.
    """
    count = len(pictures)
    drawn = rng.uniform(-1, 1, (4, count))
    mirrored = rng.random(count) < 0.5
    angle, zoom, mirror = drawn[0] * _TURN, np.exp(drawn[1] * _ZOOM), np.where(mirrored, -1.0, 1.0)
    places = np.empty((count, 2, 3))  # from a place in the new picture to that in the old one, both -1..1
    places[:, 0] = np.stack([mirror * np.cos(angle) * zoom, -np.sin(angle) * zoom, 2 * drawn[2] * _SHIFT], axis=1)
    places[:, 1] = np.stack([mirror * np.sin(angle) * zoom, np.cos(angle) * zoom, 2 * drawn[3] * _SHIFT], axis=1)
    moves = torch.from_numpy(places).float()
    grid = functional.affine_grid(moves, [count, 1, SIDE, SIDE], align_corners=False)
    images = functional.grid_sample(pictures, grid, "bilinear", "border", align_corners=False)
    old = (2 * points + 1) / SIDE - 1 - moves[:, None, :, 2]
    new = torch.linalg.solve(moves[:, None, :, :2], old[..., None])[..., 0]
    moved = ((new + 1) * SIDE - 1) / 2
    moved[mirrored] = moved[mirrored][:, MIRRORED]
    return images, moved


def landmark_error(find: FindLandmarks, dataset: Dataset, progress: Progress = silent) -> float:
    """Mean distance from the data set's landmarks, as a part of the distance between the outer corners of the eyes.

    Args:
        find: finds landmarks.
        dataset: faces with landmarks.
        progress: called after each face.
    """
    assert dataset.landmarks is not None
    errors = []
    for index, expected in enumerate(dataset.landmarks.astype(np.float64)):
        found = find(small_face(dataset.images[index]))
        eyes = np.linalg.norm(expected[_EYE_CORNERS[0]] - expected[_EYE_CORNERS[1]])
        errors.append(np.linalg.norm(found - expected, axis=1).mean() / eyes)
        progress(index + 1, len(dataset))
    return float(np.mean(errors))


def find_with(net: LandmarkNet) -> FindLandmarks:
    """The network before it is exported, as a function of one face."""

    def find(face: NDArray[np.uint8]) -> NDArray[Any]:
        with torch.inference_mode():
            found = net(_standardised(torch.from_numpy(face)[None, None].float()))
        return found.reshape(68, 2).numpy()

    return find


def _pictures(faces: Dataset) -> Tensor:
    """All faces at 48 pixels, `(n, 1, 48, 48)` uint8."""
    return torch.from_numpy(np.stack([small_face(faces.images[index]) for index in range(len(faces))]))[:, None]


def _standardised(images: Tensor) -> Tensor:
    return (images / 255 - INPUT.means[0]) / INPUT.stds[0]


def _pace(part: float) -> float:
    """The learning rate at a part of the training, as a part of the highest."""
    return part / _WARMUP if part < _WARMUP else float(1 + np.cos(np.pi * (part - _WARMUP) / (1 - _WARMUP))) / 2
