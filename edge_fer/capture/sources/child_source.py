"""A live source in a child process, whatever takes the pictures there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from edge_fer.capture.sources import SourceFrame
from edge_fer.capture.sources.pixels import decode
from edge_fer.common.text import redact
from edge_fer.errors import SourceError, SourceLost, WorkerCrashed, WorkerError, WorkerTimeout
from edge_fer.process.worker import Worker
from edge_fer.settings import CaptureSettings
from edge_fer.types import Image

_MAX_BROKEN = 30  # after so many frames in a row that cannot be decoded the source is given up


class ChildSource:
    """A camera or stream that a child process reads.

    The child's target opens it in its constructor, including the first frame, and sets `info = {"fps": frames a second
    or None, ...}`. Its method `read` waits for a frame, writes it to the shared memory and returns `{"width", "height",
    "pixel_format", "stride", "bytes", "captured_ns"}`; `pixels.py` lists the formats. The target raises OSError with a
    short reason when either fails. A frame that cannot be decoded is left out.

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
            self.info = self._worker.start(settings.open_timeout_s, **(arguments or {}))
        except WorkerTimeout as error:
            raise SourceError(
                f"expected a picture from {self.name} within {settings.open_timeout_s:g} s, found none; {hint}, "
                "or allow more time (capture.open_timeout_s)"
            ) from error
        except WorkerError as error:
            raise SourceError(f"expected to open {self.name}, found: {self._reason(error)}; {hint}") from error
        self.fps: float | None = self.info.get("fps")

    def read(self) -> SourceFrame:
        """Read the newest frame; see `edge_fer.capture.sources.Source.read`."""
        end = time.monotonic() + self._deadline_s
        for _ in range(_MAX_BROKEN):
            image, captured_ns = self._read(max(end - time.monotonic(), 0.0))
            if image is not None:
                return SourceFrame(image, captured_ns)
            self.skipped += 1
        raise SourceLost(f"{self.name} gave {_MAX_BROKEN} frames in a row that cannot be decoded")

    def _read(self, deadline_s: float) -> tuple[Image | None, int]:
        try:
            reply = self._worker.call("read", deadline_s=deadline_s)
            content, captured_ns = self._worker.memory(reply.pop("bytes")), reply.pop("captured_ns")
        except WorkerTimeout as error:
            raise SourceLost(f"{self.name} gave no frame for {self._deadline_s:g} s") from error
        except WorkerError as error:
            raise SourceLost(f"{self.name} stopped: {self._reason(error)}") from error
        return decode(content, **reply), captured_ns  # the one copy of a frame in this process

    def close(self) -> None:
        """End the child at once: closing the camera properly could block."""
        self._worker.kill()

    def _reason(self, error: WorkerError) -> str:
        """One line about what went wrong in the child, with FFmpeg's own message where there is one."""
        output = re.sub(r"^\[[^]]*\]\s*", "", self._worker.last_output)
        quoted = output in str(error) or isinstance(error, WorkerCrashed)  # the message of a crash quotes it already
        return redact(str(error) if quoted else f"{error} ({output})")
