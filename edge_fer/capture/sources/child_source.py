"""A live source in a child process, whatever takes the pictures there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from edge_fer.capture.sources import MAX_PIXELS, SourceFrame
from edge_fer.capture.sources.pixels import decode, row_bytes
from edge_fer.common.text import redact
from edge_fer.errors import (
    SourceError,
    SourceLost,
    SourceRefused,
    WorkerCrashed,
    WorkerError,
    WorkerFailed,
    WorkerRefused,
    WorkerTimeout,
)
from edge_fer.process.reply import Reply
from edge_fer.process.worker import Worker
from edge_fer.settings import CaptureSettings
from edge_fer.types import PixelFormat

_MAX_BROKEN = 30  # after so many frames in a row that cannot be decoded the source is given up
_MAX_BYTES = 4 * MAX_PIXELS
_MAX_SIDE = 1 << 16  # pixels
_MAX_AGE_NS = 120_000_000_000  # the longest deadline of a read: no frame waits longer
_MAX_AHEAD_NS = 1_000_000_000
_MAX_LEFT_OUT = 1 << 20  # frames between two that were read


class SourceInfo(Reply):
    """The `info` of a camera's target.

    Attributes:
        fps: frames a second; None where unknown.
        hflip: whether the pictures are still to be mirrored left to right.
        vflip: whether the pictures are still to be mirrored top to bottom.
    """

    fps: float | None = Field(None, gt=0, le=1000)
    hflip: bool = False
    vflip: bool = False


class ChildFrame(Reply):
    """What a camera's target returns of a frame, whose bytes it has written to the shared memory.

    Attributes:
        width: pixels.
        height: pixels.
        pixel_format: how the bytes are to be read; see `pixels.py`.
        stride: bytes from one row to the next; 0 where the frame is compressed.
        size: how many bytes there are; `bytes` in the reply.
        captured_ns: CLOCK_MONOTONIC at capture, nanoseconds.
        skipped: how many frames before this one could not be decoded in the child.
        dropped: how many frames this one has overtaken, which had come and were not read yet.
    """

    width: int = Field(ge=1, le=_MAX_SIDE)
    height: int = Field(ge=1, le=_MAX_SIDE)
    pixel_format: PixelFormat | Literal["mjpeg"]
    stride: int = Field(ge=0, le=_MAX_BYTES)
    size: int = Field(ge=1, le=_MAX_BYTES, alias="bytes")
    captured_ns: int = Field(ge=0, le=(1 << 63) - 1)
    skipped: int = Field(0, ge=0, le=_MAX_LEFT_OUT)
    dropped: int = Field(0, ge=0, le=_MAX_LEFT_OUT)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width * self.height > MAX_PIXELS:
            raise ValueError(f"expected at most {MAX_PIXELS} pixels, found {self.width}x{self.height}")
        if self.pixel_format != "mjpeg" and self.stride < row_bytes(self.pixel_format, self.width):
            raise ValueError(f"expected rows of {self.width} pixels, found {self.stride} bytes")
        return self


class ChildSource:
    """A camera or stream that a child process reads.

    The child's target opens it in its constructor, including the first frame, and sets `info`, a `SourceInfo`. Its
    method `read` waits for a frame, writes it to the shared memory and returns a `ChildFrame`. The target raises
    OSError with a short reason when either fails; where it knows better than `hint` what to do, that follows after a
    semicolon. A frame that cannot be decoded is left out. After any other answer the source is lost.

    Args:
        settings: the source's name and deadlines.
        target: see `edge_fer.process.worker.Worker`.
        hint: what a person should do when it cannot be opened.
        cancelled: see `open_source`.
        environment: see `edge_fer.process.worker.Worker`.
        python: see `edge_fer.process.worker.Worker`.
        arguments: JSON values for the target's constructor.

    Attributes:
        info: the target's `info`.
        skipped: how many frames could not be decoded.

    Raises:
        SourceError: when it does not open, or gives no frame, within the deadline.
        SourceRefused: when it refuses the user or the password.
    """

    live = True

    def __init__(
        self,
        settings: CaptureSettings,
        target: str,
        *,
        hint: str,
        cancelled: Callable[[], bool] = lambda: False,
        environment: Mapping[str, str | None] | None = None,
        python: str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = redact(settings.source)
        self.skipped = 0
        self._deadline_s = settings.read_timeout_s
        self._worker = Worker(target, name="camera", python=python, environment=environment, cancelled=cancelled)
        try:
            self.info = SourceInfo.of(self._worker.start(settings.open_timeout_s, **(arguments or {})))
        except WorkerTimeout as error:
            raise SourceError(
                f"expected a picture from {self.name} within {settings.open_timeout_s:g} s, found none; {hint}, "
                "or allow more time (capture.open_timeout_s)"
            ) from error
        except WorkerError as error:
            self._worker.kill()
            kind = SourceRefused if isinstance(error, WorkerRefused) else SourceError
            raise kind(f"expected to open {self.name}, found: {self._reason(error, hint)}") from error
        self.fps: float | None = self.info.fps

    def read(self) -> SourceFrame:
        """Read the newest frame; see `edge_fer.capture.sources.Source.read`."""
        end = time.monotonic() + self._deadline_s
        for _ in range(_MAX_BROKEN):
            frame = self._read(max(end - time.monotonic(), 0.0))
            if frame is not None:
                return frame
            self.skipped += 1
        raise SourceLost(f"{self.name} gave {_MAX_BROKEN} frames in a row that cannot be decoded")

    def _read(self, deadline_s: float) -> SourceFrame | None:
        try:
            frame = ChildFrame.of(self._worker.call("read", deadline_s=deadline_s))
            content = self._worker.written(frame.size)
        except WorkerTimeout as error:
            raise SourceLost(f"{self.name} gave no frame for {self._deadline_s:g} s") from error
        except WorkerError as error:
            raise SourceLost(f"{self.name} stopped: {self._reason(error)}") from error
        age_ns = time.monotonic_ns() - frame.captured_ns
        if not -_MAX_AHEAD_NS <= age_ns <= _MAX_AGE_NS:
            raise SourceLost(f"{self.name} gave a frame that is {age_ns / 1e9:.0f} s old, by its time stamp")
        try:  # the one copy of a frame in this process
            image = decode(content, frame.pixel_format, frame.width, frame.height, frame.stride)
        except MemoryError as error:
            raise SourceLost(f"{self.name}: not enough memory for {frame.width}x{frame.height} pixels") from error
        self.skipped += frame.skipped
        return None if image is None else SourceFrame(image, frame.captured_ns, dropped=frame.dropped)

    def close(self) -> None:
        """End the child at once: closing the camera properly could block."""
        self._worker.kill()

    def _reason(self, error: WorkerError, hint: str = "") -> str:
        """One line about what went wrong in the child, with FFmpeg's own message where there is one.

        Args:
            error: the failure.
            hint: what to do, where the child gives no hint of its own.
        """
        output = re.sub(r"^\[[^]]*\]\s*", "", self._worker.last_output)
        quoted = output in str(error) or isinstance(error, WorkerCrashed)  # the message of a crash quotes it already
        reason = redact(str(error) if quoted else f"{error} ({output})")
        hinted = not hint or (isinstance(error, WorkerFailed) and "; " in str(error))
        return reason if hinted else f"{reason}; {hint}"
