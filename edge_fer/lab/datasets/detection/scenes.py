"""Scenes: pictures with several labelled faces, made of a data set's face crops.

They stand for photographs with a box and an expression for every face, which nobody gives out freely. A scene follows
from its seed and its number alone; test faces, validation faces and training faces never meet, nor do the backgrounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.faces.boxes import Boxes
from edge_fer.lab.datasets.dataset import Dataset
from edge_fer.lab.datasets.degradations import Random, blur, compress, darken, shrink
from edge_fer.lab.datasets.detection.backgrounds import Backgrounds
from edge_fer.lab.datasets.detection.heads import HALF_HEIGHT, HALF_WIDTH, REACH, Head, draw_head
from edge_fer.lab.datasets.detection.pictures import UNLABELLED, LabelledPicture
from edge_fer.types import LABELS, Image

SIDE = 256
"""Side of a scene for which the sizes of `ScenePlan` are, pixels."""

_MOST_BLUR = 0.006  # standard deviation, part of the side
_TRIES = 8  # to find a place for a head
_OWNERS = 2  # pixels of a scene for each cell of the map that says which head is nearest
_WITH_SHOULDERS = 0.85  # share of heads
_HIDDEN, _UNSEEN = 0.4, 0.15  # visible parts of a face below which it is not labelled, and not there


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """What scenes show.

    Attributes:
        most_faces: of a scene.
        empty: share of scenes without faces.
        smallest: side of the least crop in a scene of 256 pixels, pixels.
        largest: side of the greatest; sides are spread evenly in their logarithm.
        degrees: heads are turned by up to so much.
        most_negatives: things in the shape of a head that are none, of a scene.
        unlabelled: share of faces whose label is left out, as of real sets.
        balance: a face is drawn by the inverse frequency of its label to this power.
        faults: whether pictures have the faults of real cameras.
    """

    most_faces: int = 6
    empty: float = 0.05
    smallest: float = 24.0
    largest: float = 220.0
    degrees: float = 20.0
    most_negatives: int = 2
    unlabelled: float = 0.05
    balance: float = 0.5
    faults: bool = True


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where a head stands.

    Attributes:
        x: middle of its crop, pixels.
        y: middle of its crop, pixels.
        side: side of its crop, pixels.
        degrees: how far it is turned, clockwise.
        face: which face it has; None: it only looks like a head.
        mirrored: whether left and right are exchanged.
        shoulders: half their width, sides of the crop; 0: there are none.
    """

    x: float
    y: float
    side: float
    degrees: float
    face: int | None
    mirrored: bool
    shoulders: float


@dataclass(slots=True)
class Scenes:
    """Scenes of the faces of one split.

    Attributes:
        faces: the faces, all of one split.
        boxes: `(n, 4)`, the true box of each, see `face_boxes`.
        backgrounds: of the same split.
        count: how many scenes there are.
        side: side of a scene, pixels.
        seed: of everything that is drawn.
        plan: what they show.
        name: what they are, in words.
    """

    faces: Dataset
    boxes: NDArray[np.float32]
    backgrounds: Backgrounds
    count: int
    side: int = SIDE
    seed: int = 0
    plan: ScenePlan = field(default_factory=ScenePlan)
    name: str = "scenes"
    _drawn_by: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        counts = np.maximum(np.bincount(self.faces.labels, minlength=len(LABELS)), 1)
        self._drawn_by = np.cumsum(counts[self.faces.labels] ** -self.plan.balance)
        self._drawn_by /= self._drawn_by[-1]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> LabelledPicture:
        return self.at(index, self.side)

    def at(self, index: int, side: int) -> LabelledPicture:
        """A scene by its number at another size; of the same things, but not the same picture."""
        rng = np.random.default_rng([self.seed, index])
        picture = self.backgrounds.draw(side, rng)
        placed = self._place(side, rng)
        owners = np.zeros((side // _OWNERS, side // _OWNERS), np.uint8)
        for number, head in enumerate(placed, 1):
            self._draw(picture, head, rng)
            _own(owners, head, number)
        image = self._seen(picture, rng)
        return self._labelled(image, placed, owners, rng)

    def _place(self, side: int, rng: Random) -> list[_Placed]:
        """Heads from far to near, and things that look like heads."""
        faces = 0 if rng.random() < self.plan.empty else int(rng.integers(1, self.plan.most_faces + 1))
        kinds = [True] * faces + [False] * int(rng.integers(self.plan.most_negatives + 1))
        scale = side / SIDE
        low, high = math.log(self.plan.smallest * scale), math.log(self.plan.largest * scale)
        placed: list[_Placed] = []
        for is_face in sorted(kinds, reverse=True):
            for _ in range(_TRIES):
                size = math.exp(rng.uniform(low, high))
                x, y = (rng.uniform(0.3 * size, max(0.3 * size + 1, side - 0.3 * size)) for _ in range(2))
                if all(_apart(x, y, size, other) for other in placed):
                    degrees = rng.uniform(-self.plan.degrees, self.plan.degrees)
                    face = int(np.searchsorted(self._drawn_by, rng.random())) if is_face else None
                    shoulders = rng.uniform(0.75, 1.15) * (rng.random() < _WITH_SHOULDERS)
                    placed.append(_Placed(x, y, size, degrees, face, bool(rng.random() < 0.5), shoulders))
                    break
        return sorted(placed, key=lambda head: head.side)

    def _draw(self, picture: Image, head: _Placed, rng: Random) -> None:
        around = picture[max(0, round(head.y)) :: 7, max(0, round(head.x)) :: 7]
        light = float(around.mean()) if around.size else 128.0
        degrees = head.degrees
        crop: Image
        if head.face is not None:
            crop = self.faces.images[head.face]
        elif rng.random() < 0.5:
            crop, degrees = self.faces.images[int(rng.integers(len(self.faces)))], degrees + 180
        else:
            crop = np.asarray(cv2.cvtColor(self.backgrounds.draw(48, rng), cv2.COLOR_BGR2GRAY), np.uint8)
        drawn = draw_head(crop[:, ::-1] if head.mirrored else crop, head.side, light, rng)
        if head.shoulders:
            _draw_body(picture, head, drawn.skin, rng)
        _paste(picture, drawn, head, degrees)

    def _seen(self, picture: Image, rng: Random) -> Image:
        """The picture as a camera gives it."""
        if rng.random() < 0.15:
            grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
        if not self.plan.faults:
            return picture
        happens = rng.random(4)
        if happens[0] < 0.15:
            picture = shrink(picture, rng.uniform(0.5, 0.9))
        if happens[1] < 0.15:
            picture = blur(picture, rng.uniform(0.1, 1.0) * _MOST_BLUR * len(picture))
        if happens[2] < 0.15:
            picture = darken(picture, rng.uniform(0.15, 1.0), rng.uniform(1, 8), rng)
        return compress(picture, int(rng.integers(15, 80))) if happens[3] < 0.2 else picture

    def _labelled(
        self, image: Image, placed: Sequence[_Placed], owners: NDArray[np.uint8], rng: Random
    ) -> LabelledPicture:
        boxes, labels, targets = [], [], []
        for number, head in enumerate(placed, 1):
            visible = _visible(owners, head, number)
            if head.face is None or visible < _UNSEEN:
                continue
            is_labelled = visible >= _HIDDEN and rng.random() >= self.plan.unlabelled
            boxes.append(_true_box(head, self.boxes[head.face], len(image)))
            labels.append(int(self.faces.labels[head.face]) if is_labelled else UNLABELLED)
            targets.append(self.faces.targets[head.face] * is_labelled)
        return LabelledPicture(
            image,
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(labels, np.int64),
            np.array(targets, np.float32).reshape(-1, len(LABELS)),
        )


def _apart(x: float, y: float, size: float, other: _Placed) -> bool:
    """Whether two heads cover at most a part of each other."""
    distance = math.hypot(x - other.x, y - other.y)
    return distance > 0.36 * (size + other.side)


def _paste(picture: Image, drawn: Head, head: _Placed, degrees: float) -> None:
    """Blend a head into a picture, in place."""
    reach = REACH * math.sqrt(2) * head.side
    left, top = max(0, math.floor(head.x - reach)), max(0, math.floor(head.y - reach))
    region = picture[top : math.ceil(head.y + reach), left : math.ceil(head.x + reach)]
    count = len(drawn.picture)
    scale, turn = 2 * REACH * head.side / count, math.radians(degrees)
    turned = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = (count - 1) / 2
    matrix = np.column_stack([turned, np.array([head.x - left, head.y - top]) - turned @ (middle, middle)])
    pasted = cv2.warpAffine(drawn.picture, matrix, (region.shape[1], region.shape[0]), flags=cv2.INTER_LINEAR)
    *coloured, opacity = cv2.split(pasted)
    weight = opacity.astype(np.float32) * np.float32(1 / 255)
    region[:] = cv2.blendLinear(cv2.merge(coloured), region, weight, 1 - weight)


def _draw_body(picture: Image, head: _Placed, skin: tuple[float, ...], rng: Random) -> None:
    """A neck and shoulders, so that a head does not float."""
    cloth = np.clip(rng.uniform(10, 220) + rng.normal(0, 30, 3), 0, 255).tolist()
    left, right = (round(head.x + sign * 0.2 * head.side) for sign in (-1, 1))
    top, bottom = (round(head.y + part * head.side) for part in (0.2, 0.9))
    cv2.rectangle(picture, (left, top), (right, bottom), [0.75 * value for value in skin], -1)
    _fill_shoulders(picture, head, 1, cloth)


def _fill_shoulders(picture: NDArray[np.uint8], head: _Placed, shrunk: int, colour: Sequence[float]) -> None:
    """Fill the outline of the shoulders, down to the picture's lower edge, in a picture that many times smaller."""
    side = head.side / shrunk
    half_width, half_height = round(head.shoulders * side), round(0.45 * side)
    x, y = round(head.x / shrunk), round(head.y / shrunk + 1.05 * side)
    cv2.ellipse(picture, (x, y), (half_width, half_height), 0, 0, 360, colour, -1, cv2.LINE_AA if shrunk == 1 else 8)
    cv2.rectangle(picture, (x - half_width, y), (x + half_width, len(picture)), colour, -1)


def _own(owners: NDArray[np.uint8], head: _Placed, number: int) -> None:
    """Note which head is nearest where its ellipse is; where its shoulders are, no face is seen."""
    if head.shoulders:
        _fill_shoulders(owners, head, _OWNERS, (0,))
    half = (round(HALF_WIDTH * head.side / _OWNERS), round(HALF_HEIGHT * head.side / _OWNERS))
    middle = (round(head.x / _OWNERS), round(head.y / _OWNERS))
    cv2.ellipse(owners, middle, half, head.degrees, 0, 360, (number,), -1)


def _visible(owners: NDArray[np.uint8], head: _Placed, number: int) -> float:
    """Part of a head's ellipse that is inside the picture and not behind another, 0..1."""
    area = math.pi * HALF_WIDTH * HALF_HEIGHT * (head.side / _OWNERS) ** 2
    return float((owners == number).sum() / area)


def _true_box(head: _Placed, box: Boxes, side: int) -> tuple[float, float, float, float]:
    """The box that MTCNN would give: its middle turns with the head, it does not; cut at the picture's edge.

    Args:
        head: the head.
        box: `(4,)`, the box in the crop, in sides of it.
        side: side of the picture, pixels.
    """
    left, top, right, bottom = (float(value) - 0.5 for value in box)
    if head.mirrored:
        left, right = -right, -left
    turn = math.radians(head.degrees)
    x, y = (left + right) / 2, (top + bottom) / 2
    x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    half_width, half_height = (right - left) / 2, (bottom - top) / 2
    corners = (x - half_width, y - half_height, x + half_width, y + half_height)
    middles = (head.x, head.y, head.x, head.y)
    x1, y1, x2, y2 = (
        min(max(middle + head.side * corner, 0.0), side) for middle, corner in zip(middles, corners, strict=True)
    )
    return x1, y1, x2, y2
