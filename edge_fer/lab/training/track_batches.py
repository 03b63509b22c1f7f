"""Tracks of faces on their way into a network: some frames of each in training, all of them in evaluation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge_fer.lab.datasets.clips import draw_frames
from edge_fer.lab.datasets.dataset import Dataset, read_picture
from edge_fer.lab.datasets.pictures import resize
from edge_fer.lab.datasets.tracks import peak_of, read_track
from edge_fer.lab.networks.base import NetworkInput
from edge_fer.lab.training.augment import as_tensor, degrade, standardise, varied_alike
from edge_fer.lab.training.batches import Batches, fitting


class TrackBatches(Batches):
    """The training tracks of a stage; `Batch.images` are `(n, frames, channels, size, size)`.

    A synthetic track is another one in each lap. All frames of a track are warped and lit alike.
    """

    def _varied(self, step: int, chosen: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """`(n, frames * channels, size, size)` float32, 0..255."""
        stage, colour = self._stage, self._input.in_colour
        pictures = []
        for place, index in enumerate(chosen.tolist()):
            lap = (step * len(chosen) + place) // len(self._dataset)
            film, peak = read_track(self._dataset.images, index, lap), peak_of(self._dataset.images, index)
            frames = draw_frames(len(film), stage.frames, rng, peak).tolist()
            pictures += [read_picture(film, frame, colour=colour) for frame in frames]
        fitted = [degrade(picture, stage.augmentation, rng) for picture in fitting(pictures, stage.size)]
        stacked = as_tensor(fitted).unflatten(0, (len(chosen), stage.frames)).flatten(1, 2)
        return varied_alike(stacked, stage.size, stage.augmentation, rng)

    def _standardised(self, images: Tensor) -> Tensor:
        """What `_varied` gives, as the network takes it."""
        count, size = len(images), self._stage.size
        frames = images.reshape(count * self._stage.frames, -1, size, size)
        return standardise(frames, self._input).unflatten(0, (count, self._stage.frames))


def plain_tracks(dataset: Dataset, size: int, expected: NetworkInput) -> Iterator[Tensor]:
    """All tracks in order, each with all of its frames, without variation: `(1, frames, channels, size, size)`.

    Args:
        dataset: the tracks.
        size: side, pixels.
        expected: the network's input.
    """
    for index in range(len(dataset)):
        film = read_track(dataset.images, index)
        frames = [resize(read_picture(film, frame, colour=expected.in_colour), size) for frame in range(len(film))]
        yield standardise(as_tensor(frames), expected).unsqueeze(0)
