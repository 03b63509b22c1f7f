"""Pictures for people: boxes, landmarks and labels drawn over a frame."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import cv2

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
_INK = (20, 20, 20)
_UNKNOWN = (150, 150, 150)
_MIN_UNIT = 0.9  # the unit of all sizes, pixels; smaller text cannot be read
_FACE_UNITS = 60.0  # a face that is narrower than so many units gets a smaller unit
_HIDDEN = 0.1  # a plate may hide this share of others before another place is tried


def annotate(image: Image, reading: Reading) -> Image:
    """Draw a reading over its frame.

    Each face gets its box, its landmarks, a plate with its id and label, and below it a bar for each of `LABELS`, in
    this order. The length of a bar is the label's probability: the smoothed one, where there is smoothing.

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
    plates = _Plates(picture, [face.box for face in reading.faces])
    rate = f"{reading.fps:.1f} FPS  " if reading.fps else ""
    plates.draw(f"{rate}{reading.backend}" + ("  degraded" if reading.degraded else ""), _UNKNOWN, (0, 0), unit)
    for face in sorted(reading.faces, key=lambda face: face.box.y):
        plates.draw(_words(face), _colour(face), face.box, _face_unit(face.box, unit))
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
    colour, line, thick = _colour(face), max(round(1.5 * unit), 1), _bar(unit)
    x, y, width, height = (round(value) for value in face.box)
    cv2.rectangle(picture, (x, y), (x + width, y + height), colour, line, cv2.LINE_AA)
    for point in face.landmarks.points:
        cv2.circle(picture, (round(point.x), round(point.y)), line, colour, -1, cv2.LINE_AA)
    top = y + height + _gap(unit)
    for label, probability in (face.smoothed or face.probabilities).items():
        cv2.rectangle(picture, (x, top), (x + round(width * probability), top + thick - 1), COLOURS[label], -1)
        top += thick + 1


def _gap(unit: float) -> int:
    """The distance between a box and its bars, pixels."""
    return round(3 * unit)


def _bar(unit: float) -> int:
    """The thickness of a bar, pixels."""
    return max(round(3 * unit), 2)


class _Plates:
    """Dark text on coloured plates, each where it hides the least of the faces and of earlier plates.

    Args:
        picture: the picture to draw on, `(height, width, 3)` uint8, BGR.
        faces: boxes of the faces, which should stay visible.
    """

    def __init__(self, picture: Image, faces: Iterable[Box]) -> None:
        self._picture, self._taken = picture, list(faces)

    def draw(self, text: str, colour: Colour, at: Box | tuple[int, int], unit: float) -> None:
        """Draw one plate.

        Args:
            text: one line of text.
            colour: the plate's colour, BGR.
            at: the plate's top left corner, pixels; or a face's box: then the plate goes above it or below its bars.
            unit: the unit of all sizes, pixels.
        """
        scale, thickness, margin = 0.4 * unit, max(round(unit), 1), round(3 * unit)
        (text_width, text_height), below = cv2.getTextSize(text, _FONT, scale, thickness)
        width, height = text_width + 2 * margin, text_height + below + margin
        corners = _beside(at, width, height, unit) if isinstance(at, Box) else [at]
        plate = self._freest([self._inside(corner, width, height) for corner in corners])
        self._taken.append(plate)
        left, top = round(plate.x), round(plate.y)
        cv2.rectangle(self._picture, (left, top), (left + width, top + height), colour, -1)
        origin = (left + margin, top + text_height + margin // 2)
        cv2.putText(self._picture, text, origin, _FONT, scale, _INK, thickness, cv2.LINE_AA)

    def _inside(self, corner: tuple[float, float], width: int, height: int) -> Box:
        """The plate with its top left corner there, moved into the picture where it would stick out."""
        rows, columns = self._picture.shape[:2]
        left, top = min(max(corner[0], 0), max(columns - width, 0)), min(max(corner[1], 0), max(rows - height, 0))
        return Box(left, top, width, height)

    def _freest(self, plates: list[Box]) -> Box:
        """The plate that hides least; of several, the first."""
        hidden = overlap(corners_of(plates), corners_of(self._taken), "smaller").sum(axis=1)
        return plates[int(hidden.clip(_HIDDEN).argmin())]


def _beside(face: Box, width: int, height: int, unit: float) -> list[tuple[float, float]]:
    """Top left corners for the plate of a face, the preferred one first."""
    bars = _gap(unit) + len(LABELS) * (_bar(unit) + 1)
    lefts = [face.x + share * (face.width - width) for share in (0, 0.5, 1)]
    tops = face.y - height - 1, face.y + face.height + bars
    return [(left, top) for top, left in product(tops, lefts)]
