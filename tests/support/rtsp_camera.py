"""An RTSP camera on loopback that sends H.264 over TCP; each connection begins with a key frame, and more are rare."""

from __future__ import annotations

import base64
import re
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av

from edge_fer.types import Image

_JOIN_S = 5
_CLOCK_HZ = 90_000  # of RTP timestamps of video
_MOST_BYTES = 1400  # in one RTP packet


class RtspCamera:
    """Serves pictures until it is closed.

    Args:
        pictures: its frames in turn, each `(height, width, 3)` uint8, BGR.
        fps: frames a second.
        refusal: the status line's end with which it refuses everybody, such as `401 Unauthorized`; None: it does not.
    """

    def __init__(self, pictures: Sequence[Image], fps: float = 25, refusal: str | None = None) -> None:
        self._units, self._fps, self._refusal = list(_encoded(pictures)), fps, refusal
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        """The address of the stream."""
        return f"rtsp://127.0.0.1:{self._listening.getsockname()[1]}/a"

    def __enter__(self) -> RtspCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listening.shutdown(socket.SHUT_RDWR)  # closing alone would not wake who waits for a connection
        self._listening.close()
        self._accepting.join(_JOIN_S)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as requests:
            try:
                while request := _request(requests):
                    method, number, transport = request
                    connection.sendall(self._answer(method, number, transport))
                    if method == "PLAY" and self._refusal is None:
                        self._play(connection)
            except OSError:
                return

    def _answer(self, method: str, number: str, transport: str) -> bytes:
        if self._refusal is not None:
            return f'RTSP/1.0 {self._refusal}\r\nCSeq: {number}\r\nWWW-Authenticate: Basic realm="a"\r\n\r\n'.encode()
        fields, body = ["Session: 1"], ""
        if method == "DESCRIBE":
            sets = ",".join(base64.b64encode(unit).decode() for unit in self._units[0] if unit[0] & 31 in (7, 8))
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=a\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
                f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\na=control:trackID=0\r\n"
            )
            fields = ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif method == "SETUP":
            fields.append(f"Transport: {transport}")
        return "\r\n".join(["RTSP/1.0 200 OK", f"CSeq: {number}", *fields, "", body]).encode()

    def _play(self, connection: socket.socket) -> None:
        sequence = 0
        for index in range(1_000_000):
            stamp = round(index * _CLOCK_HZ / self._fps) & 0xFFFFFFFF
            units = self._units[index % len(self._units)]
            packets = [packet for unit in units for packet in _packets(unit)]
            for packet in packets:
                marker = 0x80 if packet is packets[-1] else 0
                content = struct.pack(">BBHII", 0x80, 96 | marker, sequence & 0xFFFF, stamp, 1) + packet
                connection.sendall(struct.pack(">BBH", 0x24, 0, len(content)) + content)
                sequence += 1
            if self._over.wait(1 / self._fps):
                return


def _encoded(pictures: Sequence[Image]) -> Iterator[list[bytes]]:
    """The NAL units of each picture; only the first one is a key frame."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = pictures[0].shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=100000:scenecut=0"}
    for index, image in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")
        frame.pts = index
        for packet in encoder.encode(frame):
            yield [unit.rstrip(b"\0") for unit in re.split(rb"\x00\x00\x01", bytes(packet)) if unit.rstrip(b"\0")]


def _packets(unit: bytes) -> list[bytes]:
    """A NAL unit as the contents of RTP packets (RFC 6184, FU-A where it is too long for one)."""
    if len(unit) <= _MOST_BYTES:
        return [unit]
    pieces = [unit[start : start + _MOST_BYTES] for start in range(1, len(unit), _MOST_BYTES)]
    last = len(pieces) - 1
    return [
        bytes([unit[0] & 0xE0 | 28, unit[0] & 31 | 0x80 * (number == 0) | 0x40 * (number == last)]) + piece
        for number, piece in enumerate(pieces)
    ]


def _request(requests: Iterator[bytes]) -> tuple[str, str, str] | None:
    """Method, number and transport of the next request; None at the end."""
    lines = []
    for line in requests:
        if line == b"\r\n":
            break
        lines.append(line.decode().strip())
    if not lines:
        return None
    fields = dict(line.split(": ", 1) for line in lines[1:])
    return lines[0].split()[0], fields["CSeq"], fields.get("Transport", "")
