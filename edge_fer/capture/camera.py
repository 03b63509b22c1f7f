"""The camera thread, and the one frame that it holds ready.

    source --read--> camera thread --put--> [one slot] --get--> pipeline

A live source overwrites the slot: the newest frame wins, and overwritten frames are counted. A file waits until the
slot is empty, so that nothing is dropped, unless `realtime` paces it like a camera. A live source that stops is opened
again, after pauses that grow, until it comes back; so is one whose picture is frozen (`picture_health.py`). The pauses
are longer where it refuses the password.

What happens to the source is reported beside the frames: `Camera.condition` is its state now, `Camera.changes` are all
conditions since the last call.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import closing

from edge_fer.capture.condition import CameraState, Condition, ConditionLog
from edge_fer.capture.picture_health import PictureHealth
from edge_fer.capture.scene_clock import SceneClock
from edge_fer.capture.slot import Slot
from edge_fer.capture.sources import USUAL_FPS, Source, SourceFrame
from edge_fer.capture.sources.open_source import open_source
from edge_fer.common.backoff import Backoff
from edge_fer.common.deadline import Deadline
from edge_fer.common.text import redact
from edge_fer.errors import SourceError, SourceLost, SourceRefused
from edge_fer.settings import CaptureSettings
from edge_fer.types import Frame

STOP_S = 2.0
"""`Camera.stop` waits so long for the thread to end, and raises when it has not."""

GRACE_S = 20.0
"""Sources have deadlines of their own; a call that takes so much longer is stuck, see `Camera.deadline`."""

_BLIND = {
    "black": "the picture is black: look for a cap on the lens, light, and capture.exposure_ms",
    "white": "the picture is white: overexposed; look at light, and capture.exposure_ms",
}

Opener = Callable[[CaptureSettings, Callable[[], bool], Callable[[str], None]], Source]


class Camera:
    """Delivers the frames of one source from a thread of its own.

    Between its thread and the others stand the slot and the log of conditions, each with a lock of its own. The other
    fields need none: the camera thread alone writes them, each is a single reference, and the error is set before
    `ended` is reported, so whoever reads that state sees it.

    Args:
        settings: the source's settings.
        opener: opens the source; see `open_source`.
        wake_up: set whenever `get` has something new to say, for a thread that waits for other things, too.
        stopping: set to end the thread; every pause of the thread waits on it.
        clock: CLOCK_MONOTONIC, nanoseconds.
        wall: seconds since the epoch.
        stop_s: how long `stop` waits for the thread to end, seconds.

    Attributes:
        name: the source's name, without credentials; it can always be encoded.
        restarts: how often the source was opened again.
        blind: why nothing can be seen, in words, while the whole picture is black or white; else None.
        deadline: the deadline of the call to the source that is in progress.
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
        stop_s: float = STOP_S,
    ) -> None:
        self.name = redact(settings.source)
        self.restarts = 0
        self.blind: str | None = None
        self.deadline = Deadline()
        self._log = ConditionLog(f"opening {self.name}")
        self._error: Exception | None = None
        self._settings, self._opener = settings, opener
        self._stopping, self._stop_s = stopping or threading.Event(), stop_s
        self._clock, self._wall = clock, wall
        self._slot = Slot(wake_up)
        self._source: Source | None = None
        self._size: tuple[int, ...] = ()
        self._health = PictureHealth(settings)
        self._frames = itertools.count()
        self._backoff = Backoff(settings.retry_s, settings.retry_max_s)
        self._refusals = Backoff(settings.refused_retry_s, settings.refused_retry_max_s)
        self._pause_s = 0.0
        self._overtaken = 0
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    @property
    def condition(self) -> Condition:
        """The source's state and message at one moment."""
        condition = self._log.current
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
        """Whether the source goes on by itself; true until the source is open, and known at the first frame."""
        return self._source is None or self._source.live

    @property
    def drops_frames(self) -> bool:
        """Whether frames come at a rate of their own and the newest one wins: of a live source, or a paced file."""
        return self.live or self._settings.realtime

    @property
    def fps(self) -> float | None:
        """The rate that the source states, frames a second, known at the first frame; None where unknown."""
        return self._source.fps if self._source else None

    @property
    def dropped(self) -> int:
        """Frames overwritten, or overtaken in the source, by newer ones."""
        return self._slot.dropped + self._overtaken

    @property
    def skipped(self) -> int:
        """Files of a folder, or frames of a video, that could not be read."""
        return self._source.skipped if self._source else 0

    def start(self) -> None:
        """Start the thread, once; where it cannot open the source and `wait` is off, `get` raises the error."""
        self._thread.start()

    def changes(self) -> tuple[Condition, ...]:
        """The conditions since the last call, oldest first; `ended` comes after the last frame was taken.

        A loss and a return between two calls are both in it; of more than 32 conditions, the newest.
        """
        return self._log.take(lambda: not self._slot.full)

    def get(self, timeout_s: float) -> Frame | None:
        """Take the frame that lies ready, waiting for one.

        Args:
            timeout_s: how long to wait, seconds.

        Returns:
            The frame. None when none came in time, or when none will come any more, and then `state` is `ended`.

        Raises:
            SourceError: after the last frame, when an error ended the source. Every further call raises it, too: where
                `state` became `ended` after a call had returned None, the next call still says why.
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
            self._log.report("ended", f"{self.name} was never opened")
            return
        self._thread.join(self._stop_s)
        if self._thread.is_alive():
            raise SourceError(
                f"expected the camera thread to end within {self._stop_s:g} s, found it stuck reading {self.name}; "
                "check the disk or device it reads from"
            )

    def _run(self) -> None:
        try:
            while (source := self._open()) is not None:
                with closing(source):
                    try:
                        self._deliver(source)
                        break
                    except SourceLost as error:
                        lost = error
                self._wait_to_retry(lost)
        except Exception as error:  # handed to the thread that calls `get`
            if not self._stopping.is_set():
                self._error = error
        finally:
            skipped = f"; files or frames left out: {self.skipped}" if self.skipped else ""
            self._log.report("ended", str(self._error or f"{self.name} has ended{skipped}"))
            self._slot.close()

    def _open(self) -> Source | None:
        """Open the source, again and again where the settings allow it; None when stopping."""
        while not self._stopping.is_set():
            try:
                with self.deadline.within(self._settings.open_timeout_s + GRACE_S):
                    source = self._opener(self._settings, self._stopping.is_set, self._warn)
            except SourceError as error:
                if self._source is None and not self._settings.wait:
                    raise
                self._wait_to_retry(error)
                continue
            self.restarts += self._source is not None
            self._source = source
            self._log.report("running", f"reading {self.name}")
            return source
        return None

    def _deliver(self, source: Source) -> None:
        """Put every frame into the slot until the source ends or the thread should stop."""
        paced = self._settings.realtime and not source.live
        scene = SceneClock(source.fps or USUAL_FPS if paced else source.fps)
        started_ns = self._clock()
        health = self._health
        health.reopened()
        while not self._stopping.is_set():
            with self.deadline.within(self._settings.read_timeout_s + GRACE_S):
                taken = source.read()
            if taken is None:
                return
            self._overtaken += taken.dropped
            scene_ns = taken.captured_ns if source.live else scene.advance(taken.position_ns)
            if paced:
                scene_ns = self._wait_until(started_ns + scene_ns)
                taken = taken._replace(captured_ns=scene_ns)
            if source.live:
                self._check_picture(health, taken)
            # It has been steady for as long as it was away.
            if taken.captured_ns - started_ns >= self._pause_s * 1e9 and (health.changing or not source.live):
                self._backoff.reset()
                self._refusals.reset()
            live = source.live or paced
            still = not live and source.fps is None and taken.position_ns is None
            self._slot.put(self._frame(taken, scene_ns, still=still), overwrite=live)

    def _check_picture(self, health: PictureHealth, taken: SourceFrame) -> None:
        """Report, once each, what the pictures of a live source show of its health.

        Raises:
            SourceLost: when they are frozen.
        """
        before, self._size = self._size, taken.image.shape[1::-1]
        if before not in ((), self._size):
            self._log.report("running", "the picture is now {}x{}, and was {}x{}".format(*self._size, *before))
        was_still = health.still
        health.update(taken.image, taken.captured_ns)
        if health.still and not was_still:
            self._log.report("running", f"{self.name} shows what it showed before: taken for a still scene")
        if health.frozen:
            raise SourceLost(f"{self.name} is frozen: the same picture for {self._settings.frozen_s:g} s")
        blind = _BLIND[health.blind] if health.blind else None
        if blind != self.blind:
            self.blind = blind
            self._log.report("running", blind or "the picture shows something again")

    def _frame(self, taken: SourceFrame, scene_ns: int, *, still: bool) -> Frame:
        """Make a frame of what the source gave; see `Frame`."""
        image, captured_ns, position_ns, file, _ = taken
        captured_at = self._wall() - (self._clock() - captured_ns) / 1e9
        return Frame(next(self._frames), image, captured_ns, captured_at, scene_ns, still, position_ns, file)

    def _wait_until(self, due_ns: int) -> int:
        """Wait until a moment of the clock, and return the time then; a moment that has passed is not waited for."""
        early_ns = due_ns - self._clock()
        if early_ns > 0:
            self._stopping.wait(early_ns / 1e9)
        return self._clock()

    def _wait_to_retry(self, error: SourceError) -> None:
        if self._stopping.is_set():
            return
        backoff = self._refusals if isinstance(error, SourceRefused) else self._backoff
        self._pause_s, self.blind = backoff.failed(), None
        self._log.report("waiting_for_camera", f"{error}; trying again in {self._pause_s:g} s")
        self._stopping.wait(self._pause_s)

    def _warn(self, message: str) -> None:
        """Report a problem of a source that goes on."""
        self._log.report("running", message)
