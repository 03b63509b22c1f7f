"""What spoils frames of a track for a while: bad pictures, a box that is off, a hand, another person's face.

torch is not needed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.lab.datasets.degradations import DARK_NOISE, Random, blur, compress, darken, displace, shrink, turn
from edge_fer.types import Image

LONGEST = 6
"""Frames that one fault lasts at most."""

OTHER_PERSON = "another person"
"""The fault that is no change of the picture: the track has jumped to another face."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and how long it would last.

    Attributes:
        kind: a key of `CHANGES`, or `OTHER_PERSON`.
        first: its first frame.
        count: its frames.
        seed: of what is drawn for it; the same in all of its frames, since faults last.
    """

    kind: str
    first: int
    count: int
    seed: int

    def spoil(self, frame: Image) -> Image:
        """A frame with the change that it makes; as it is for another person, whose frame it is then."""
        change = CHANGES.get(self.kind)
        return frame if change is None else change(frame, np.random.default_rng(self.seed))


def draw_faults(frames: int, rng: Random) -> tuple[Fault, ...]:
    """One fault after the other over a whole track, each for 1 to 6 frames; `spoiled_frames` says which happen."""
    faults: list[Fault] = []
    first, kinds = 0, (*CHANGES, OTHER_PERSON)
    while first < frames:
        count = min(int(rng.integers(1, LONGEST + 1)), frames - first)
        faults.append(Fault(kinds[rng.integers(len(kinds))], first, count, int(rng.integers(2**62))))
        first += count
    return tuple(faults)


def spoiled_frames(faults: tuple[Fault, ...], share: float, rng: Random) -> NDArray[np.bool_]:
    """`(frames,)`: which frames are spoiled where faults happen, in an order that is drawn, until a share is spoiled.

    Args:
        faults: of the whole track, from `draw_faults`.
        share: part of the frames, 0..1.
        rng: drawn from.
    """
    frames = faults[-1].first + faults[-1].count
    spoiled, left = np.zeros(frames, bool), round(share * frames)
    for place in rng.permutation(len(faults)).tolist():
        fault = faults[place]
        count = min(fault.count, left)
        spoiled[fault.first : fault.first + count] = True
        left -= count
    return spoiled


def _shrunk(image: Image, rng: Random) -> Image:
    return shrink(image, rng.uniform(10, 20) / image.shape[1])


def _blurred(image: Image, rng: Random) -> Image:
    return blur(image, rng.uniform(0.04, 0.08) * image.shape[1])


def _moving(image: Image, rng: Random) -> Image:
    """Smeared along a line of 15 to 30 % of the side."""
    length = max(3, round(rng.uniform(0.15, 0.3) * image.shape[1]))
    middle, direction = (length - 1) / 2, rng.uniform(0, np.pi)
    reach = middle * np.array([np.cos(direction), np.sin(direction)])
    kernel = np.zeros((length, length), np.float32)
    first, last = (np.round(middle + sign * reach).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, first, last, 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _dark(image: Image, rng: Random) -> Image:
    return darken(image, rng.uniform(0.08, 0.2), DARK_NOISE, rng)


def _compressed(image: Image, rng: Random) -> Image:
    return compress(image, int(rng.integers(5, 13)))


def _turned(image: Image, rng: Random) -> Image:
    return turn(image, float(rng.choice([-1, 1]) * rng.uniform(30, 60)))


def _displaced(image: Image, rng: Random) -> Image:
    return displace(image, rng.uniform(0.2, 0.35), rng)


def _covered(image: Image, rng: Random) -> Image:
    """A rectangle of one grey value over 40 to 70 % of the picture."""
    height, width = image.shape[:2]
    area, stretch = rng.uniform(0.4, 0.7), np.exp(rng.uniform(-0.3, 0.3))
    rows = min(height, round(height * np.sqrt(area) * stretch))
    columns = min(width, round(area * height * width / rows))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    covered = image.copy()
    covered[top : top + rows, left : left + columns] = int(rng.integers(256))
    return covered


CHANGES: dict[str, Callable[[Image, Random], Image]] = {
    "small": _shrunk,
    "blurred": _blurred,
    "moving": _moving,
    "dark": _dark,
    "compressed": _compressed,
    "turned": _turned,
    "displaced": _displaced,
    "covered": _covered,
}
"""How each fault changes a frame; far beyond what `degradations` measures, where faces can still be read."""
