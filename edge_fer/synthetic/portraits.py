"""Synthetic pictures with known faces: portraits that move, change size and turn in front of a plain wall.

`Scene.truth` computes the geometry and `Scene.render` the picture, both for any frame in any order. `scenes.py` says
which faces appear where.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.types import Box, Image, Landmarks, Point

PORTRAITS = Path(__file__).parents[1] / "assets" / "portraits"

_REACH = 1.0  # size of a cut-out on each side of the face box's centre, in heights of the box
_SOFT_EDGE = 0.15  # the outer part of the cut-out's radius over which it fades out
_COVER_POINTS = 16  # points along each side of a box that are tested for being covered

Vector = NDArray[np.float64]
_STAY = Point(0.0, 0.0)


class Pose(NamedTuple):
    """The place of a face.

    Attributes:
        x: centre of its box, pixels.
        y: centre of its box, pixels.
        height: height of its box, pixels.
        angle: angle of the eye line, degrees, clockwise in the picture.
    """

    x: float
    y: float
    height: float
    angle: float


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A portrait that was cut out, with its eyes level.

    Lengths are in heights of the face box, positions are relative to the centre of the box.

    Attributes:
        name: name of the portrait.
        person: name of the person.
        images: `(n, n, 4)` uint8, BGR and opacity, 0..255; each half the size of the one before.
        height: height of the face box in the first image, pixels.
        width: width of the face box.
        landmarks: `(5, 2)` float64, x and y, in the order of `Landmarks`.
        ellipse: x and y of the centre and the two half-axes of the ellipse that is cut out.
    """

    name: str
    person: str
    images: tuple[Image, ...]
    height: float
    width: float
    landmarks: Vector
    ellipse: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class TrueFace:
    """A face whose box is at least partly in the picture.

    Attributes:
        entry: number of the entry of a face into the view, from 0; the same until the face has left.
        name: name of the portrait.
        box: the box that MTCNN would give, pixels: upright, whatever the angle.
        landmarks: where the landmarks were drawn, pixels.
        angle: angle of the eye line, degrees, clockwise in the picture.
        visible: whether the box is wholly inside the picture and no nearer head covers any part of it.
    """

    entry: int
    name: str
    box: Box
    landmarks: Landmarks
    angle: float
    visible: bool


@dataclass(frozen=True, slots=True)
class Course:
    """The motion of a face from entry to exit: it comes in, sways about its home, and leaves.

    Attributes:
        home: middle of the sway.
        sway: amplitude of each value of the pose.
        period: period of each value's sway, frames.
        phase: phase of each value's sway, radians.
        arrives: frame at which the face reaches its home.
        departs: frame at which the face starts to leave.
        comes_from: direction from which the face comes, a vector of length 1.
        leaves_to: direction in which the face leaves, a vector of length 1.
        speed: speed of coming and leaving, pixels a frame.
    """

    home: Pose
    sway: Pose
    period: Pose
    phase: Pose
    arrives: float = -math.inf
    departs: float = math.inf
    comes_from: Point = _STAY
    leaves_to: Point = _STAY
    speed: float = 0.0

    def pose(self, index: int) -> Pose:
        """Where the face is in frame `index`."""
        swaying = (
            home + sway * math.sin(2 * math.pi * index / period + phase)
            for home, sway, period, phase in zip(self.home, self.sway, self.period, self.phase, strict=True)
        )
        x, y, height, angle = swaying
        early = max(0.0, self.arrives - index) * self.speed
        late = max(0.0, index - self.departs) * self.speed
        x += self.comes_from.x * early + self.leaves_to.x * late
        y += self.comes_from.y * early + self.leaves_to.y * late
        return Pose(x, y, height, angle)


class Part(NamedTuple):
    """A part of a scene with a known number of visible faces in every frame.

    Attributes:
        name: name of the part.
        faces: number of visible faces.
        first: number of the first frame.
        end: number of the first frame after the part.
    """

    name: str
    faces: int
    first: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Faces in front of a wall.

    Attributes:
        wall: `(height, width, 3)` uint8, BGR.
        cast: a head and its course for each entry of a face; the last is the nearest.
        frames: number of frames.
        parts: the parts with a known number of visible faces.
    """

    wall: Image
    cast: tuple[tuple[Head, Course], ...]
    frames: int
    parts: tuple[Part, ...] = ()

    def truth(self, index: int) -> tuple[TrueFace, ...]:
        """The faces of frame `index`, in order of their entries."""
        height, width = self.wall.shape[:2]
        posed = [(entry, head, course.pose(index)) for entry, (head, course) in enumerate(self.cast)]
        posed = [item for item in posed if _overlaps(face_box(item[1], item[2]), width, height)]
        faces = []
        for place, (entry, head, pose) in enumerate(posed):
            box, points = face_box(head, pose), transform(head.landmarks, pose)
            nearer = [(other, other_pose) for _, other, other_pose in posed[place + 1 :]]
            visible = _inside(box, width, height) and not any(_covers(*other, box) for other in nearer)
            landmarks = Landmarks(*(Point(x, y) for x, y in points.tolist()))
            faces.append(TrueFace(entry, head.name, box, landmarks, pose.angle, visible))
        return tuple(faces)

    def render(self, index: int) -> Image:
        """The picture of frame `index`: a new `(height, width, 3)` uint8 array, BGR."""
        picture: Image = self.wall.copy()
        for head, course in self.cast:
            _paste(picture, head, course.pose(index))
        return picture


def transform(points: Vector, pose: Pose) -> Vector:
    """Points of a head at a pose.

    Args:
        points: `(n, 2)` float64, in heights of the face box, relative to its centre, eyes level.
        pose: the place of the face.

    Returns:
        `(n, 2)` float64, pixels of the picture.
    """
    turn = math.radians(pose.angle)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.asarray(points @ (rotation * pose.height).T + (pose.x, pose.y))


def face_box(head: Head, pose: Pose) -> Box:
    """The box that MTCNN would give at a pose; it does not turn with the face."""
    width = head.width * pose.height
    return Box(pose.x - width / 2, pose.y - pose.height / 2, width, pose.height)


@lru_cache(maxsize=1)
def load_heads(folder: Path = PORTRAITS) -> tuple[Head, ...]:
    """Cut out the heads of the portraits that `portraits.json` describes.

    Args:
        folder: the folder of portraits.

    Raises:
        SourceError: when a portrait cannot be read.
    """
    try:
        described = json.loads((folder / "portraits.json").read_text())["portraits"]
    except (OSError, ValueError) as error:
        raise SourceError(f"expected portraits.json in {folder}, found: {error}; install edge-fer again") from error
    return tuple(_cut_out(folder, portrait) for portrait in described)


def _cut_out(folder: Path, portrait: dict[str, Any]) -> Head:
    picture = cv2.imread(str(folder / portrait["file"]))
    if picture is None:
        raise SourceError(f"expected a portrait, found none at {folder / portrait['file']}; install edge-fer again")
    centre, (width, height) = np.array(portrait["centre"]), portrait["size"]
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    points = np.array([portrait[name] for name in names]) - centre
    across = points[1] - points[0]
    cos, sin = across / np.hypot(*across)
    level = np.array([[cos, sin], [-sin, cos]])
    reach = math.ceil(_REACH * height)
    matrix = np.column_stack([level, np.array([reach, reach]) - level @ centre])
    size = (2 * reach + 1, 2 * reach + 1)
    levelled = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    x, y, half_width, half_height = ellipse = tuple(portrait["head"])
    grid = np.mgrid[-reach : reach + 1, -reach : reach + 1] / height
    radius = np.hypot((grid[1] - x) / half_width, (grid[0] - y) / half_height)
    opacity = np.clip((1 - radius) / _SOFT_EDGE, 0, 1) * 255
    images = [np.dstack([levelled, opacity.round().astype(np.uint8)])]
    while len(images[-1]) > 2 * _REACH * 60:  # no face is drawn much smaller than 60 pixels
        images.append(np.asarray(cv2.resize(images[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)))
    name = Path(portrait["file"]).stem
    return Head(name, portrait["person"], tuple(images), height, width / height, points @ level.T / height, ellipse)


def _paste(picture: Image, head: Head, pose: Pose) -> None:
    """Blend a head into a picture, in place."""
    reach = _REACH * math.sqrt(2) * pose.height
    left, top = max(0, math.floor(pose.x - reach)), max(0, math.floor(pose.y - reach))
    right, bottom = math.ceil(pose.x + reach), math.ceil(pose.y + reach)
    region = picture[top : max(0, bottom), left : max(0, right)]
    if region.size == 0:
        return
    sharp_enough = [image for image in head.images if len(image) * head.height >= pose.height * len(head.images[0])]
    image = (sharp_enough or head.images[:1])[-1]
    scale = pose.height / (head.height * len(image) / len(head.images[0]))
    turn = math.radians(pose.angle)
    turned = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = (len(image) - 1) / 2
    matrix = np.column_stack([turned, (pose.x - left, pose.y - top) - turned @ (middle, middle)])
    pasted = cv2.warpAffine(image, matrix, (region.shape[1], region.shape[0]), flags=cv2.INTER_LINEAR)
    opacity = pasted[..., 3:].astype(np.float32) / 255
    region[:] = np.rint(region + opacity * (pasted[..., :3].astype(np.float32) - region)).astype(np.uint8)


def _overlaps(box: Box, width: float, height: float) -> bool:
    return box.x < width and box.y < height and box.x + box.width > 0 and box.y + box.height > 0


def _inside(box: Box, width: int, height: int) -> bool:
    return box.x >= 0 and box.y >= 0 and box.x + box.width <= width and box.y + box.height <= height


def _covers(head: Head, pose: Pose, box: Box) -> bool:
    """Whether a nearer head's cut-out reaches into a box."""
    reach = math.sqrt(2) * _REACH * pose.height
    if not _overlaps(Box(box.x - pose.x + reach, box.y - pose.y + reach, box.width, box.height), 2 * reach, 2 * reach):
        return False
    steps = np.linspace(0, 1, _COVER_POINTS)
    x, y = np.meshgrid(box.x + steps * box.width - pose.x, box.y + steps * box.height - pose.y)
    turn = math.radians(pose.angle)
    across = (x * math.cos(turn) + y * math.sin(turn)) / pose.height - head.ellipse[0]
    down = (y * math.cos(turn) - x * math.sin(turn)) / pose.height - head.ellipse[1]
    return bool(np.any(np.hypot(across / head.ellipse[2], down / head.ellipse[3]) < 1))
