"""What stands behind the faces of a scene: photographs without faces, and walls and clutter that are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.capture.sources.picture import read_picture
from edge_fer.errors import SourceError
from edge_fer.faces.detectors import Detector
from edge_fer.lab.datasets.dataset import Split, pictures_below
from edge_fer.lab.datasets.degradations import Random
from edge_fer.types import Image

_SIDE = 384  # of what is drawn, and the short side of photographs, pixels
_DRAWN = 160  # how many are drawn
_PHOTOGRAPHED = 0.4  # share of scenes in front of a photograph
_SMALLEST_PART = 0.35  # of a picture's short side that a scene shows

PHOTOGRAPHS: MappingProxyType[Split, tuple[str, ...]] = MappingProxyType(
    {
        Split.TRAINING: (
            *("rocket.jpg", "retina.jpg", "motorcycle_left.png", "gravel.png", "grass.png", "chelsea.png"),
            *("coins.png", "text.png", "color.png", "ihc.png", "moon.png", "flower.jpg"),
        ),
        Split.VALIDATION: ("china.jpg", "coffee.png", "brick.png", "clock_motion.png", "page.png"),
        Split.TEST: ("hubble_deep_field.jpg", "logo.png", "cell.png"),
    }
)
"""Photographs without people that scikit-image and scikit-learn bring along, for each split its own."""

_FOLDERS = (("skimage", "data"), ("sklearn", "datasets/images"))


@dataclass(frozen=True, slots=True)
class Backgrounds:
    """A store of pictures without faces.

    Attributes:
        photographs: uint8, BGR, of any size.
        drawn: the same.
    """

    photographs: tuple[Image, ...]
    drawn: tuple[Image, ...]

    def draw(self, side: int, rng: Random) -> Image:
        """A part of one of them, `(side, side, 3)` uint8, BGR."""
        photographed = len(self.photographs) > 0 and rng.random() < _PHOTOGRAPHED
        store = self.photographs if photographed else self.drawn
        picture = store[rng.integers(len(store))]
        height, width = picture.shape[:2]
        part = max(2, round(min(height, width) * rng.uniform(_SMALLEST_PART, 1.0)))
        top, left = int(rng.integers(height - part + 1)), int(rng.integers(width - part + 1))
        cut = picture[top : top + part, left : left + part]
        if rng.random() < 0.5:
            cut = cut[:, ::-1]
        how = cv2.INTER_AREA if part > side else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(np.ascontiguousarray(cut), (side, side), interpolation=how), np.uint8)


def make_backgrounds(split: Split, photographs: Sequence[Image] = (), count: int = _DRAWN) -> Backgrounds:
    """Backgrounds of a split, which no other split has.

    Args:
        split: the split.
        photographs: pictures without faces, uint8, BGR.
        count: how many are drawn, by a seed of the split.
    """
    drawn = (_KINDS[number % len(_KINDS)](np.random.default_rng([int(split), number])) for number in range(count))
    return Backgrounds(tuple(map(_shrunk, photographs)), tuple(drawn))


def packaged_photographs(split: Split) -> list[Path]:
    """The photographs of a split in the packages that are installed."""
    found = []
    for package, folder in _FOLDERS:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            paths = (Path(place) / folder / name for name in PHOTOGRAPHS[split])
            found += [path for path in paths if path.is_file()]
    return found


def own_photographs(folder: Path, split: Split) -> list[Path]:
    """Photographs in a folder: every fifth, by name, is of validation, and the rest of training.

    Raises:
        SourceError: when there is no such folder, or it has no picture.
    """
    found = pictures_below(folder)
    if not found:
        raise SourceError(f"expected pictures without faces in {folder}, found none; check the path")
    place = {Split.TRAINING: range(5)[1:], Split.VALIDATION: range(1), Split.TEST: range(0)}[split]
    return [path for number, path in enumerate(found) if number % 5 in place]


def without_faces(paths: Sequence[Path], detector: Detector) -> Iterator[tuple[Path, Image | None]]:
    """Each picture, uint8, BGR; None where a detector finds a face, which would be a face without a box.

    Raises:
        SourceError: when one cannot be read.
    """
    for path in paths:
        picture = read_picture(path, colour=True)
        yield path, None if detector.find(picture) else picture


def _shrunk(picture: Image) -> Image:
    scale = _SIDE / min(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _colour(rng: Random, strength: float = 60.0) -> tuple[float, float, float]:
    """A colour that is nearly grey more often than not, as those of rooms are."""
    grey = rng.uniform(15, 240)
    blue, green, red = np.clip(grey + rng.normal(0, strength * rng.random(), 3), 0, 255).tolist()
    return (blue, green, red)


def _noise(rng: Random, cells: int, channels: int = 3) -> NDArray[np.float32]:
    """Smooth noise, `(side, side, channels)` float32 around 0, with so many hills across."""
    small = rng.normal(0, 1, (cells, cells, channels)).astype(np.float32)
    large = cv2.resize(small, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.float32).reshape(_SIDE, _SIDE, channels)


def _wall(rng: Random) -> Image:
    """Light that falls off over one colour, with some grain."""
    ramp = np.linspace(0, 1, _SIDE, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    first, last = (np.array(_colour(rng), np.float32) for _ in range(2))
    wall = first + (0.6 * last - 0.6 * first) * along[..., None]
    wall = wall + _noise(rng, int(rng.integers(2, 8)), 1) * rng.uniform(0, 15) + rng.normal(0, 3, wall.shape)
    return np.clip(wall, 0, 255).astype(np.uint8)


def _cloth(rng: Random) -> Image:
    """A texture of several scales."""
    values = np.full((_SIDE, _SIDE, 3), _colour(rng), np.float32)
    for octave in range(2, 8):
        strength = rng.uniform(0, 60) / octave
        values += _noise(rng, 2**octave, 1) * strength + _noise(rng, 2**octave) * strength * 0.3
    return np.clip(values, 0, 255).astype(np.uint8)


def _clutter(rng: Random) -> Image:
    """Many things before a wall: boxes, balls, bars."""
    picture = _wall(rng)
    for _ in range(int(rng.integers(6, 50))):
        size = int(_SIDE * np.exp(rng.uniform(np.log(0.02), np.log(0.3))))
        centre = rng.integers(0, _SIDE, 2)
        stretch = np.exp(rng.uniform(-1, 1))
        half = (max(1, int(size * stretch)), max(1, int(size / stretch)))
        filled = -1 if rng.random() < 0.7 else int(rng.integers(1, 6))
        _thing(picture, centre.tolist(), half, float(rng.uniform(0, 180)), _colour(rng), filled, rng)
    if rng.random() < 0.5:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 3)), np.uint8)
    return np.clip(picture + _noise(rng, 4, 1) * rng.uniform(0, 20), 0, 255).astype(np.uint8)


def _thing(
    picture: Image,
    centre: list[int],
    half: tuple[int, int],
    degrees: float,
    colour: tuple[float, float, float],
    filled: int,
    rng: Random,
) -> None:
    match int(rng.integers(4)):
        case 0:
            corners = cv2.boxPoints(((centre[0], centre[1]), (2 * half[0], 2 * half[1]), degrees)).astype(np.int32)
            if filled < 0:
                cv2.fillConvexPoly(picture, corners, colour, cv2.LINE_AA)
            else:
                cv2.polylines(picture, [corners], True, colour, filled, cv2.LINE_AA)
        case 1:
            cv2.ellipse(picture, centre, half, degrees, 0, 360, colour, filled, cv2.LINE_AA)
        case 2:
            end = rng.integers(0, _SIDE, 2).tolist()
            cv2.line(picture, centre, end, colour, max(1, half[0] // 8), cv2.LINE_AA)
        case _:
            text = "".join(chr(code) for code in rng.integers(33, 127, 6))
            cv2.putText(picture, text, centre, cv2.FONT_HERSHEY_SIMPLEX, max(0.3, half[1] / 40), colour, 2, cv2.LINE_AA)


def _room(rng: Random) -> Image:
    """A wall, a floor, and what hangs on the wall."""
    picture = _wall(rng)
    floor = int(_SIDE * rng.uniform(0.5, 0.95))
    picture[floor:] = _cloth(rng)[floor:]
    for _ in range(int(rng.integers(1, 7))):
        left, top = (int(value) for value in rng.integers(-40, _SIDE, 2))
        width, height = (int(value) for value in rng.integers(20, 180, 2))
        cv2.rectangle(picture, (left, top), (left + width, min(top + height, floor)), _colour(rng, 90), -1)
        cv2.rectangle(picture, (left, top), (left + width, min(top + height, floor)), _colour(rng), 3)
    return picture


_KINDS: tuple[Callable[[Random], Image], ...] = (_wall, _cloth, _clutter, _clutter, _room)
