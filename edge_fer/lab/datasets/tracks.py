"""Tracks: frames of one face over some seconds, with one label. Synthetic ones are made of single labelled faces.

What synthetic tracks show is resistance to bad frames. They do not show how an expression rises and fades, since each
is one photo that moves. torch is not needed here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.clips import Clip, Clips
from edge_fer.lab.datasets.dataset import Dataset, Images, Subset, hard
from edge_fer.lab.datasets.degradations import Random
from edge_fer.lab.datasets.faults import OTHER_PERSON, Fault, draw_faults, spoiled_frames
from edge_fer.lab.datasets.pictures import resize
from edge_fer.types import Image

FRAMES = 16
"""Frames of a track, which is as many answers as the runtime remembers of a face."""
FPS = 10
SHARES = (0.0, 0.25, 0.5, 0.75)
"""Parts of the frames of a track that are spoiled."""
SIDE = 80
"""Side of a frame, pixels: the detail at which the runtime samples faces."""

_SHIFT, _ROTATION, _SCALE, _LIGHT = 0.06, 8.0, 0.08, 0.15  # at most: part of the side, degrees, logarithms
_NOISE = 2.0  # standard deviation, grey values
_STEADY_S = 1.0  # after which a walk has forgotten 63 % of where it was
_USUAL = 0.5  # standard deviation of a walk, part of the most


@runtime_checkable
class TrackImages(Protocol):
    """Pictures of which each is one of a track's frames; a data set of tracks has these as its images."""

    def __len__(self) -> int:
        """How many tracks there are."""
        ...

    def __getitem__(self, index: int, /) -> Image:
        """The frame of a track that stands for it."""
        ...

    def track(self, index: int, rendering: int) -> Images:
        """All frames of a track.

        Args:
            index: the track's place.
            rendering: which of its endless variants; films have one.
        """
        ...

    def peak(self, index: int) -> int | None:
        """The frame in which a track's expression is strongest; None where none is or it is not known."""
        ...


def are_tracks(images: Images) -> bool:
    """Whether a data set's pictures stand for tracks."""
    return are_tracks(images.images) if isinstance(images, Subset) else isinstance(images, TrackImages)


def read_track(images: Images, index: int, rendering: int = 0) -> Images:
    """All frames of a track of a data set; see `TrackImages.track`."""
    if isinstance(images, Subset):
        return read_track(images.images, int(images.indices[index]), rendering)
    assert isinstance(images, TrackImages)
    return images.track(index, rendering)


def peak_of(images: Images, index: int) -> int | None:
    """See `TrackImages.peak`."""
    if isinstance(images, Subset):
        return peak_of(images.images, int(images.indices[index]))
    assert isinstance(images, TrackImages)
    return images.peak(index)


@dataclass(frozen=True, slots=True)
class ClipTracks:
    """Labelled clips as the images of a data set; see `TrackImages`."""

    clips: tuple[Clip, ...]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int, /) -> Image:
        clip = self.clips[index]
        return clip.faces[len(clip) // 2 if clip.peak is None else clip.peak]

    def track(self, index: int, rendering: int = 0) -> Images:
        """All frames of a clip."""
        return self.clips[index].faces

    def peak(self, index: int) -> int | None:
        """The frame in which a clip's expression is strongest."""
        return self.clips[index].peak


def tracks_of_clips(clips: Clips) -> Dataset:
    """Labelled clips as a data set, of which each picture stands for a track."""
    dataset = hard(clips.name, ClipTracks(clips.clips), clips.labels, clips.splits, clips.left_out)
    return replace(dataset, crop=clips.crop)


@dataclass(frozen=True, slots=True)
class _ClipFrames:
    """Every frame of some clips.

    Attributes:
        clips: the clips.
        places: `(n, 2)`, the clip of each frame and its place there.
    """

    clips: tuple[Clip, ...]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int, /) -> Image:
        clip, frame = self.places[index]
        return self.clips[clip].faces[int(frame)]


def every_frame(dataset: Dataset) -> Dataset:
    """Each frame of labelled clips as a face with the clip's label; any other data set as it is.

    For what needs faces and not labels: the first and the last frame of a clip hardly show its expression.
    """
    clips = _clips_of(dataset.images)
    if clips is None:
        return dataset
    places = [(number, frame) for number, clip in enumerate(clips) for frame in range(len(clip))]
    each = dataset.take(np.array([number for number, _ in places], np.int64))
    return replace(each, images=_ClipFrames(clips, np.array(places, np.int64).reshape(-1, 2)))


def _clips_of(images: Images) -> tuple[Clip, ...] | None:
    """The clips of a data set, or of a part of one; None where it has none."""
    if isinstance(images, Subset):
        clips = _clips_of(images.images)
        return None if clips is None else tuple(clips[index] for index in images.indices)
    return images.clips if isinstance(images, ClipTracks) else None


@dataclass(frozen=True, slots=True)
class SyntheticTracks:
    """A track for each picture of a data set; see `TrackImages`.

    Attributes:
        faces: the pictures.
        splits: `(n,)`, the split of each; another person's face is one of the same split.
        seed: of all that is drawn; each split draws other numbers.
        frames: of a track.
    """

    faces: Images
    splits: NDArray[np.uint8]
    seed: int
    frames: int = FRAMES

    def __len__(self) -> int:
        return len(self.splits)

    def __getitem__(self, index: int, /) -> Image:
        return self.faces[index]

    def track(self, index: int, rendering: int = 0) -> SyntheticTrack:
        """All frames of a track."""
        split = int(self.splits[index])
        rng = np.random.default_rng([self.seed, split, index, rendering])
        same = np.flatnonzero(self.splits == split)
        other = int(same[(np.searchsorted(same, index) + rng.integers(1, len(same))) % len(same)])
        faults = draw_faults(self.frames, rng)
        walk = random_walk(self.frames, 5, rng)
        spoiled = spoiled_frames(faults, float(rng.choice(SHARES)), rng)
        return SyntheticTrack(self.faces, index, other, walk, faults, spoiled, int(rng.integers(2**62)))

    def peak(self, index: int) -> int | None:
        """None: a photo that moves has no strongest moment."""
        return None


@dataclass(frozen=True, slots=True)
class SyntheticTrack:
    """One face that moves a little, in changing light, in some frames spoiled; its frames are grey, 80 x 80 pixels.

    Attributes:
        faces: pictures, of which it shows two.
        face: place of the one that it shows.
        other: place of another one of the same split, which it shows where it has jumped to another person.
        walk: `(frames, 5)`, each -1..1: shift to the right and down, rotation, scale, light.
        faults: one after the other over all frames.
        spoiled: `(frames,)`: in which frames they happen.
        seed: of the noise.
    """

    faces: Images
    face: int
    other: int
    walk: NDArray[np.float64]
    faults: tuple[Fault, ...]
    spoiled: NDArray[np.bool_]
    seed: int

    def __len__(self) -> int:
        return len(self.walk)

    def __getitem__(self, frame: int, /) -> Image:
        return self.spoilt(frame) if self.spoiled[frame] else self.clean(frame)

    def clean(self, frame: int) -> Image:
        """A frame, `(80, 80)` uint8, before anything spoils it."""
        return self._shown(self.face, frame)

    def spoilt(self, frame: int) -> Image:
        """A frame, `(80, 80)` uint8, with the fault of its time."""
        fault = next(fault for fault in reversed(self.faults) if fault.first <= frame)
        return fault.spoil(self._shown(self.other if fault.kind == OTHER_PERSON else self.face, frame))

    def _shown(self, face: int, frame: int) -> Image:
        right, down, turned, larger, lighter = self.walk[frame].tolist()
        middle = (SIDE - 1) / 2
        turn = cv2.getRotationMatrix2D((middle, middle), turned * _ROTATION, float(np.exp(larger * _SCALE)))
        warp = np.asarray(turn, np.float64) + SIDE * _SHIFT * np.array([[0, 0, right], [0, 0, down]])
        picture = resize(self.faces[face], SIDE)
        moved = cv2.warpAffine(picture, warp, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        noise = np.random.default_rng([self.seed, frame]).normal(0, _NOISE, moved.shape)
        return np.clip(moved * np.exp(lighter * _LIGHT) + noise, 0, 255).astype(np.uint8)


def random_walk(frames: int, courses: int, rng: Random) -> NDArray[np.float64]:
    """Smooth courses about 0, `(frames, courses)`, each -1..1: an Ornstein-Uhlenbeck process, cut off at its ends.

    Uhlenbeck and Ornstein, "On the Theory of the Brownian Motion", 1930, sampled exactly at 10 frames a second.
    """
    kept = np.exp(-1 / (FPS * _STEADY_S))
    steps = rng.normal(0, _USUAL, (frames, courses))
    walk = np.empty((frames, courses))
    walk[0] = steps[0]
    for frame in range(1, frames):
        walk[frame] = kept * walk[frame - 1] + np.sqrt(1 - kept**2) * steps[frame]
    return walk.clip(-1, 1)


def as_tracks(dataset: Dataset, seed: int = 0) -> Dataset:
    """A data set of tracks as it is, another one with a synthetic track for each face; see `synthetic_tracks`."""
    return dataset if are_tracks(dataset.images) else synthetic_tracks(dataset, seed)


def synthetic_tracks(dataset: Dataset, seed: int = 0, frames: int = FRAMES) -> Dataset:
    """A data set with a synthetic track in place of each face, of the same label, votes and split.

    Args:
        dataset: single faces.
        seed: seed of all that is drawn.
        frames: frames of each track.

    Raises:
        SourceError: when a split has one face only, so that there is no other person.
    """
    if (np.bincount(dataset.splits) == 1).any():
        raise SourceError(f"expected at least two faces in each split of {dataset.name} to make tracks of, found one")
    return replace(dataset, images=SyntheticTracks(dataset.images, dataset.splits, seed, frames), landmarks=None)
