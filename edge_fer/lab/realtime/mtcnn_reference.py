"""The detector's reference: what the `mtcnn` package finds on the project's own pictures.

`write_reference` needs the package (extra `lab`) and writes JSON; everything else here needs numpy
and OpenCV only, so that the tests compare the detector with that file without TensorFlow.
Pictures are rendered by numpy's basic arithmetic alone: they are the same, bit for bit, whatever
version of OpenCV is installed, and the file holds their hashes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import edge_fer
from edge_fer.capture.sources.picture import read_picture
from edge_fer.faces.boxes import overlap
from edge_fer.types import Box, Face, Image, Landmarks, Point

SIDE = 600
SCORE = 0.9
THRESHOLDS = (0.6, 0.7, 0.8)
"""The package's own, for its three networks; the runtime's are lower."""

PORTRAITS = Path(edge_fer.__file__).parent / "assets" / "portraits"
NAMES = ("astronaut", "biden", "obama", "obama_blue_room", "obama_speaking")

_HEADER = (
    "Faces that the mtcnn package finds at its default parameters (minimum face 20, factor 0.709, thresholds 0.6, 0.7, "
    "0.8) with a score of at least 0.9. Boxes are x, y, width, height; landmarks are x, y of the left eye, right eye, "
    "nose, left and right corner of the mouth; all in pixels, not rounded. `tied` faces hang on the order of equal "
    "scores, which the package leaves to an unstable sort: with a stable one their box or landmarks move. Made by "
    "edge_fer.lab.realtime.mtcnn_reference.write_reference from edge_fer/assets/portraits, rendered at 600x600 by its "
    "`renderings`."
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the package finds in one picture.

    Attributes:
        faces: best score first.
        tied: for each face, whether it hangs on the order of equal scores, which the package leaves to
            numpy's default sort, hence to the version and the processor.
    """

    faces: tuple[Face, ...]
    tied: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far found faces are from those expected.

    Attributes:
        expected: faces in the reference.
        found: faces that the detector found.
        matched: pairs with an IoU of 0.5 and more.
        tied: pairs whose expected face hangs on a tie; they do not count in the next two.
        iou: intersection over union of the worst pair.
        landmark_error: error of the worst landmark, pixels.
    """

    expected: int
    found: int
    matched: int
    tied: int
    iou: float
    landmark_error: float

    @property
    def recall(self) -> float:
        """Share of the expected faces that were found."""
        return self.matched / max(self.expected, 1)

    @property
    def precision(self) -> float:
        """Share of the found faces that were expected."""
        return self.matched / max(self.found, 1)


def renderings(portraits: Path = PORTRAITS) -> Iterator[tuple[str, Image]]:
    """Every portrait under twelve transforms.

    Args:
        portraits: folder of the pictures.

    Yields:
        A name, and `(600, 600, 3)` uint8, BGR.
    """
    pictures = [_load(portraits / f"{name}.jpg") for name in NAMES]
    for index, name in enumerate(NAMES):
        others = pictures[index:] + pictures[:index]
        for transform, render in _TRANSFORMS.items():
            yield f"{name}/{transform}", render(others)


def compare(expected: Expected, found: Sequence[Face]) -> Agreement:
    """Match faces by their boxes, the best pairs first.

    Args:
        expected: faces of the reference.
        found: faces of the detector.
    """
    pairs = list(_pairs(expected.faces, found))
    firm = [(iou, error) for index, iou, error in pairs if not expected.tied[index]]
    worst_iou = min((iou for iou, _ in firm), default=1.0)
    worst_error = max((error for _, error in firm), default=0.0)
    tied = len(pairs) - len(firm)
    return Agreement(len(expected.faces), len(found), len(pairs), tied, worst_iou, worst_error)


def total(agreements: Sequence[Agreement]) -> Agreement:
    """The sum over several pictures, with the worst pair of all."""
    return Agreement(
        sum(each.expected for each in agreements),
        sum(each.found for each in agreements),
        sum(each.matched for each in agreements),
        sum(each.tied for each in agreements),
        min(each.iou for each in agreements),
        max(each.landmark_error for each in agreements),
    )


def read_reference(path: Path) -> dict[str, tuple[str, Expected]]:
    """For every rendering its hash and what the package found."""
    pictures = json.loads(path.read_text(encoding="utf-8"))["pictures"]
    return {name: (picture["sha256"], _expected(picture["faces"])) for name, picture in pictures.items()}


def write_reference(path: Path, portraits: Path = PORTRAITS) -> int:
    """Run the package on every rendering and write what it finds.

    Returns:
        How many faces it found.
    """
    package = Package()
    pictures: dict[str, Any] = {}
    for name, image in renderings(portraits):
        expected = package.find(image)
        faces = [_record(face, tied) for face, tied in zip(expected.faces, expected.tied, strict=True)]
        pictures[name] = {"sha256": digest(image), "faces": faces}
    made_with = {name: version(name) for name in ("mtcnn", "tensorflow", "numpy")}
    content = {"about": _HEADER, "made_with": made_with, "pictures": pictures}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return sum(len(picture["faces"]) for picture in pictures.values())


class Package:
    """The `mtcnn` package at its default parameters."""

    def __init__(self) -> None:
        from mtcnn import MTCNN

        self._network = MTCNN()

    def find(self, image: Image) -> Expected:
        """Faces with a score of at least 0.9.

        Args:
            image: `(height, width, 3)` uint8, BGR.
        """
        faces = self._detect(image)
        with patch("mtcnn.utils.bboxes.sort_by_scores", _sort_stably):
            other_faces = self._detect(image)
        firm = {index for index, iou, error in _pairs(faces, other_faces) if iou >= 0.97 and error <= 0.5}
        return Expected(faces, tuple(index not in firm for index in range(len(faces))))

    def _detect(self, image: Image) -> tuple[Face, ...]:
        rows = self._network.detect_faces(np.ascontiguousarray(image[:, :, ::-1]), output_type="numpy")
        good = [row for row in np.reshape(rows, (-1, 16)).tolist() if row[5] >= SCORE]
        return tuple(Face(Box(*row[1:5]), row[5], _landmarks(zip(row[6:11], row[11:], strict=True))) for row in good)


def _sort_stably(rows: NDArray[Any], scores: NDArray[Any], ascending: bool = True) -> NDArray[Any]:
    order = np.argsort(scores, kind="stable")
    return rows[order if ascending else order[::-1]]


def _pairs(faces: Sequence[Face], others: Sequence[Face]) -> Iterator[tuple[int, float, float]]:
    """Which of `faces` has a counterpart, with what IoU, and how far off its worst landmark is, in pixels."""
    overlaps = overlap(_corners(faces), _corners(others))
    while overlaps.size and overlaps.max() >= 0.5:
        row, column = (int(place) for place in np.unravel_index(overlaps.argmax(), overlaps.shape))
        error = np.linalg.norm(_points(faces[row]) - _points(others[column]), axis=1).max()
        yield row, float(overlaps[row, column]), float(error)
        overlaps[row, :] = overlaps[:, column] = 0


def digest(image: Image) -> str:
    """SHA-256 of a picture's pixels."""
    return hashlib.sha256(image.tobytes()).hexdigest()


def _expected(records: list[dict[str, Any]]) -> Expected:
    faces = tuple(Face(Box(*each["box"]), each["score"], _landmarks(each["landmarks"])) for each in records)
    return Expected(faces, tuple(each.get("tied", False) for each in records))


def _record(face: Face, tied: bool) -> dict[str, Any]:
    points = _points(face).round(3).tolist()
    record = {"box": [round(value, 3) for value in face.box], "score": round(face.score, 6), "landmarks": points}
    return {**record, "tied": True} if tied else record


def _landmarks(points: Iterable[Iterable[float]]) -> Landmarks:
    return Landmarks(*(Point(*point) for point in points))


def _points(face: Face) -> NDArray[np.float64]:
    points = face.landmarks
    return np.array([points.left_eye, points.right_eye, points.nose, points.mouth_left, points.mouth_right])


def _corners(faces: Sequence[Face]) -> NDArray[np.float32]:
    boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def _load(path: Path) -> Image:
    picture = read_picture(path)
    return _moved(picture, scale=SIDE / picture.shape[0])


def _moved(picture: Image, scale: float = 1.0, degrees: float = 0.0, dx: float = 0.0, dy: float = 0.0) -> Image:
    """Scale and turn about the centre, then shift by pixels; bilinear, grey around."""
    cos, sin = math.cos(math.radians(degrees)) / scale, math.sin(math.radians(degrees)) / scale
    column = np.arange(SIDE) - (SIDE - 1) / 2 - dx
    row = np.arange(SIDE)[:, None] - (SIDE - 1) / 2 - dy
    x = cos * column + sin * row + (picture.shape[1] - 1) / 2
    y = cos * row - sin * column + (picture.shape[0] - 1) / 2
    bordered = np.pad(picture, ((1, 2), (1, 2), (0, 0)), constant_values=128).astype(np.float32)
    x = np.clip(x + 1, 0, picture.shape[1] + 1)
    y = np.clip(y + 1, 0, picture.shape[0] + 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right_share, low_share = ((place % 1).astype(np.float32)[..., None] for place in (x, y))
    upper = bordered[top, left] * (1 - right_share) + bordered[top, left + 1] * right_share
    lower = bordered[top + 1, left] * (1 - right_share) + bordered[top + 1, left + 1] * right_share
    return _pixels(upper * (1 - low_share) + lower * low_share)


def _blurred(picture: Image, times: int) -> Image:
    """The kernel 1 2 1, in both directions, over and over: close to a Gaussian of variance times / 2."""
    blurred: NDArray[Any] = picture.astype(np.uint16)
    for _ in range(times):
        for axis in (0, 1):
            blurred = (np.roll(blurred, 1, axis) + 2 * blurred + np.roll(blurred, -1, axis) + 2) >> 2
    return blurred.astype(np.uint8)


def _noisy(picture: Image) -> Image:
    noise = np.random.default_rng(1).integers(-40, 41, picture.shape)
    return _pixels(picture + noise)


def _collage(pictures: list[Image]) -> Image:
    """Sixteen tiles of 150x150, each the mean of 4x4 pixels; every other row is mirrored."""
    collage = np.empty((SIDE, SIDE, 3), np.uint8)
    side = SIDE // 4
    for tile in range(16):
        row, column = divmod(tile, 4)
        small = pictures[tile % len(pictures)].reshape(side, 4, side, 4, 3).mean(axis=(1, 3))
        place = (slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side))
        collage[place] = _pixels(small[:, ::-1] if row % 2 else small)
    return collage


def _pixels(values: NDArray[Any]) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


_TRANSFORMS: dict[str, Callable[[list[Image]], Image]] = {
    "plain": lambda pictures: pictures[0],
    "small": lambda pictures: _moved(pictures[0], scale=0.7),
    "tiny": lambda pictures: _moved(_blurred(pictures[0], 2), scale=0.4, dx=90.5, dy=-70.25),
    "large": lambda pictures: _moved(pictures[0], scale=1.3, dy=110),
    "turned_left": lambda pictures: _moved(pictures[0], degrees=-15),
    "turned_right": lambda pictures: _moved(pictures[0], scale=0.8, degrees=25),
    "blurred": lambda pictures: _blurred(pictures[0], 12),
    "dark": lambda pictures: _pixels(pictures[0] * 0.25),
    "pale": lambda pictures: _pixels(pictures[0] * 0.4 + 120),
    "shifted": lambda pictures: _moved(pictures[0], dx=137.4, dy=88.6),
    "noisy": lambda pictures: _noisy(pictures[0]),
    "collage": _collage,
}
