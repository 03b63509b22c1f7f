"""The links that MAVLink goes over: UDP and serial lines. They carry bytes and know nothing of messages."""

from __future__ import annotations

import errno
import os
import pwd
import re
import socket
import termios
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from edge_fer.closeable import Closeable
from edge_fer.errors import ConfigError, OutputError

WRITE_S = 1.0
"""A serial line that does not take a message within so long is down."""

PEER_S = 10.0
"""Who spoke to `udpin` is answered until so long after the last word; then whoever speaks first."""

READ_BYTES = 4096
"""At most so much is read at once, so that a chatterbox does not keep us from talking."""

_URLS = (  # and the highest port, or baud rate
    (re.compile(r"(udpin|udpout):(\[[^\]]+\]|[^:\[\]]+):(\d+)"), 65_535),
    (re.compile(r"(serial):(.+):(\d+)"), 10_000_000),
)


class LinkDown(OutputError):
    """A link that may come back by itself, as when a plug is put in."""


class Url(NamedTuple):
    """Where a link goes.

    Attributes:
        kind: `udpout`, `udpin` or `serial`.
        place: host or device.
        number: port or baud rate.
    """

    kind: str
    place: str
    number: int


def parse_url(text: str) -> Url:
    """Take a url apart.

    Raises:
        ValueError: when it is none.
    """
    for pattern, highest in _URLS:
        match = pattern.fullmatch(text)
        if match is not None and 0 < int(match[3]) <= highest:
            return Url(match[1], match[2], int(match[3]))
    raise ValueError(
        f"expected udpout:HOST:PORT, udpin:HOST:PORT or serial:DEVICE:BAUD, such as serial:/dev/ttyAMA0:57600, "
        f"found {text!r}"
    )


class Link(Closeable):
    """One that is open."""

    @abstractmethod
    def fileno(self) -> int:
        """To wait for bytes with."""

    @abstractmethod
    def read(self) -> bytes:
        """What has come, at most `READ_BYTES`; empty: nothing for us.

        Raises:
            LinkDown: when it is down.
        """

    @abstractmethod
    def write(self, packet: bytes) -> None:
        """Send one message.

        Raises:
            LinkDown: when it is down.
        """

    @property
    def reason(self) -> str | None:
        """Why nobody can be spoken to yet; null: somebody can."""
        return None


def open_link(text: str) -> Link:
    """Open a link once.

    Args:
        text: its url.

    Raises:
        LinkDown: when it cannot be opened now, and may be later without anybody's help.
        OutputError: when somebody has to mend something.
        ConfigError: when the url is none, or the library for serial lines is missing.
    """
    try:
        url = parse_url(text)
    except ValueError as error:
        raise ConfigError(f"setting `publish.mavlink.url`: {error}") from error
    if url.kind == "serial":
        return SerialLink(url)
    return UdpIn(url) if url.kind == "udpin" else UdpOut(url)


class UdpOut(Link):
    """Speaks to one address, and listens to nobody else."""

    def __init__(self, url: Url) -> None:
        self._name = f"{url.place}:{url.number}"
        family, self._address = _resolve(url)
        # Not connected: that nobody listens yet, or no longer, is no fault of a datagram.
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """See `Link`."""
        return self._socket.fileno()

    def read(self) -> bytes:
        """See `Link`."""
        packet, sender = _receive(self._socket, self._name)
        return packet if sender == self._address else b""

    def write(self, packet: bytes) -> None:
        """See `Link`."""
        _send(self._socket, packet, self._address, self._name)

    def close(self) -> None:
        """See `Link`."""
        self._socket.close()


class UdpIn(Link):
    """Waits at an address of its own for somebody who speaks, and speaks to them.

    Args:
        url: the address.
        clock: seconds that never go backwards.
    """

    def __init__(self, url: Url, clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._clock = f"{url.place}:{url.number}", clock
        family, address = _resolve(url)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._peer: tuple[object, ...] | None = None
        self._heard_s = 0.0
        try:
            self._socket.bind(address)
        except OSError as error:
            self._socket.close()
            hint = {
                errno.EADDRINUSE: "another program has this port: end it, or choose another port",
                errno.EADDRNOTAVAIL: "this box has no such address",
                errno.EACCES: "choose a port above 1023",
            }.get(error.errno or 0, "choose another address")
            # An address may come with its network.
            kind = LinkDown if error.errno == errno.EADDRNOTAVAIL else OutputError
            raise kind(f"expected to listen at {self._name} for MAVLink, found: {error.strerror}; {hint}") from error

    def fileno(self) -> int:
        """See `Link`."""
        return self._socket.fileno()

    def read(self) -> bytes:
        """See `Link`."""
        packet, sender = _receive(self._socket, self._name)
        if sender is None or (sender != self._peer and self._hears_peer):
            return b""
        self._peer, self._heard_s = sender, self._clock()
        return packet

    def write(self, packet: bytes) -> None:
        """See `Link`; to nobody while nobody has spoken."""
        if self._peer is not None:
            _send(self._socket, packet, self._peer, self._name)

    @property
    def reason(self) -> str | None:
        """See `Link`."""
        return None if self._hears_peer else f"nobody speaks MAVLink to {self._name}; send there to be answered"

    @property
    def _hears_peer(self) -> bool:
        return self._peer is not None and self._clock() - self._heard_s <= PEER_S

    def close(self) -> None:
        """See `Link`."""
        self._socket.close()


class SerialLink(Link):
    """A serial line, 8N1, which nobody else may open meanwhile."""

    def __init__(self, url: Url) -> None:
        try:
            import serial
        except ImportError as error:
            raise ConfigError(
                f"publish.mavlink: expected pyserial, found: {error}; pip install 'edge-fer[mavlink]'"
            ) from error
        self._name = url.place
        try:
            self._port = serial.Serial(url.place, url.number, timeout=0, write_timeout=WRITE_S, exclusive=True)
        except (OSError, ValueError, termios.error) as error:
            raise _unopened(url, error) from error

    def fileno(self) -> int:
        """See `Link`."""
        return int(self._port.fileno())

    def read(self) -> bytes:
        """See `Link`."""
        try:
            return bytes(self._port.read(READ_BYTES))
        except OSError as error:
            raise self._down(error) from error

    def write(self, packet: bytes) -> None:
        """See `Link`."""
        try:
            self._port.write(packet)
        except OSError as error:
            raise self._down(error) from error

    def close(self) -> None:
        """See `Link`."""
        self._port.close()

    def _down(self, error: OSError) -> LinkDown:
        return LinkDown(f"the serial line {self._name} broke off: {error}; is it still plugged in?")


def _unopened(url: Url, error: Exception) -> OutputError:
    """Why a serial line could not be opened, and what helps."""
    number = getattr(error, "errno", None)
    found, hint, kind = {
        errno.ENOENT: ("no such device", "plug it in, or name another (publish.mavlink.url)", LinkDown),
        errno.ENXIO: ("nothing behind it", "plug it in", LinkDown),
        errno.EIO: ("a device that does not answer", "plug it in again", LinkDown),
        errno.EACCES: (
            "no permission",
            f"let the user into its group, as by: usermod -aG dialout {_user()}",
            OutputError,
        ),
        errno.EAGAIN: ("another program at it", "end that program (a console? ModemManager?)", OutputError),
        errno.EBUSY: ("another program at it", "end that program (a console? ModemManager?)", OutputError),
    }.get(number or 0, (str(error), "name another device or rate (publish.mavlink.url)", OutputError))
    return kind(f"expected a serial line at {url.place} with {url.number} baud, found {found}; {hint}")


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a user without a name
        return str(os.geteuid())


def _resolve(url: Url) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    """Family and address of a host; IPv4 where it has both, as most MAVLink programs know nothing else."""
    try:
        found = socket.getaddrinfo(url.place.strip("[]"), url.number, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise LinkDown(f"expected a host for MAVLink, found {url.place!r}: {why}; see publish.mavlink.url") from error
    family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address


def _receive(link: socket.socket, name: str) -> tuple[bytes, tuple[object, ...] | None]:
    """One datagram and who sent it; null: none has come."""
    try:
        return link.recvfrom(READ_BYTES)
    except BlockingIOError:
        return b"", None
    except OSError as error:
        raise LinkDown(f"expected MAVLink at {name}, found: {error.strerror}; is the network up?") from error


def _send(link: socket.socket, packet: bytes, address: tuple[object, ...], name: str) -> None:
    try:
        link.sendto(packet, address)
    except OSError as error:
        raise LinkDown(f"expected to send MAVLink to {name}, found: {error.strerror}; is the network up?") from error
