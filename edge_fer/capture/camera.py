"""The camera thread, and the one frame it holds ready.

    source --read--> camera thread --put--> [one slot] --get--> pipeline

A live source overwrites the slot: the newest frame wins, overwritten ones are counted. A file
waits until the slot is empty, so that nothing is dropped, unless `realtime` paces it like a
camera. A live source that stops is opened again with growing pauses until it comes back;
so is one whose picture is frozen (`picture_health.py`).

What happens to the source is told beside the frames: `Camera.condition` is how it is now,
`Camera.changes` all that happened since the last look.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import Literal, NamedTuple

from edge_fer.capture.picture_health import PictureHealth
from edge_fer.capture.slot import Slot
from edge_fer.capture.sources import USUAL_FPS, Source
from edge_fer.capture.sources.open_source import open_source
from edge_fer.common.backoff import Backoff
from edge_fer.common.deadline import Deadline
from edge_fer.common.text import printable, redact
from edge_fer.errors import SourceError, SourceLost
from edge_fer.settings import CaptureSettings
from edge_fer.types import Frame, Image

CameraState = Literal["starting", "running", "waiting_for_camera", "ended"]

STOP_S = 2.0
"""`Camera.stop` waits so long for the thread to end, and raises when it has not."""

GRACE_S = 20.0
"""Sources keep their own deadlines; one that outlives them by so much is stuck, see `Camera.deadline`."""

_STILLS_FPS = 1.0  # of the scene, for pictures that are no film
_BLIND = {
    "black": "the picture is black: look for a cap on the lens, light, and capture.exposure_ms",
    "white": "the picture is white: overexposed; look at light, and capture.exposure_ms",
}
_CHANGES = 32  # remembered until they are asked for; of more, the newest

Opener = Callable[[CaptureSettings, Callable[[], bool], Callable[[str], None]], Source]


class Condition(NamedTuple):
    """How a source is.

    Attributes:
        state: `ended` is final: it is at its end, failed or was stopped, and its last frame was taken.
        message: one sentence on it, for a person.
    """

    state: CameraState
    message: str


class Camera:
    """Delivers frames of one source from its own thread.

    Args:
        settings: of the source.
        opener: opens it; see `open_source`.
        wake_up: set whenever `get` has something new to say, for a thread that waits for other things, too.
        stopping: the thread's own; every pause of the thread waits on it.
        clock: CLOCK_MONOTONIC, nanoseconds.
        wall: seconds since the epoch.

    Attributes:
        name: of the source, without credentials; always encodable.
        restarts: how often the source was opened again.
        blind: why nothing can be seen, in words, while all of the picture is black or white; else null.
        deadline: of the call of the source that is under way.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        *,
        opener: Opener = open_source,
        wake_up: threading.Event | None = None,
        stopping: threading.Event | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.name = redact(settings.source)
        self.restarts = 0
        self.blind: str | None = None
        self.deadline = Deadline()
        self._condition = Condition("starting", f"opening {self.name}")
        self._changes: deque[Condition] = deque(maxlen=_CHANGES)
        self._settings = settings
        self._opener = opener
        self._stopping = stopping or threading.Event()
        self._clock = clock
        self._wall = wall
        self._slot = Slot(wake_up)
        self._source: Source | None = None
        self._size: tuple[int, ...] = ()
        self._frames = itertools.count()
        self._error: Exception | None = None
        self._backoff = Backoff(settings.retry_s, settings.retry_max_s)
        self._pause_s = 0.0
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    @property
    def condition(self) -> Condition:
        """How the source is now: state and message of one moment."""
        condition = self._condition
        early = condition.state == "ended" and self._slot.full
        return Condition("running", f"reading {self.name}") if early else condition

    @property
    def state(self) -> CameraState:
        """The state of `condition`."""
        return self.condition.state

    @property
    def message(self) -> str:
        """The message of `condition`."""
        return self.condition.message

    @property
    def live(self) -> bool:
        """Whether the source goes on by itself; taken for true until it was opened, known at the first frame."""
        return self._source is None or self._source.live

    @property
    def drops_frames(self) -> bool:
        """Whether frames come at a rate of their own and the newest one wins: of a live source, or a paced file."""
        return self.live or self._settings.realtime

    @property
    def fps(self) -> float | None:
        """What the source says of its rate, frames a second, known at the first frame; null where unknown."""
        return self._source.fps if self._source else None

    @property
    def dropped(self) -> int:
        """Frames overwritten by newer ones."""
        return self._slot.dropped

    @property
    def skipped(self) -> int:
        """Pictures of a folder, or frames of a video, that could not be read."""
        return self._source.skipped if self._source else 0

    def start(self) -> None:
        """Start the thread, once; where it cannot open the source and `wait` is off, `get` raises the error."""
        self._thread.start()

    def changes(self) -> tuple[Condition, ...]:
        """The conditions since the last call, oldest first; `ended` comes after the last frame was taken.

        For one thread. A loss and a return between two frames are both told; of more than 32, the newest.
        """
        changes = []
        while self._changes and not (self._changes[0].state == "ended" and self._slot.full):
            changes.append(self._changes.popleft())
        return tuple(changes)

    def get(self, timeout_s: float) -> Frame | None:
        """Take the frame that lies ready, waiting for one.

        Returns:
            None when none came in time, or when none will come any more, and then `state` is `ended`.

        Raises:
            SourceError: after the last frame, when it was an error that ended the source. Every further
                call raises it too: where `state` became `ended` after a call had given null, the next
                call still tells why.
        """
        frame = self._slot.get(timeout_s)
        if frame is None and self.state == "ended" and self._error is not None:
            raise self._error
        return frame

    def stop(self) -> None:
        """End the thread; may be called at any time, and again.

        Raises:
            SourceError: when it does not end in time.
        """
        self._stopping.set()
        self._slot.close(discard=True)
        if self._thread.ident is None:
            self._tell("ended", f"{self.name} was never opened")
            return
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise SourceError(
                f"expected the camera thread to end within {STOP_S:g} s, found it stuck reading {self.name}; "
                "check the disk or device it reads from"
            )

    def _run(self) -> None:
        try:
            while (source := self._connect()) is not None:
                with closing(source):
                    try:
                        self._deliver(source)
                        break
                    except SourceLost as error:
                        lost = error
                self._retry_later(lost)
        except Exception as error:  # handed to the thread that calls `get`
            if not self._stopping.is_set():
                self._error = error
        finally:
            skipped = f"; {self.skipped} of its pictures could not be read" if self.skipped else ""
            self._tell("ended", str(self._error or f"{self.name} has ended{skipped}"))
            self._slot.close()

    def _connect(self) -> Source | None:
        """Open the source, again and again where the settings allow; null when stopping."""
        while not self._stopping.is_set():
            try:
                with self.deadline.within(self._settings.open_timeout_s + GRACE_S):
                    source = self._opener(self._settings, self._stopping.is_set, self._warn)
            except SourceError as error:
                if self._source is None and not self._settings.wait:
                    raise
                self._retry_later(error)
                continue
            self.restarts += self._source is not None
            self._source = source
            self._tell("running", f"reading {self.name}")
            return source
        return None

    def _deliver(self, source: Source) -> None:
        """Put every frame into the slot until the source ends or the thread is stopping."""
        paced = self._settings.realtime and not source.live
        period_ns = 1e9 / (source.fps or USUAL_FPS)
        started_ns = self._clock()
        health = PictureHealth(self._settings)
        for index in itertools.count():
            if self._stopping.is_set():
                return
            with self.deadline.within(self._settings.read_timeout_s + GRACE_S):
                taken = source.read()
            if taken is None:
                return
            image, captured_ns = taken
            if paced:
                captured_ns = self._wait_until(started_ns + round(index * period_ns))
            if source.live:
                self._judge(health, image, captured_ns)
            # steady for as long as it was away
            if captured_ns - started_ns >= self._pause_s * 1e9 and (health.alive or not source.live):
                self._backoff.reset()
            live = source.live or paced
            self._slot.put(self._frame(image, captured_ns, None if live else index, source.fps), overwrite=live)

    def _judge(self, health: PictureHealth, image: Image, captured_ns: int) -> None:
        """Tell, once each, what the pictures of a live source tell of it.

        Raises:
            SourceLost: when they are frozen.
        """
        before, self._size = self._size, image.shape[1::-1]
        if before not in ((), self._size):
            self._tell("running", "the picture is now {}x{}, and was {}x{}".format(*self._size, *before))
        health.look(image, captured_ns)
        if health.frozen:
            raise SourceLost(f"{self.name} is frozen: the same picture for {self._settings.frozen_s:g} s")
        blind = _BLIND[health.blind] if health.blind else None
        if blind != self.blind:
            self.blind = blind
            self._tell("running", blind or "the picture shows something again")

    def _frame(self, image: Image, captured_ns: int, index: int | None, fps: float | None) -> Frame:
        """A frame; `index` is its place in a file that is read as fast as it goes."""
        captured_at = self._wall() - (self._clock() - captured_ns) / 1e9
        scene_ns = captured_ns if index is None else round(index * 1e9 / (fps or _STILLS_FPS))
        still = index is not None and fps is None
        return Frame(next(self._frames), image, captured_ns, captured_at, scene_ns, still)

    def _wait_until(self, due_ns: int) -> int:
        """Wait for a moment of the clock and return the time then; a moment that has passed costs nothing."""
        early_ns = due_ns - self._clock()
        if early_ns > 0:
            self._stopping.wait(early_ns / 1e9)
        return self._clock()

    def _retry_later(self, error: SourceError) -> None:
        if self._stopping.is_set():
            return
        self._pause_s, self.blind = self._backoff.failed(), None
        self._tell("waiting_for_camera", f"{error}; trying again in {self._pause_s:g} s")
        self._stopping.wait(self._pause_s)

    def _warn(self, message: str) -> None:
        """Tell what a source that goes on says of itself."""
        self._tell("running", message)

    def _tell(self, state: CameraState, message: str) -> None:
        self._condition = Condition(state, printable(message))
        self._changes.append(self._condition)
