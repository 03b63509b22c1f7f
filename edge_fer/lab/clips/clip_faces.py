"""The faces of a clip, found, followed and cut out by the runtime's own recognizer."""

from __future__ import annotations

from contextlib import nullcontext

import cv2

from edge_fer.common.closeable import Closeable
from edge_fer.faces.boxes import corners_of, overlap
from edge_fer.lab.clips.cut_record import PixelBox
from edge_fer.recognizer import Recognizer
from edge_fer.settings import Settings
from edge_fer.types import Box, Frame, Image

Pictures = dict[int, bytes]
"""Encoded pictures by the numbers of their frames."""


class ClipFaces(Closeable):
    """Finds the faces of one clip, frame by frame.

    Args:
        settings: of the recognizer.
        boxes: where the face is that the clip is about, by frame, pixels; empty: it is the largest one.

    Raises:
        ModelError: when a network is missing or corrupt.
        BackendError: when the processor cannot run one.
    """

    def __init__(self, settings: Settings, boxes: tuple[PixelBox | None, ...] = ()) -> None:
        self._recognizer = Recognizer(settings, lambda _: nullcontext())
        self._boxes = boxes
        self._pictures: dict[int, Pictures] = {}  # by track
        self._worth: dict[int, float] = {}

    def add(self, number: int, image: Image, at_ms: float, *, keep: bool) -> None:
        """Take the next frame.

        Args:
            number: of the frame.
            image: `(height, width, 3)` uint8, BGR.
            at_ms: its presentation time, milliseconds.
            keep: whether its faces are wanted; otherwise they are only followed.
        """
        at_ns = round(at_ms * 1e6)
        found = self._recognizer.find(Frame(number, image, at_ns, 0.0, at_ns))
        for face in found.faces if keep else ():
            track, box = face.track.id, face.track.face.box
            self._worth[track] = self._worth.get(track, 0.0) + self._worth_of(box, number)
            self._pictures.setdefault(track, {})[number] = encoded(".png", face.image)

    def chosen(self) -> Pictures:
        """The faces of one track: the one that the clip is about, or that takes the most room; empty without any."""
        best = max(self._worth, key=lambda track: self._worth[track], default=None)
        return self._pictures[best] if best is not None and self._worth[best] > 0 else {}

    def close(self) -> None:
        """Close the networks."""
        self._recognizer.close()

    def _worth_of(self, box: Box, number: int) -> float:
        """How much a place in a frame speaks for a face."""
        if not self._boxes:
            return box.width * box.height
        about = self._boxes[number] if number < len(self._boxes) else None
        return float(overlap(corners_of([box]), corners_of([Box(*about)]))[0, 0]) if about is not None else 0.0


def encoded(kind: str, image: Image, *options: int) -> bytes:
    """A picture as a file of a kind, `.png` or `.jpg`."""
    return cv2.imencode(kind, image, options)[1].tobytes()
