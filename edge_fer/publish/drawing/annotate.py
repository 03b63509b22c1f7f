"""Pictures for people: boxes, landmarks and labels drawn over a frame."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import cv2
import numpy as np

from edge_fer.common.picture import check_picture
from edge_fer.faces.boxes import corners_of, overlap
from edge_fer.schema import FaceReading, Reading
from edge_fer.types import LABELS, Box, Image, Label

Colour = tuple[int, int, int]

COLOURS: dict[Label, Colour] = {
    "anger": (60, 60, 230),
    "disgust": (80, 150, 60),
    "fear": (200, 80, 160),
    "happiness": (40, 200, 250),
    "sadness": (220, 150, 60),
    "surprise": (60, 140, 250),
    "neutral": (210, 210, 210),
}
"""Colours of the labels, BGR, that can be told apart on dark and on bright pictures."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK, _PAPER = (20, 20, 20), (235, 235, 235)
_UNKNOWN = (150, 150, 150)
_MIN_UNIT = 0.9  # the unit of all sizes, pixels; smaller text cannot be read
_MIN_SCALE = 0.33  # nor can letters of the font below this scale
_FACE_UNITS = 60.0  # a face that is narrower than so many units gets a smaller unit
_HIDDEN = 0.1  # a plate may hide this share of others before another place is tried
_MOST_HIDDEN = 0.15  # a chart that would hide more of others is left out


def draw(image: Image, reading: Reading) -> Image:
    """Draw a reading over its frame, for programs that use this package: `annotate`, which takes what it is given.

    Args:
        image: `(height, width, 3)` uint8, BGR; not written to.
        reading: the reading of this frame.

    Returns:
        A new picture of the same shape.

    Raises:
        TypeError: when one of them is something else.
        ValueError: when the picture has another shape or type.
    """
    check_picture(image)
    if not isinstance(reading, Reading):
        raise TypeError(f"expected a Reading, found {type(reading).__name__}; EdgeFer gives one for each frame")
    return annotate(image, reading)


def annotate(image: Image, reading: Reading) -> Image:
    """Draw a reading over its frame.

    Each face gets its box, its landmarks, the region that was read where that is not the whole face, a plate with its
    id and label, and a chart: for each of `LABELS`, in this order, its name and a bar. The length of a bar is the
    label's probability: the smoothed one, where there is smoothing. A chart stands below its face, or beside it where
    that hides less. In a crowd, one that would hide others is left out; a face that was not read yet has none.

    Args:
        image: `(height, width, 3)` uint8, BGR; not written to.
        reading: the reading of this frame.

    Returns:
        A new picture of the same shape.
    """
    picture: Image = image.copy()
    unit = max(min(image.shape[:2]) / 360, _MIN_UNIT)
    for face in reading.faces:
        _draw_face(picture, face, unit)
    places = _Places(picture, [face.box for face in reading.faces])
    rate = f"{reading.fps:.1f} FPS  " if reading.fps else ""
    degraded = "  degraded" if reading.degraded else ""
    _draw_plate(places, f"{rate}{reading.backend}{degraded}", _UNKNOWN, (0, 0), unit)
    by_height = sorted(reading.faces, key=lambda face: face.box.y)
    for face in by_height:
        _draw_plate(places, _words(face), _colour(face), face.box, _face_unit(face.box, unit))
    for face in by_height:
        _draw_chart(places, face, _face_unit(face.box, unit))
    return picture


def _colour(face: FaceReading) -> Colour:
    return COLOURS[face.label] if face.label else _UNKNOWN


def _words(face: FaceReading) -> str:
    what = f"{face.label} {face.confidence:.0%}" if face.label else (face.why or "").replace("_", " ")
    return f"{face.id} {what}"


def _face_unit(box: Box, unit: float) -> float:
    return min(unit, max(box.width / _FACE_UNITS, _MIN_UNIT))


def _draw_face(picture: Image, face: FaceReading, unit: float) -> None:
    unit = _face_unit(face.box, unit)
    colour, line = _colour(face), max(round(1.5 * unit), 1)
    x, y, width, height = (round(value) for value in face.box)
    cv2.rectangle(picture, (x, y), (x + width, y + height), colour, line, cv2.LINE_AA)
    for point in face.landmarks.points:
        cv2.circle(picture, (round(point.x), round(point.y)), line, colour, -1, cv2.LINE_AA)
    if face.region is not None:
        corners = np.array(face.region).round().astype(np.int32)
        cv2.polylines(picture, [corners], True, colour, max(line // 2, 1), cv2.LINE_AA)


class _Places:
    """Finds for each plate and chart the place where it hides the least of the faces and of what was drawn before.

    Args:
        picture: the picture to draw on, `(height, width, 3)` uint8, BGR.
        faces: boxes of the faces, which should stay visible.

    Attributes:
        picture: see above.
    """

    def __init__(self, picture: Image, faces: Iterable[Box]) -> None:
        self.picture, self._taken = picture, list(faces)

    def take(
        self, corners: Iterable[tuple[float, float]], width: int, height: int, *, most_hidden: float = float("inf")
    ) -> tuple[int, int] | None:
        """Take the best place for something.

        Args:
            corners: top left corners, the preferred one first; each is moved into the picture.
            width: its width, pixels.
            height: its height, pixels.
            most_hidden: share of others that it may hide.

        Returns:
            Its top left corner, pixels; None where it would hide too much everywhere.
        """
        places = [self._inside(corner, width, height) for corner in corners]
        hidden = overlap(corners_of(places), corners_of(self._taken), "smaller").sum(axis=1)
        best = int(hidden.clip(_HIDDEN).argmin())
        if hidden[best] > most_hidden:
            return None
        place = places[best]
        self._taken.append(place)
        return round(place.x), round(place.y)

    def _inside(self, corner: tuple[float, float], width: int, height: int) -> Box:
        rows, columns = self.picture.shape[:2]
        left, top = min(max(corner[0], 0), max(columns - width, 0)), min(max(corner[1], 0), max(rows - height, 0))
        return Box(left, top, width, height)


def _draw_plate(places: _Places, text: str, colour: Colour, at: Box | tuple[int, int], unit: float) -> None:
    """Draw dark text on a coloured plate.

    Args:
        places: where to draw.
        text: one line.
        colour: the plate's, BGR.
        at: the plate's top left corner, pixels; or a face's box: then the plate goes above or below it.
        unit: the unit of all sizes, pixels.
    """
    scale, thickness, margin = 0.4 * unit, max(round(unit), 1), round(3 * unit)
    (text_width, text_height), below = cv2.getTextSize(text, _FONT, scale, thickness)
    width, height = text_width + 2 * margin, text_height + below + margin
    corners = _above_or_below(at, width, height) if isinstance(at, Box) else [at]
    place = places.take(corners, width, height)
    assert place is not None
    left, top = place
    cv2.rectangle(places.picture, (left, top), (left + width, top + height), colour, -1)
    origin = (left + margin, top + text_height + margin // 2)
    cv2.putText(places.picture, text, origin, _FONT, scale, _INK, thickness, cv2.LINE_AA)


def _draw_chart(places: _Places, face: FaceReading, unit: float) -> None:
    """Draw the probabilities of a face on a dark ground: a row for each label, its name and its bar."""
    probabilities = face.smoothed or face.probabilities
    if not probabilities:
        return
    scale, margin, row = max(0.3 * unit, _MIN_SCALE), round(2 * unit), max(round(9 * unit), 10)
    names = max(cv2.getTextSize(label, _FONT, scale, 1)[0][0] for label in LABELS)
    bars = max(round(face.box.width) - names - 3 * margin, round(30 * unit))
    width, height = names + bars + 3 * margin, len(LABELS) * row + margin
    corners = _around(face.box, width, height, round(2 * unit), above=round(18 * unit))
    place = places.take(corners, width, height, most_hidden=_MOST_HIDDEN)
    if place is None:
        return
    left, top = place
    ground = places.picture[top : top + height, left : left + width]
    ground //= 3
    for number, label in enumerate(LABELS):
        y = top + number * row + margin
        cv2.putText(places.picture, label, (left + margin, y + row - 2 * margin), _FONT, scale, _PAPER, 1, cv2.LINE_AA)
        x, length = left + names + 2 * margin, round(bars * probabilities[label])
        cv2.rectangle(places.picture, (x, y), (x + length, y + row - 2 * margin), COLOURS[label], -1)


def _above_or_below(face: Box, width: int, height: int) -> list[tuple[float, float]]:
    """Top left corners for the plate of a face, the preferred one first."""
    lefts = [face.x + share * (face.width - width) for share in (0, 0.5, 1)]
    return [(left, top) for top, left in product((face.y - height - 1, face.y + face.height + 1), lefts)]


def _around(face: Box, width: int, height: int, gap: int, above: int) -> list[tuple[float, float]]:
    """Top left corners for the chart of a face, the preferred one first; above the face, its plate has room."""
    right, below = face.x + face.width + gap, face.y + face.height + gap
    lefts = [face.x + share * (face.width - width) for share in (0, 0.5, 1)]
    tops = [face.y, below - gap - height]
    beside = [(left, top) for left, top in product((right, face.x - width - gap), tops)]
    return [*((left, below) for left in lefts), *beside, *((left, face.y - height - above) for left in lefts)]
