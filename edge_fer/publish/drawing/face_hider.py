"""Hides the faces of all pictures that leave a run.

    picture -> smaller copy -> search for faces -> [pictures that wait] -> squares over every head -> enlarged copy

What a reading tells is made for speed: between key frames faces are only followed, a new one is unknown for some
tenths of a second, and there is a largest number of faces. So each picture that somebody will see is searched by
itself, for smaller and less certain faces than a reading names, all of them. Who is missed in one picture, such as
a face that is half in view or moves fast, is found in one nearby: so a picture waits for the ones after it, and the
places of the faces in all those around it are hidden in it as well, up to the next cut. It leaves with the detail that
was searched, so that nobody can be made out whom a search could not find.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.faces.derotate import derotate
from edge_fer.faces.detectors import Detector, open_detector
from edge_fer.faces.enhance import Enhancer
from edge_fer.faces.keyframes import is_cut, shrink
from edge_fer.faces.resize import fit
from edge_fer.inference.model_store import ModelStore
from edge_fer.publish.drawing.blur import blur_heads
from edge_fer.schema import Reading
from edge_fer.settings import Settings
from edge_fer.types import Box, Image

_AFTER, _AFTER_NS = 5, 500_000_000
_BEFORE, _BEFORE_NS = 15, 1_500_000_000
"""The faces of so many pictures after one and before it are hidden in it, too, unless they are further away in time."""

_SMALLEST = 16
"""Side of the smallest face that is searched, pixels of the smaller copy: the least that the detector can, and of a
smaller one nothing can be made out."""

_THRESHOLDS, _SCORE = (0.5, 0.5, 0.4), 0.4
"""Of the detector: rather is something hidden that is no face than a face shown."""

_MOST_FACES = 1000
_BANKS_DEG = (-35.0, 0.0, 35.0)
"""Angles at which the pictures of a vehicle that banks are searched."""


class Hider(Protocol):
    """What a sink's pictures pass before anybody sees them; used in one thread at a time."""

    def add(self, image: Image, reading: Reading) -> Iterator[tuple[Image, Reading]]:
        """Take the next picture, and give those that may be seen by now, in order.

        Args:
            image: `(height, width, 3)` uint8, BGR; not written to.
            reading: the reading of this frame.

        Raises:
            BackendError: when the search fails: then nothing is given.
        """
        ...

    def flush(self) -> Iterator[tuple[Image, Reading]]:
        """Give the pictures that still wait, as at the end of a recording."""
        ...

    def close(self) -> None:
        """Free the networks."""
        ...


def open_hider(settings: Settings) -> Hider:
    """What hides the faces in the pictures of one sink; what shows them, where the settings say so.

    Args:
        settings: the run's settings.

    Raises:
        ModelError: when a network is missing or corrupt.
        BackendError: when the CPU cannot run one.
    """
    if not settings.privacy.blur_faces:
        return ShowAll()
    detect = settings.detect.model_copy(
        update={
            "kind": "mtcnn",  # finds the smallest faces, and leaves an accelerator to the run
            "min_face": min(_SMALLEST, settings.detect.min_face),
            "thresholds": _THRESHOLDS,
            "score": _SCORE,
            "max_faces": _MOST_FACES,
        }
    )
    return FaceHider(settings, open_detector(detect, ModelStore(settings.models)))


class ShowAll:
    """Hides nothing."""

    def add(self, image: Image, reading: Reading) -> Iterator[tuple[Image, Reading]]:
        """Give the picture; see `Hider.add`."""
        yield image, reading

    def flush(self) -> Iterator[tuple[Image, Reading]]:
        """No picture waits; see `Hider.flush`."""
        yield from ()

    def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class _Searched:
    """A picture that was searched.

    Attributes:
        image: `(height, width, 3)` uint8, BGR: the smaller copy of the frame.
        shape: of the frame.
        reading: the reading of this frame.
        boxes: the faces that were found in it, pixels of the smaller copy.
        nearby: those of the pictures around it.
    """

    image: Image
    shape: tuple[int, ...]
    reading: Reading
    boxes: tuple[Box, ...]
    nearby: list[Box]


class FaceHider(Closeable):
    """Hides all faces of pictures, which come out some pictures later; see `Hider` and the top of this module.

    Args:
        settings: the run's settings.
        detector: finds the faces; it is closed with the hider.
    """

    def __init__(self, settings: Settings, detector: Detector) -> None:
        self._detector = detector
        self._enhancer = Enhancer(settings.enhance)
        roll, self._size = settings.detect.roll, settings.detect.size
        self._rolls_deg: tuple[float | None, ...] = _BANKS_DEG if roll == "mavlink" else (roll,)
        self._waiting: deque[_Searched] = deque()
        self._earlier: deque[tuple[int, tuple[Box, ...]]] = deque(maxlen=_BEFORE)  # when, and where faces were
        self._last: tuple[tuple[int, ...], NDArray[np.float32]] | None = None

    def add(self, image: Image, reading: Reading) -> Iterator[tuple[Image, Reading]]:
        """Take a picture and give earlier ones; see `Hider.add`."""
        small, now_ns = fit(image, self._size), reading.captured_ns
        if self._begins_scene(small):
            yield from self.flush()
        found = self._search(small, image, reading)
        while self._earlier and now_ns - self._earlier[0][0] > _BEFORE_NS:
            self._earlier.popleft()
        for waiting in self._waiting:
            waiting.nearby += found
        nearby = [box for _, boxes in self._earlier for box in boxes]
        self._waiting.append(_Searched(small, image.shape, reading, found, nearby))
        self._earlier.append((now_ns, found))
        while len(self._waiting) > _AFTER or now_ns - self._waiting[0].reading.captured_ns >= _AFTER_NS:
            yield _hidden(self._waiting.popleft())

    def flush(self) -> Iterator[tuple[Image, Reading]]:
        """Give what waits; see `Hider.flush`."""
        self._earlier.clear()
        while self._waiting:
            yield _hidden(self._waiting.popleft())

    def close(self) -> None:
        """Free the networks."""
        self._detector.close()

    def _begins_scene(self, image: Image) -> bool:
        before, self._last = self._last, (image.shape, shrink(image))
        return before is not None and (before[0] != image.shape or is_cut(self._last[1], before[1]))

    def _search(self, small: Image, image: Image, reading: Reading) -> tuple[Box, ...]:
        """The faces of a picture, and those that its reading has, pixels of its smaller copy."""
        enhanced = self._enhancer.enhance(small)
        views = [derotate(enhanced, self._size, roll_deg) for roll_deg in self._rolls_deg]
        found = [face.box for view in views for face in view.to_frame(self._detector.find(view.image), small)]
        x, y = small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]
        known = (face.box for face in reading.faces)
        return (*found, *(Box(box.x * x, box.y * y, box.width * x, box.height * y) for box in known))


def _hidden(picture: _Searched) -> tuple[Image, Reading]:
    """The picture as it may be seen, in the size of its frame."""
    blurred = blur_heads(picture.image, [*picture.boxes, *picture.nearby])
    height, width = picture.shape[:2]
    if blurred.shape != picture.shape:
        blurred = np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return blurred, picture.reading
