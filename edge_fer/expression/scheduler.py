"""Labels for the faces in view, read beside the search of the next frame: one thread for each device that reads.

There is one crop a face, always the newest; a crop that was never read is replaced, not queued. The face
that has waited longest is read next, and one whose looks have changed waits up to half as long; a new face
comes before all others. No face is read by two threads at a time. So with the same n faces in view none
waits longer than 2 n readings.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from edge_fer.common.deadline import Deadline
from edge_fer.errors import BackendError
from edge_fer.types import AlignedFace, Expression, Image, Quality

STOP_S = 5.0
"""`Labeller.stop` waits so long for a reading under way, and raises when it has not ended."""

PATIENCE_S = 30.0
"""`Labeller.wait` waits so long for one face; on the slowest board that is known one takes 2 s."""

_THUMBNAIL = 16  # side of the copies that looks are compared on
_CHANGED = 12.0  # grey levels, on average: another expression


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read of a face.

    Attributes:
        expression: the probabilities.
        captured_ns: of the frame that it was read from.
        scene_ns: of that frame.
        quality: of the crop.
    """

    expression: Expression
    captured_ns: int
    scene_ns: int
    quality: Quality


@dataclass(slots=True)
class _Face:
    """The newest crop of a face, and what is known of it.

    Attributes:
        crop: the newest.
        captured_ns: of its frame.
        scene_ns: of its frame.
        fresh: whether it was not read yet.
        looks: a small copy of the crop.
        label: what was read last, of this crop or an older one.
        read_looks: of the crop that was read last.
    """

    crop: AlignedFace
    captured_ns: int
    scene_ns: int
    fresh: bool
    looks: Image
    label: Answer | None = None
    read_looks: Image | None = None


class Reader(Protocol):
    """Reads one face; see `edge_fer.expression.classifier.Classifier`."""

    def classify(self, face: Image) -> Expression:
        """The probabilities of one crop, `(size, size)` uint8, grey."""
        ...


class Labeller:
    """Reads faces by turns.

    Args:
        classifier: reads one face; used by the labeller's threads only.
        stage: times each reading; see `Monitor.stage`.
        on_done: called in a labeller's thread when every crop that was offered is read.
        threads: how many faces are read at a time.
        share: asked before each reading, which part of them to do: 1 for all. Of the others the face keeps the label
            that it has, and the device rests for as long as a reading takes; a new face is read in any case.

    Attributes:
        deadline: of the readings under way.
    """

    def __init__(
        self,
        classifier: Reader,
        stage: Callable[[str], AbstractContextManager[None]],
        on_done: Callable[[], None],
        threads: int = 1,
        share: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._classifier, self._stage, self._on_done, self._share = classifier, stage, on_done, share
        self._faces: dict[int, _Face] = {}
        self._being_read: set[int] = set()
        self._error: Exception | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self.deadline = Deadline()
        self._threads = [threading.Thread(target=self._run, name="labels", daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def offer(self, faces: Sequence[AlignedFace], captured_ns: int, scene_ns: int) -> None:
        """Give the faces of a frame; the others are no longer in view, and what is known of them is kept.

        Raises:
            EdgeFerError: what the thread failed with.
        """
        seen = [_thumbnail(face.image) for face in faces]
        with self._changed:
            self._raise_error()
            for face, looks in zip(faces, seen, strict=True):
                known = self._faces.get(face.track.id)
                label, read_looks = (known.label, known.read_looks) if known else (None, None)
                self._faces[face.track.id] = _Face(face, captured_ns, scene_ns, True, looks, label, read_looks)
            self._changed.notify_all()

    def keep(self, ids: frozenset[int]) -> None:
        """Forget all faces but these."""
        with self._changed:
            self._faces = {key: face for key, face in self._faces.items() if key in ids}

    def labels(self) -> Mapping[int, Answer]:
        """The newest label of each face that has one, by id."""
        with self._changed:
            self._raise_error()
            return {key: face.label for key, face in self._faces.items() if face.label is not None}

    @property
    def done(self) -> bool:
        """Whether every crop was read."""
        with self._changed:
            self._raise_error()
            return self._is_done()

    def wait(self) -> None:
        """Wait until every crop was read.

        Raises:
            EdgeFerError: what the thread failed with; BackendError when a face takes longer than `PATIENCE_S`.
        """
        with self._changed:
            self._raise_error()
            while not self._is_done():
                if not self._changed.wait(PATIENCE_S):
                    raise BackendError(
                        f"expected a face to be read within {PATIENCE_S:g} s, found the device stuck; restart the box"
                    )
                self._raise_error()

    def _is_done(self) -> bool:
        return not any(face.fresh for face in self._faces.values())

    def stop(self) -> None:
        """End the threads after the readings under way.

        Raises:
            BackendError: when that does not end in time.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        end = time.monotonic() + STOP_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            raise BackendError(f"expected the device to answer within {STOP_S:g} s, found it stuck; restart the box")

    def _run(self) -> None:
        due = took_s = 0.0
        try:
            while (chosen := self._next(due := due + self._share())) is not None:
                key, face, is_read = chosen
                if is_read:
                    started, due = time.monotonic(), max(due - 1, 0.0)
                    self._take(key, face, self._read(face))
                    took_s = time.monotonic() - started
                else:
                    self._rest(took_s)
                    self._take(key, face, None)
        except Exception as error:  # handed to whoever asks next
            with self._changed:
                self._error = error
                self._changed.notify_all()
            self._on_done()

    def _read(self, face: _Face) -> Answer:
        with self._stage("classify"), self.deadline.within(PATIENCE_S):
            expression = self._classifier.classify(face.crop.image)
        return Answer(expression, face.captured_ns, face.scene_ns, face.crop.quality)

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)

    def _next(self, due: float) -> tuple[int, _Face, bool] | None:
        """Wait for crops; the most urgent one, to be read, or the least urgent one, to go without; null when stopping.

        Args:
            due: readings that are due; below 1 a crop goes without, unless a face is new.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._waiting())
            if self._stopping:
                return None
            waiting = self._waiting()
            is_read = due >= 1 or any(face.label is None for _, face in waiting)
            choose = max if is_read else min
            key, face = choose(waiting, key=lambda pair: urgency(pair[1].label, pair[1].scene_ns, _change(pair[1])))
            self._being_read.add(key)
            return key, face, is_read

    def _waiting(self) -> list[tuple[int, _Face]]:
        """The faces that nobody has read yet, nor is about to."""
        return [(key, face) for key, face in self._faces.items() if face.fresh and key not in self._being_read]

    def _take(self, key: int, face: _Face, label: Answer | None) -> None:
        """Keep what was read, if it was, with the newest crop if another came meanwhile."""
        with self._changed:
            self._being_read.discard(key)
            newest = self._faces.get(key)
            if newest is not None:
                newest.fresh = newest is not face
                if label is not None:
                    newest.label, newest.read_looks = label, face.looks
            done = self._is_done()
            self._changed.notify_all()
        if done:
            self._on_done()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


def urgency(label: Answer | None, scene_ns: int, change: float) -> float:
    """How much a face wants to be read: the age of its label, up to doubled by change; without one, infinite.

    Args:
        label: what was read last.
        scene_ns: of the newest crop.
        change: of its looks since then, 0..1.
    """
    return float("inf") if label is None else (scene_ns - label.scene_ns) * (1 + change)


def _change(face: _Face) -> float:
    if face.read_looks is None:
        return 1.0
    return min(float(np.mean(cv2.absdiff(face.looks, face.read_looks))) / _CHANGED, 1.0)


def _thumbnail(image: Image) -> Image:
    return np.asarray(cv2.resize(image, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA), np.uint8)
