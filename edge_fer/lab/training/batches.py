"""Faces on their way into a network, by number of step.

A batch follows from the seed and its step alone, so that a run that was interrupted goes on with the
batches that would have come next, and batches can be made ahead of time in any number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import Dataset, read_picture
from edge_fer.lab.datasets.landmarks import hand_made
from edge_fer.lab.datasets.pictures import resize
from edge_fer.lab.networks.base import NetworkInput
from edge_fer.lab.training.augment import as_tensor, averaged, standardise, varied
from edge_fer.lab.training.objective import inverse_frequency
from edge_fer.lab.training.recipe import Stage
from edge_fer.types import LABELS, Image

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Batch:
    """Some faces.

    Attributes:
        images: `(n, channels, size, size)` float32, as the network takes them.
        targets: `(n, 7)` float32, rows summing to 1.
        second: `(n, 7)` float32, rows summing to 1, or 0 where there is no second label.
        views: `(n, channels, view, view)` float32, 0..255: the same pictures for teachers; None: there are none.
        hand_made: `(n, 2728)` float32, hand-made features of the faces as they are; None: there are none.
    """

    images: Tensor
    targets: Tensor
    second: Tensor
    views: Tensor | None = None
    hand_made: Tensor | None = None


class Batches:
    """The training faces of a stage, lap after lap in a new order.

    Args:
        dataset: the training split.
        stage: the stage, which says how many faces a step has, how large they are, and how varied.
        seed: the run's seed and the number of the stage.
        expected: the network's input.
        view: side of the pictures that teachers see, pixels; 0: there are none.

    Raises:
        SourceError: when there are too few faces.
    """

    def __init__(
        self, dataset: Dataset, stage: Stage, seed: tuple[int, int], expected: NetworkInput, view: int = 0
    ) -> None:
        if len(dataset) < 2:
            raise SourceError(f"expected faces to train on in {dataset.name}, found {len(dataset)}; check its splits")
        self._dataset, self._stage, self._seed, self._input = dataset, stage, seed, expected
        self._view = view
        self._size = min(stage.batch, len(dataset))
        self.steps_per_epoch = max(1, (stage.epoch_faces or len(dataset)) // self._size)
        self.targets = _targets(dataset, stage)
        weights = inverse_frequency(dataset.labels, stage.balance)[dataset.labels]
        self._chances = weights / weights.sum() if stage.balance else None

    def indices(self, step: int) -> NDArray[np.int64]:
        """Which faces the batch of a step holds."""
        places = step * self._size + np.arange(self._size)
        laps, within = np.divmod(places, len(self._dataset))
        orders = {lap: self._order(lap) for lap in set(laps.tolist())}
        return np.array([orders[lap][place] for lap, place in zip(laps.tolist(), within.tolist(), strict=True)])

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        chosen, rng, stage = self.indices(step), self._random(step, 1), self._stage
        images = self._varied(step, chosen, rng)
        smooth = stage.loss.second_smoothing
        known = self._dataset.second[chosen]
        second = np.where(known[:, None] >= 0, smoothed(np.eye(len(LABELS))[known], smooth), 0)
        targets, second_targets = (torch.from_numpy(values).float() for values in (self.targets[chosen], second))
        own = self._standardised(images)
        batch = Batch(own, targets, second_targets, images if self._view else None, features_of(self._dataset, chosen))
        return mixed(batch, float(rng.beta(stage.loss.mixup, stage.loss.mixup))) if stage.loss.mixup else batch

    def _varied(self, step: int, chosen: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Pictures that augmentation has varied, `(n, channels, size, size)` float32, 0..255."""
        faces, colour = self._dataset.images, self._input.in_colour
        pictures = fitting([read_picture(faces, int(index), colour=colour) for index in chosen], self._stage.size)
        return varied(pictures, max(self._stage.size, self._view), self._stage.augmentation, rng)

    def _standardised(self, images: Tensor) -> Tensor:
        """What `_varied` gives, as the network takes it."""
        return standardise(averaged(images, self._stage.size), self._input)

    def stream(self, first: int, last: int, workers: int) -> Iterator[Batch]:
        """The batches of steps `first` to `last` (not included), made ahead in `workers` threads."""
        return made_ahead(self.batch, first, last, workers)

    def _order(self, lap: int) -> NDArray[np.int64]:
        """The faces of a lap, in their order."""
        count, rng = len(self._dataset), self._random(lap, 0)
        return rng.permutation(count) if self._chances is None else rng.choice(count, count, p=self._chances)

    def _random(self, number: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([*self._seed, number, purpose])


def made_ahead(make: Callable[[int], Made], first: int, last: int, workers: int) -> Iterator[Made]:
    """What is made for steps `first` to `last` (not included), ahead of time in `workers` threads."""
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[Made]] = deque()
        try:
            for step in range(first, last):
                ahead.append(pool.submit(make, step))
                if len(ahead) > workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _targets(dataset: Dataset, stage: Stage) -> NDArray[np.float64]:
    sure = np.eye(len(LABELS))[dataset.labels]
    return smoothed(dataset.targets.astype(np.float64) if stage.loss.votes else sure, stage.loss.smoothing)


def smoothed(targets: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """Spread a part of each target evenly. Szegedy et al., "Rethinking the Inception Architecture", 2016."""
    return targets * (1 - part) + part / targets.shape[1]


def mixed(batch: Batch, part: float) -> Batch:
    """Each face with a part of another. Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.

    A face without a second label takes none from its partner, since the mixture would have no known target.
    """
    images, targets, second = (
        tensor * (1 - part) + tensor.flip(0) * part for tensor in (batch.images, batch.targets, batch.second)
    )
    views, hand_made = (
        None if some is None else some * (1 - part) + some.flip(0) * part for some in (batch.views, batch.hand_made)
    )
    known = batch.second.sum(dim=1, keepdim=True) > 0
    return Batch(images, targets, second * (known & known.flip(0)), views, hand_made)


def features_of(dataset: Dataset, indices: NDArray[np.int64]) -> Tensor | None:
    """Hand-made features of some faces, `(n, 2728)` float32; None where the data set has no landmarks."""
    return None if dataset.landmarks is None else torch.from_numpy(hand_made(dataset, indices.tolist()))


def plain_features(dataset: Dataset, count: int) -> Iterator[Tensor | None]:
    """The hand-made features that belong to each of `plain_batches`, which has as many."""
    for first in range(0, len(dataset), count):
        yield features_of(dataset, np.arange(first, min(first + count, len(dataset))))


def plain_batches(dataset: Dataset, size: int, count: int, expected: NetworkInput) -> Iterator[Tensor]:
    """All faces in order, as the network takes them, without variation.

    Args:
        dataset: the faces.
        size: side, pixels.
        count: faces a batch.
        expected: the network's input.
    """
    for first in range(0, len(dataset), count):
        places = range(first, min(first + count, len(dataset)))
        pictures = [resize(read_picture(dataset.images, place, colour=expected.in_colour), size) for place in places]
        yield standardise(as_tensor(pictures), expected)


def fitting(pictures: list[Image], size: int) -> list[Image]:
    """Pictures of one shape: as they are where they have it and are no larger than `size`, else resized to it."""
    shapes = {picture.shape for picture in pictures}
    if len(shapes) == 1 and max(pictures[0].shape[:2]) <= size:
        return pictures
    return [resize(picture, size) for picture in pictures]
