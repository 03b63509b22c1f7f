"""Tracks of faces on their way into a network: some frames of each in training, all of them in evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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

    def _varied(self, step: int, chosen: NDArray[np.int64], rngs: Sequence[np.random.Generator]) -> Tensor:
        """`(n, frames * channels, size, size)` float32, 0..255."""
        stage = self._stage
        laps = (step * self.size + self._places) // len(self._dataset)
        tracks = [self._frames(*track) for track in zip(chosen.tolist(), laps.tolist(), rngs, strict=True)]
        return varied_alike(tracks, stage.size, stage.augmentation, rngs)

    def _frames(self, index: int, lap: int, rng: np.random.Generator) -> Tensor:
        """Some frames of a track, degraded: `(frames * channels, height, width)` float32, 0..255."""
        stage = self._stage
        film, peak = read_track(self._dataset.images, index, lap), peak_of(self._dataset.images, index)
        frames = draw_frames(len(film), stage.frames, rng, peak).tolist()
        pictures = fitting([read_picture(film, frame, colour=self._input.in_colour) for frame in frames], stage.size)
        return as_tensor([degrade(picture, stage.augmentation, rng) for picture in pictures]).flatten(0, 1)

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
