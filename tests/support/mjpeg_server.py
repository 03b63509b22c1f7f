"""A camera on the network: an HTTP MJPEG server on loopback that misbehaves on demand."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

from edge_fer.capture.sources.sample import CLIP
from edge_fer.types import Image


def jpeg(picture: Image) -> bytes:
    """A picture, `(height, width, 3)` uint8, BGR, as a JPEG file."""
    return cv2.imencode(".jpg", picture)[1].tobytes()


def sample_jpegs() -> list[bytes]:
    """The frames of the sample clip, as JPEG files."""
    video, files = cv2.VideoCapture(str(CLIP)), []
    while (read := video.read())[0]:
        files.append(jpeg(np.asarray(read[1], np.uint8)))
    video.release()
    return files


class MjpegServer:
    """Serves JPEG files over and over at a steady rate; can be stopped, and started again on the same port.

    Args:
        clips: for each behaviour the files that it serves in turn.
        fps: files a second.

    Attributes:
        behaviour: a name of `clips`, at first the first one; or `hung` (the connection stays open, and silent), or
            `garbage`. It applies to open connections, too.
        port: the port that it listens at.
    """

    def __init__(self, clips: Mapping[str, Sequence[bytes]], fps: float) -> None:
        self.behaviour = next(iter(clips))
        self.port = 0
        self._clips, self._fps = clips, fps
        self.start()

    @property
    def url(self) -> str:
        """The address of the stream."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Listen."""
        self._over = over = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    for part in camera._parts(over):
                        self.wfile.write(part)
                except (BrokenPipeError, ConnectionResetError):
                    return  # the reader went away

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all connections, and refuse others. May be called again."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MjpegServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _parts(self, over: threading.Event) -> Iterator[bytes]:
        """The data for one connection, each part when it is due."""
        start, number = time.monotonic(), 0
        while not over.wait(max(0.0, start + number / self._fps - time.monotonic())):
            files = self._clips.get(self.behaviour)
            if files is not None:
                body = files[number % len(files)]
                yield b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body) + body + b"\r\n"
            elif self.behaviour == "garbage":
                yield os.urandom(2000)
            number += 1
