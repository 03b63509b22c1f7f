"""Raw frames on standard input: `ffmpeg ... -f rawvideo -pix_fmt bgr24 - | edge-fer run --camera -`."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from edge_fer.capture.sources import USUAL_FPS, SourceFrame
from edge_fer.capture.sources.pixels import decode, frame_bytes, row_bytes
from edge_fer.capture.sources.row_check import RowCheck
from edge_fer.errors import ConfigError, SourceError, SourceLost
from edge_fer.settings.capture import CaptureSettings, RawSettings

_STDIN = 0
_SLICE_S = 0.1  # a waiting read checks this often whether it was cancelled


class Raw:
    """Frames of one size, with nothing between them.

    A writer that pauses between two frames is a lost source, which is back once the writer goes on. One that stops
    within a frame ends the source, since nothing shows where the next frame would begin.

    Args:
        settings: size, pixel format and time-outs.
        cancelled: see `open_source`.
        warn: called with one line when the frames seem to be of another shape.
        descriptor: the file descriptor to read from.

    Attributes:
        skipped: how many frames were not complete: the last one, at most.

    Raises:
        ConfigError: when the settings give no size, or one that the format cannot have.
        SourceError: when no frame begins within `open_timeout_s`.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        cancelled: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = lambda _: None,
        descriptor: int = _STDIN,
    ) -> None:
        raw = settings.raw
        if raw.width is None or raw.height is None:
            raise ConfigError(
                "expected the size of the frames on standard input, found none; set capture.raw.width and .height"
            )
        halved = raw.pixel_format in ("nv12", "yuv420p", "yuyv422", "uyvy422")
        if halved and (raw.width % 2 or raw.height % 2):
            raise ConfigError(f"expected an even size for {raw.pixel_format}, found {raw.width}x{raw.height}")
        self.name = "-"
        self.live = raw.live
        self.fps = settings.fps or (None if raw.live else USUAL_FPS)
        self._raw, self._size = raw, (raw.width, raw.height)
        self._cancelled = cancelled
        self._frames = self.skipped = 0
        self._descriptor = descriptor
        self._deadline_s = settings.read_timeout_s
        self._stride = _stride(raw, raw.width)
        self._warn = warn
        self._rows = RowCheck(self._stride, raw.height)
        if not self._wait(settings.open_timeout_s):
            raise SourceError(
                f"expected frames on standard input within {settings.open_timeout_s:g} s, found none; see its writer"
            )

    def read(self) -> SourceFrame | None:
        """Read the next frame, captured when its last byte came; see `edge_fer.capture.sources.Source.read`."""
        content = memoryview(bytearray(frame_bytes(self._raw.pixel_format, self._stride, self._size[1])))
        filled = 0
        while filled < len(content):
            if not self._wait(self._deadline_s):
                lost = SourceError if filled and not self._cancelled() else SourceLost
                raise lost(f"standard input gave no frame for {self._deadline_s:g} s")
            count = os.readv(self._descriptor, [content[filled:]])
            if count == 0:
                self._check_end(filled, len(content))
                return None
            filled += count
        self._frames += 1
        if likely := self._rows.update(content):
            self._warn(
                f"rows on standard input seem to be {likely} bytes apart, not {self._stride}: pictures are sheared; "
                "set capture.raw.stride, or correct capture.raw.width"
            )
        image = decode(content, self._raw.pixel_format, *self._size, self._stride)
        assert image is not None  # only a JPEG could be broken
        return SourceFrame(image, time.monotonic_ns())

    def close(self) -> None:
        """Do nothing: standard input stays open and may be read again."""

    def _wait(self, seconds: float) -> bool:
        """Wait for bytes, or for the end of the input; whether either came in time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._cancelled():
            if select.select([self._descriptor], [], [], min(left, _SLICE_S))[0]:
                return True
        return False

    def _check_end(self, filled: int, wanted: int) -> None:
        if not filled and not self._frames:
            raise SourceError("expected frames on standard input, found its end; see what its writer says")
        if filled:
            self.skipped += 1
            width, height = self._size
            raise SourceError(
                f"expected {wanted} bytes a frame ({self._raw.pixel_format}, {width}x{height}) on standard input, "
                f"found {filled} in the last one, after {self._frames} whole frames; check capture.raw and the writer"
            )


def _stride(raw: RawSettings, width: int) -> int:
    """Bytes from one row to the next.

    Raises:
        ConfigError: when the format cannot have the distance that the settings name.
    """
    least = row_bytes(raw.pixel_format, width)
    stride = least if raw.stride is None else raw.stride
    if stride < least:
        raise ConfigError(
            f"expected rows of at least {least} bytes ({raw.pixel_format}, {width} pixels), "
            f"found {stride}; correct capture.raw.stride"
        )
    if stride % 2 and raw.pixel_format in ("nv12", "yuv420p"):
        raise ConfigError(f"expected rows of an even length ({raw.pixel_format}), found capture.raw.stride {stride}")
    return stride
