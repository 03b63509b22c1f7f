"""A link that MAVLink goes over, which carries bytes and knows nothing of messages; UDP and serial have a file each."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import NamedTuple

from edge_fer.common.closeable import Closeable
from edge_fer.errors import ConfigError, OutputError

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
        "expected udpout:HOST:PORT, udpin:HOST:PORT or serial:DEVICE:BAUD, such as serial:/dev/ttyAMA0:57600, "
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
        from edge_fer.publish.mavlink.serial_line import SerialLink

        return SerialLink(url)
    from edge_fer.publish.mavlink.udp import UdpIn, UdpOut

    return UdpIn(url) if url.kind == "udpin" else UdpOut(url)
