"""What a broker may send, checked while it is read: paho takes packets of 256 MB, and any number of them.

This side is told of the bounds when it connects, as MQTT 5 provides; a broker that exceeds them is hung up on.
"""

from __future__ import annotations

import ssl
from typing import Any

MAX_PACKET = 8192
"""Longest packet that is accepted, bytes: Maximum Packet Size. Acknowledgements have some dozens of bytes."""

RECEIVE_MAXIMUM = 8
"""Messages at QoS 1 that a broker may send before the first of them is acknowledged: Receive Maximum."""

_READ_BYTES = 65_536  # paho asks for as much as a packet claims to have
_UNANSWERED_BYTES = 65_536  # read while the broker reads nothing; paho queues an answer for each message in them
_PUBLISH = 3
_EXPECTED = {2, _PUBLISH, 4, 5, 7, 9, 13, 14}  # CONNACK PUBLISH PUBACK PUBREC PUBCOMP SUBACK PINGRESP DISCONNECT
_LONGEST_SHIFT = 21  # of four bytes, seven bits each


class Unexpected(ConnectionError):
    """The broker has sent what it must not; the message says what."""


class PacketCheck:
    """Follows the packets in a stream of bytes, and checks the beginning of each.

    A packet begins with its type and flags, and its length in one to four bytes (MQTT 5, section 2.1).
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._length = self._shift = 0
        self._rest = 0  # bytes until the next packet begins

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Args:
            data: any part of the stream, in order.

        Raises:
            Unexpected: when a packet begins that should not.
        """
        place = 0
        while place < len(data):
            if self._rest:
                skipped = min(self._rest, len(data) - place)
                self._rest -= skipped
                place += skipped
            else:
                self._header(data[place])
                place += 1

    def _header(self, byte: int) -> None:
        if self._first is None:
            self._first, self._length, self._shift = byte, 0, 0
            return
        self._length |= (byte & 0x7F) << self._shift
        if not byte & 0x80:
            _check(self._first, self._length)
            self._first, self._rest = None, self._length
        elif self._shift == _LONGEST_SHIFT:
            raise Unexpected("a length that MQTT does not have")
        else:
            self._shift += 7


def _check(first: int, length: int) -> None:
    kind, qos = first >> 4, first >> 1 & 3
    if kind not in _EXPECTED:
        raise Unexpected(f"a packet of type {kind}, which a broker does not send to this client")
    if kind == _PUBLISH and qos > 1:
        raise Unexpected(f"a message at QoS {qos}, which was not subscribed to")
    if length > MAX_PACKET:
        raise Unexpected(f"a packet of {length} bytes, of {MAX_PACKET} at most")


class CheckedSocket:
    """A socket as paho uses one, which reads nothing but packets that are expected.

    Args:
        sock: the connected socket, with or without TLS.

    Attributes:
        violation: what the broker has sent that it must not; None: nothing.
    """

    def __init__(self, sock: Any) -> None:
        self._socket, self._check = sock, PacketCheck()
        self._unanswered = 0
        self.violation: str | None = None

    @property
    def is_flooded(self) -> bool:
        """Whether much was read since the broker last took something, so that answers would pile up."""
        return self._unanswered >= _UNANSWERED_BYTES

    def recv(self, buffer_size: int) -> bytes:
        """Read at most so many bytes, and check them.

        Raises:
            Unexpected: when the broker has sent what it must not.
        """
        data: bytes = self._socket.recv(min(buffer_size, _READ_BYTES))
        self._unanswered += len(data)
        try:
            self._check.feed(data)
        except Unexpected as error:
            self.violation = str(error)
            raise
        return data

    def send(self, buffer: bytes | bytearray) -> int:
        """Write what the socket takes now; the number of bytes."""
        count: int = self._socket.send(buffer)
        self._unanswered = 0
        return count

    def pending(self) -> int:
        """Bytes that TLS has read and nobody has taken yet."""
        return self._socket.pending() if isinstance(self._socket, ssl.SSLSocket) else 0

    def fileno(self) -> int:
        """The file descriptor; -1 once it is closed."""
        return int(self._socket.fileno())

    def setblocking(self, flag: bool) -> None:
        """Set whether to wait in `recv` and `send`."""
        self._socket.setblocking(flag)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
