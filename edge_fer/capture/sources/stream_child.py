"""What runs in the child process of `stream.py`; see `child_source.py`."""

from __future__ import annotations

from collections.abc import Mapping

from edge_fer.capture.sources.film.film import Film, FilmFrame
from edge_fer.capture.sources.hand_over import write_frame
from edge_fer.capture.sources.refusal import LoginRefused
from edge_fer.process.child import Memory

_OPTIONS = {
    "rtsp_transport": "tcp",  # loses no packets
    "allowed_media_types": "video",
    "fpsprobesize": "0",  # by default twenty frames are read before it opens, to estimate their rate
}
_HINTS = {
    "401": "check the user name and the password in the address",
    "403": "this user may not see it: check its rights in the camera's settings",
    "404": "check the path: the camera's manual names that of its stream",
}
_REFUSED = ("401", "403")


class Stream:
    """A network stream, opened by FFmpeg.

    Args:
        memory: the shared memory that frames are written to.
        address: the stream's URL.
        open_timeout_s: FFmpeg's time-out for opening, seconds.
        read_timeout_s: FFmpeg's time-out for reading, seconds.
        options: FFmpeg's options, beside and before those that are usual here.

    Raises:
        OSError: when it cannot be opened or gives no frame.
        LoginRefused: when it refuses the user or the password.
    """

    def __init__(
        self,
        memory: Memory,
        address: str,
        open_timeout_s: float,
        read_timeout_s: float,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._memory = memory
        timeouts_s = (open_timeout_s, read_timeout_s)
        try:
            self._film = Film(address, live=True, options={**_OPTIONS, **(options or {})}, timeouts_s=timeouts_s)
        except OSError as error:
            reason = f"it cannot be opened ({error.strerror or error})"
            kind = LoginRefused if any(f" {code} " in reason for code in _REFUSED) else OSError
            raise kind(_hinted(reason)) from error
        self._frames, self._lost_told = self._film.frames(), 0
        self._first: FilmFrame | None = self._next("it opens, but gives no picture")
        self.info = {"fps": self._film.fps}

    def read(self) -> dict[str, int | str]:
        """Wait for a frame and write it to the shared memory."""
        taken, self._first = self._first, None
        frame = taken or self._next("it gives no more frames")
        lost, self._lost_told = self._film.lost - self._lost_told, self._film.lost
        return write_frame(self._memory, frame.image, frame.arrived_ns) | {"skipped": lost}

    def close(self) -> None:
        """Close the stream."""
        self._film.close()

    def _next(self, otherwise: str) -> FilmFrame:
        """Read one frame.

        Args:
            otherwise: the error's text when there is none.
        """
        frame = next(self._frames, None)
        if frame is None:
            reason = self._film.broken or self._film.unreadable
            raise OSError(f"{otherwise} ({reason})" if reason else otherwise)
        return frame


def _hinted(reason: str) -> str:
    """The reason why a stream does not open, with what to do where that is known."""
    hint = next((hint for code, hint in _HINTS.items() if f" {code} " in reason), None)
    return f"{reason}; {hint}" if hint else reason
