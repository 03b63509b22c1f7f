"""What runs in the child process of a camera behind http:// or https://; see `child_source.py`.

The camera's first answer decides how its pictures are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from edge_fer.capture.sources import MAX_PIXELS
from edge_fer.capture.sources.film import require_pyav
from edge_fer.capture.sources.hand_over import write_frame
from edge_fer.capture.sources.http_camera.connection import Connection
from edge_fer.capture.sources.http_camera.pictures import MAX_BROKEN, MjpegPictures, Pictures, Snapshots
from edge_fer.capture.sources.jpeg import jpeg_size
from edge_fer.errors import ConfigError
from edge_fer.process.child import Memory
from edge_fer.types import Image

if TYPE_CHECKING:
    from edge_fer.capture.sources.stream_child import Stream

_JPEG_TYPES = ("jpeg", "jpg", "pjpeg")
_UNSPECIFIC = ("text/plain", "application/octet-stream")  # the first one also stands for none, or one of no known form
_SHOWN = 60  # characters of what a server calls its answer


def open_camera(
    memory: Memory,
    address: str,
    open_timeout_s: float,
    read_timeout_s: float,
    options: Mapping[str, str] | None = None,
    fps: float | None = None,
    ca_file: str | None = None,
) -> HttpCamera | Stream:
    """Open a camera: motion JPEG and snapshots here, whatever else is answered through FFmpeg.

    Args:
        memory: the shared memory that frames are written to.
        address: the camera's URL.
        open_timeout_s: how long opening may take, seconds.
        read_timeout_s: how long a frame may take, seconds.
        options: FFmpeg's options, where it reads the answer.
        fps: how often to ask for a snapshot, Hz; None: a usual rate.
        ca_file: see `CaptureSettings.ca_file`.

    Raises:
        OSError: when it cannot be opened or gives no frame.
    """
    connection = Connection(address, open_timeout_s / 2, ca_file)
    try:
        answer = connection.get()
        kind = _kind_of(answer)
        if kind == "mjpeg":
            return HttpCamera(memory, connection, MjpegPictures(answer, connection.socket))
        if kind == "snapshots":
            _check_rate(fps, read_timeout_s)
            return HttpCamera(memory, connection, Snapshots(connection, answer, fps))
    except OSError:
        connection.close()
        raise
    connection.close()  # some cameras serve one viewer only
    try:
        return _open_stream(memory, connection.address.url_with_login, open_timeout_s, read_timeout_s, options)
    except OSError as error:
        raise OSError(f"it answers with {answer.headers.get_content_type()[:_SHOWN]}, but {error}") from error


class HttpCamera:
    """A camera that sends JPEG pictures.

    They are decoded here, since what a stranger sends may keep the decoder busy for long, or crash it.

    Args:
        memory: the shared memory that frames are written to.
        connection: the connection to the camera.
        pictures: what the camera sends through it.

    Raises:
        OSError: when there is no picture.
    """

    def __init__(self, memory: Memory, connection: Connection, pictures: Pictures) -> None:
        self._memory, self._connection, self._pictures = memory, connection, pictures
        self._damaged = self._skipped_told = self._dropped_told = 0
        self._first: tuple[Image, int] | None = self._next()
        self.info = {"fps": pictures.fps}

    def read(self) -> dict[str, int | str]:
        """Wait for the newest picture and write it to the shared memory."""
        taken, self._first = self._first, None
        image, captured_ns = taken or self._next()
        reply = write_frame(self._memory, image, captured_ns)
        skipped, dropped = self._pictures.broken + self._damaged, self._pictures.dropped
        reply |= {"skipped": skipped - self._skipped_told, "dropped": dropped - self._dropped_told}
        self._skipped_told, self._dropped_told = skipped, dropped
        return reply

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _next(self) -> tuple[Image, int]:
        """The newest picture that can be decoded, and its capture time."""
        for _ in range(MAX_BROKEN):
            content, captured_ns = self._pictures.next()
            image = _decode(content)
            if image is not None:
                return image, captured_ns
            self._damaged += 1
        raise OSError(f"{MAX_BROKEN} pictures in a row cannot be decoded")


def _decode(content: bytes) -> Image | None:
    """A JPEG's picture, upright as its EXIF data say; None where it cannot be decoded.

    Raises:
        OSError: when it is too large to be decoded.
    """
    size = jpeg_size(content)
    if size is None:
        return None
    if size[0] * size[1] > MAX_PIXELS:
        raise OSError(f"it sends a picture of {size[0]}x{size[1]} pixels; choose a smaller one in its settings")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _kind_of(answer: HTTPResponse) -> Literal["mjpeg", "snapshots", "stream"]:
    """How an answer is to be read, by its Content-Type; by its first bytes where that says nothing.

    Raises:
        OSError: when it is of no use.
    """
    main, sub = answer.headers.get_content_maintype(), answer.headers.get_content_subtype()
    if f"{main}/{sub}" == "text/html":
        raise OSError("it answers with a web page; name the address of its stream or snapshot, see its manual")
    if f"{main}/{sub}" in _UNSPECIFIC:
        begin = answer.peek(2).lstrip()
        main = "image" if begin.startswith(b"\xff\xd8") else "multipart" if begin.startswith(b"--") else main
    elif main == "image" and sub not in _JPEG_TYPES:
        raise OSError(f"it answers with a picture that is no JPEG ({main}/{sub}); choose JPEG in its settings")
    if main not in ("image", "multipart"):
        return "stream"
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise OSError(f"it compresses its answer ({encoding}) without being asked to; switch that off in its server")
    return "snapshots" if main == "image" else "mjpeg"


def _open_stream(
    memory: Memory, address: str, open_timeout_s: float, read_timeout_s: float, options: Mapping[str, str] | None
) -> Stream:
    try:
        require_pyav()
    except ConfigError as error:
        raise OSError(str(error)) from error
    from edge_fer.capture.sources.stream_child import Stream

    return Stream(memory, address, open_timeout_s, read_timeout_s, options)


def _check_rate(fps: float | None, read_timeout_s: float) -> None:
    """Check that snapshots come often enough for the deadline of a read."""
    if fps is not None and 2 / fps > read_timeout_s:
        raise OSError(
            f"{fps:g} pictures a second (capture.fps) need more time; set capture.read_timeout_s to {2 / fps:g}"
        )
