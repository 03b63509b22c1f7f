"""Which face is classified next: beside the search of the next frame, in one thread for each device.

There is one crop a face, always the newest; a crop that was never classified is replaced, not queued. The face
whose classification is oldest comes next, and one whose crop has changed since then counts as up to twice as old; a
new face comes before all others. No face is classified by two threads at a time. So with the same n faces in view
none waits longer than 2 n classifications.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import cv2
import numpy as np

from edge_fer.common.deadline import Deadline
from edge_fer.errors import BackendError
from edge_fer.expression import ExpressionModel
from edge_fer.types import AlignedFace, Expression, Image, Quality

STOP_S = 5.0
PATIENCE_S = 30.0  # on the slowest board that is known a classification takes 2 s

_THUMBNAIL = 16  # side of the copies that crops are compared on, pixels
_CHANGED = 12.0  # grey levels, on average: another expression


@dataclass(frozen=True, slots=True)
class Classification:
    """What a face was classified as.

    Attributes:
        expression: the probabilities.
        captured_ns: capture time of the frame that the crop is from, CLOCK_MONOTONIC, nanoseconds.
        scene_ns: time of that frame in the scene, nanoseconds.
        quality: how good the crop is.
    """

    expression: Expression
    captured_ns: int
    scene_ns: int
    quality: Quality

    @classmethod
    def of(cls, face: AlignedFace, expression: Expression) -> Classification:
        """What a model says of a face, with the time of the picture that it was read from."""
        age_ns = expression.age_ns
        return cls(expression, face.captured_ns - age_ns, face.scene_ns - age_ns, face.quality)


@dataclass(slots=True)
class _Face:
    """The newest crop of a face, and its newest classification.

    Attributes:
        crop: the newest crop.
        pending: whether the crop is still to be classified.
        thumbnail: a small copy of the crop.
        last: the newest classification, of this crop or an older one.
        last_thumbnail: a small copy of the crop that was classified last.
    """

    crop: AlignedFace
    pending: bool
    thumbnail: Image
    last: Classification | None = None
    last_thumbnail: Image | None = None


class ClassificationScheduler:
    """Has a model classify faces, by turns.

    Args:
        model: classifies one face at a time in each of its `parallel` threads; used by the scheduler's threads only,
            but for `forget`.
        stage: times each classification; see `Monitor.stage`.
        wake_up: set when every crop that was offered is classified, or when a thread has failed.
        duty_cycle: asked before each classification which part of them to do: 1 for all. Of the others the face keeps
            its last classification, and the device rests for as long as one takes; a new face is always classified.
        patience_s: `wait` waits so long for one face, and raises when it was not classified, seconds.
        stop_s: `stop` waits so long for a classification under way, and raises when it has not ended, seconds.

    Attributes:
        deadline: the deadline of the classifications under way.
    """

    def __init__(
        self,
        model: ExpressionModel,
        stage: Callable[[str], AbstractContextManager[None]],
        wake_up: threading.Event,
        duty_cycle: Callable[[], float] = lambda: 1.0,
        *,
        patience_s: float = PATIENCE_S,
        stop_s: float = STOP_S,
    ) -> None:
        self._patience_s, self._stop_s = patience_s, stop_s
        self._model, self._stage, self._wake_up, self._duty_cycle = model, stage, wake_up, duty_cycle
        self._faces: dict[int, _Face] = {}
        self._in_progress: set[int] = set()
        self._error: Exception | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self.deadline = Deadline()
        self._threads = [threading.Thread(target=self._run, name="labels", daemon=True) for _ in range(model.parallel)]
        for thread in self._threads:
            thread.start()

    def offer(self, faces: Sequence[AlignedFace]) -> None:
        """Hand in the faces of a frame; faces that are out of view for the moment keep their classification.

        Raises:
            EdgeFerError: the error that a thread failed with.
        """
        thumbnails = [_thumbnail(face.image) for face in faces]
        with self._changed:
            self._raise_error()
            for face, thumbnail in zip(faces, thumbnails, strict=True):
                known = self._faces.get(face.track.id)
                last, last_thumbnail = (known.last, known.last_thumbnail) if known else (None, None)
                self._faces[face.track.id] = _Face(face, True, thumbnail, last, last_thumbnail)
            self._changed.notify_all()

    def keep(self, ids: frozenset[int]) -> None:
        """Forget all faces but these."""
        with self._changed:
            ended = frozenset(self._faces) - ids
            for key in ended:
                del self._faces[key]
        if ended:
            self._model.forget(ended)

    def classifications(self) -> Mapping[int, Classification]:
        """The newest classification of each face that has one, by track id.

        Raises:
            EdgeFerError: the error that a thread failed with.
        """
        with self._changed:
            self._raise_error()
            return {key: face.last for key, face in self._faces.items() if face.last is not None}

    @property
    def done(self) -> bool:
        """Whether every crop was classified.

        Raises:
            EdgeFerError: the error that a thread failed with.
        """
        with self._changed:
            self._raise_error()
            return self._is_done()

    def wait(self) -> None:
        """Wait until every crop was classified.

        Raises:
            EdgeFerError: the error that a thread failed with; BackendError when a face takes too long.
        """
        with self._changed:
            self._raise_error()
            while not self._is_done():
                if not self._changed.wait(self._patience_s):
                    raise BackendError(
                        f"expected a face to be read within {self._patience_s:g} s, found the device stuck; "
                        "restart the box"
                    )
                self._raise_error()

    def stop(self) -> None:
        """End the threads after the classifications under way.

        Raises:
            BackendError: when that does not end in time.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        end = time.monotonic() + self._stop_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            raise BackendError(
                f"expected the device to answer within {self._stop_s:g} s, found it stuck; restart the box"
            )

    def _run(self) -> None:
        due = took_s = 0.0
        try:
            while (chosen := self._next(due := due + self._duty_cycle())) is not None:
                key, face, is_classified = chosen
                if is_classified:
                    started, due = time.monotonic(), max(due - 1, 0.0)
                    self._finish(key, face, self._classify(face.crop))
                    took_s = time.monotonic() - started
                else:
                    self._rest(took_s)
                    self._finish(key, face, None)
        except Exception as error:  # handed to whoever asks next
            with self._changed:
                self._error = error
                self._changed.notify_all()
            self._wake_up.set()

    def _classify(self, face: AlignedFace) -> Classification:
        with self._stage("classify"), self.deadline.within(self._patience_s):
            return Classification.of(face, self._model.classify(face))

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)

    def _next(self, due: float) -> tuple[int, _Face, bool] | None:
        """Wait for crops; the one of highest priority, to be classified, or of lowest, to go without; None: stop.

        Args:
            due: classifications that are due; below 1 a crop goes without, unless a face is new.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._pending())
            if self._stopping:
                return None
            pending = self._pending()
            is_classified = due >= 1 or any(face.last is None for _, face in pending)
            choose = max if is_classified else min
            key, face = choose(pending, key=lambda pair: _priority(pair[1]))
            self._in_progress.add(key)
            return key, face, is_classified

    def _pending(self) -> list[tuple[int, _Face]]:
        """The faces that are neither classified nor in progress."""
        return [(key, face) for key, face in self._faces.items() if face.pending and key not in self._in_progress]

    def _finish(self, key: int, face: _Face, result: Classification | None) -> None:
        """Keep a result, if there is one, beside the newest crop, which may be another by now."""
        with self._changed:
            self._in_progress.discard(key)
            newest = self._faces.get(key)
            if newest is not None:
                newest.pending = newest is not face
                if result is not None:
                    newest.last, newest.last_thumbnail = result, face.thumbnail
            done = self._is_done()
            self._changed.notify_all()
        if newest is None:  # it has ended meanwhile: what the model remembers since then would stay for good
            self._model.forget(frozenset({key}))
        if done:
            self._wake_up.set()

    def _is_done(self) -> bool:
        return not any(face.pending for face in self._faces.values())

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


def priority(last: Classification | None, scene_ns: int, change: float) -> float:
    """How soon a face should be classified: the age of its classification, up to doubled by change; infinite if new.

    Args:
        last: the newest classification of the face, if any.
        scene_ns: time of the newest crop in the scene, nanoseconds.
        change: how much the crop has changed since the one that was classified, 0..1.
    """
    return float("inf") if last is None else (scene_ns - last.scene_ns) * (1 + change)


def _priority(face: _Face) -> float:
    return priority(face.last, face.crop.scene_ns, _change(face))


def _change(face: _Face) -> float:
    if face.last_thumbnail is None:
        return 1.0
    return min(float(np.mean(cv2.absdiff(face.thumbnail, face.last_thumbnail))) / _CHANGED, 1.0)


def _thumbnail(image: Image) -> Image:
    return np.asarray(cv2.resize(image, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA), np.uint8)
