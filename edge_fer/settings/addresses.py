"""The names of cameras, devices and links in settings; nothing here opens them."""

from __future__ import annotations

import os
import re
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from edge_fer.common.text import redact
from edge_fer.errors import SourceError

SourceKind = Literal["v4l2", "picamera2", "http", "stream", "raw", "picture", "folder", "video", "sample", "synthetic"]

_URL = r"[a-z][a-z0-9+.-]*://.*"

_HOST = re.compile(r"(?:\[[^\]]*\]|[^\[\]:]*)(?::\d*)?")  # with a port or without

ENCODING = "with %40 for @, %23 for #, %2F for /, %3F for ?, %3A for : and %20 for a space in user and password"
"""How a URL has characters that would end its user or password."""

SOURCE_NAMES: tuple[tuple[str, SourceKind], ...] = (
    ("(?-i:sample)", "sample"),
    ("(?-i:synthetic:.*)", "synthetic"),
    (r"(?-i:picamera2(:\d{1,2})?)", "picamera2"),
    ("-", "raw"),
    ("https?://.*", "http"),
    (_URL, "stream"),
    ("[0-9]+|(?-i:/dev/.*)", "v4l2"),
)
"""The names of sources that are not files: regular expressions, each with the kind of source."""


def path_of(source: str) -> str:
    """The name of a source; the path where the name is a URL such as `file:///path`.

    Args:
        source: the name in the settings.

    Raises:
        SourceError: when the name is empty, or is a `file:` URL without a path.
    """
    if not source:
        raise SourceError("expected a camera index, path or URL, found an empty name; see --camera")
    if not source.lower().startswith("file://"):
        return source
    match = re.fullmatch(r"file://(?:localhost)?(/.*)", source, re.IGNORECASE | re.DOTALL)
    if match is None:
        raise SourceError(
            f"expected a URL such as file:///folder/clip.mp4, found {redact(source)}; name the whole path"
        )
    return os.fsdecode(unquote_to_bytes(os.fsencode(match[1])))


def check_url(source: str) -> None:
    """Check whether user and password of a URL are written so that every program finds their end.

    Args:
        source: the name of a source, or any other text.

    Raises:
        ValueError: when they are surely not; the message does not show them.
    """
    if not re.fullmatch(_URL, source, re.IGNORECASE | re.DOTALL) or source.lower().startswith("file:"):
        return
    rest = source.partition("://")[2]
    place = re.split("[/?#]", rest, maxsplit=1)[0]
    host_is_whole = _HOST.fullmatch(place.rpartition("@")[2])
    login_is_cut = "@" in rest[len(place) :].partition("#")[2] or re.search(r"\s", rest.rpartition("@")[0] or place)
    if not host_is_whole or login_is_cut:
        raise ValueError(f"expected a URL {ENCODING}, found one of these as it is")


def is_index(source: str) -> bool:
    """Whether the name of a source is a camera's number."""
    return source.isascii() and source.isdigit()


_URLS = (  # regular expressions, each with the highest port or baud rate
    (re.compile(r"(udpin|udpout):(\[[^\]]+\]|[^:\[\]]+):(\d+)"), 65_535),
    (re.compile(r"(serial):(.+):(\d+)"), 10_000_000),
)


class Url(NamedTuple):
    """The address of a link.

    Attributes:
        kind: `udpout`, `udpin` or `serial`.
        place: host name or device.
        number: port or baud rate.
    """

    kind: str
    place: str
    number: int


def parse_url(text: str) -> Url:
    """Parse the address of a link.

    Args:
        text: an address such as `udpout:HOST:PORT`.

    Raises:
        ValueError: when it is not an address of a link.
    """
    for pattern, highest in _URLS:
        match = pattern.fullmatch(text)
        if match is not None and 0 < int(match[3]) <= highest:
            return Url(match[1], match[2], int(match[3]))
    raise ValueError(
        "expected udpout:HOST:PORT, udpin:HOST:PORT or serial:DEVICE:BAUD, such as serial:/dev/ttyAMA0:57600, "
        f"found {text!r}"
    )


class Place(NamedTuple):
    """Where a server is: a host name or IP address, and a TCP port."""

    host: str
    port: int


_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:@/\[\]]+)):(\d{1,5})")


def parse_place(text: str, lowest: int = 1) -> Place:
    """Parse `HOST:PORT`, or `[IPV6]:PORT`.

    Args:
        text: the address.
        lowest: the lowest port; 0 where that means any free one.

    Raises:
        ValueError: when it is no such address.
    """
    match = _PLACE.fullmatch(text)
    if match is None or not lowest <= int(match[3]) <= 65_535:
        raise ValueError(f"expected HOST:PORT, such as 192.168.100.2:9010 or [fe80::2]:9010, found {text!r}")
    return Place(match[1] or match[2], int(match[3]))


REMOTE = "remote:"
"""How the name of a device begins that another computer has; its address follows."""

BACKEND_PATTERN = r"auto|cpu|fake|edgetpu(:(usb|pci):\d+)?"
"""Regular expression for names of devices: `edgetpu` is all Edge TPUs, `edgetpu:usb:0` the first one on USB."""
