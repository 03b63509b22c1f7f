"""Pictures for people: boxes, landmarks and labels drawn over a frame."""

from __future__ import annotations

import cv2

from edge_fer.types import FaceReading, Image, Label, Reading

COLOURS: dict[Label, tuple[int, int, int]] = {
    "anger": (60, 60, 230),
    "disgust": (80, 150, 60),
    "fear": (200, 80, 160),
    "happiness": (40, 200, 250),
    "sadness": (220, 150, 60),
    "surprise": (60, 140, 250),
    "neutral": (210, 210, 210),
}
"""BGR, told apart on dark and on bright pictures."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK = (20, 20, 20)
_UNKNOWN = (150, 150, 150)


def annotate(image: Image, reading: Reading) -> Image:
    """Draw a reading over its frame.

    Args:
        image: `(height, width, 3)` uint8, BGR; not written to.
        reading: of this frame.

    Returns:
        A new picture of the same shape.
    """
    picture: Image = image.copy()
    unit = max(min(image.shape[:2]) / 360, 0.9)  # smaller text cannot be read
    rate = f"{reading.fps:.1f} FPS  " if reading.fps else ""
    state = f"{rate}{reading.backend}" + ("  degraded" if reading.degraded else "")
    _draw_text(picture, state, (0, 0), _UNKNOWN, unit)
    for face in reading.faces:
        _draw_face(picture, face, unit)
    return picture


def _draw_face(picture: Image, face: FaceReading, unit: float) -> None:
    colour = COLOURS[face.label] if face.label else _UNKNOWN
    x, y, width, height = (round(value) for value in face.box)
    cv2.rectangle(picture, (x, y), (x + width, y + height), colour, max(round(1.5 * unit), 1), cv2.LINE_AA)
    for point in face.landmarks.points:
        cv2.circle(picture, (round(point.x), round(point.y)), max(round(1.5 * unit), 1), colour, -1, cv2.LINE_AA)
    text = (
        f"{face.id} {face.label} {face.confidence:.0%}"
        if face.label
        else f"{face.id} {(face.why or '').replace('_', ' ')}"
    )
    _draw_text(picture, text, (x, y - round(16 * unit)), colour, unit)
    _draw_bars(picture, face, (x, y + height + round(3 * unit)), width, unit)


def _draw_text(picture: Image, text: str, corner: tuple[int, int], colour: tuple[int, int, int], unit: float) -> None:
    """Dark text on a coloured plate whose top left corner is as near to `corner` as the picture allows."""
    scale, thickness, margin = 0.4 * unit, max(round(unit), 1), round(3 * unit)
    (width, height), below = cv2.getTextSize(text, _FONT, scale, thickness)
    plate_width, plate_height = width + 2 * margin, height + below + margin
    left = min(max(corner[0], 0), max(picture.shape[1] - plate_width, 0))
    top = min(max(corner[1], 0), max(picture.shape[0] - plate_height, 0))
    cv2.rectangle(picture, (left, top), (left + plate_width, top + plate_height), colour, -1)
    origin = (left + margin, top + height + margin // 2)
    cv2.putText(picture, text, origin, _FONT, scale, _INK, thickness, cv2.LINE_AA)


def _draw_bars(picture: Image, face: FaceReading, corner: tuple[int, int], width: int, unit: float) -> None:
    """One bar a label, as long as its probability, in the order of `LABELS`."""
    thick = max(round(3 * unit), 2)
    for row, (label, probability) in enumerate(face.probabilities.items()):
        left, top = corner[0], corner[1] + row * (thick + 1)
        cv2.rectangle(picture, (left, top), (left + round(width * probability), top + thick - 1), COLOURS[label], -1)
