"""How cameras, devices and links are named in settings; nothing here opens any."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple
from urllib.parse import unquote

from edge_fer.common.text import redact
from edge_fer.errors import SourceError

SourceKind = Literal["v4l2", "picamera2", "stream", "raw", "picture", "folder", "video", "sample", "synthetic"]


_URL = r"[a-z][a-z0-9+.-]*://.*"


SOURCE_NAMES: tuple[tuple[str, SourceKind], ...] = (
    ("(?-i:sample)", "sample"),
    ("(?-i:synthetic:.*)", "synthetic"),
    (r"(?-i:picamera2(:\d{1,2})?)", "picamera2"),
    ("-", "raw"),
    (_URL, "stream"),
    ("[0-9]+|(?-i:/dev/.*)", "v4l2"),
)
"""How sources that are no files are named: patterns, and the kind that each one means."""


def path_of(source: str) -> str:
    """A source's name as it is, but for `file:///path` the path.

    Raises:
        SourceError: when it is empty, has bytes that are no UTF-8, or is a `file:` URL without a path.
    """
    if not source:
        raise SourceError("expected a camera index, path or URL, found an empty name; see --camera")
    try:
        source.encode()
    except UnicodeEncodeError as error:  # OpenCV crashes on such names, and JSON cannot carry them
        raise SourceError(
            f"expected a name in UTF-8, found other bytes in {redact(source)}; rename the file"
        ) from error
    if not source.lower().startswith("file://"):
        return source
    match = re.fullmatch(r"file://(?:localhost)?(/.*)", source, re.IGNORECASE | re.DOTALL)
    if match is None:
        raise SourceError(
            f"expected a URL such as file:///folder/clip.mp4, found {redact(source)}; name the whole path"
        )
    return unquote(match[1])


def is_index(source: str) -> bool:
    """Whether a source is named by a camera's number."""
    return source.isascii() and source.isdigit()


_URLS = (  # and the highest port, or baud rate
    (re.compile(r"(udpin|udpout):(\[[^\]]+\]|[^:\[\]]+):(\d+)"), 65_535),
    (re.compile(r"(serial):(.+):(\d+)"), 10_000_000),
)


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


BACKEND_PATTERN = r"auto|cpu|fake|edgetpu(:(usb|pci):\d+)?"
"""Names of devices: `edgetpu` is all Edge TPUs, `edgetpu:usb:0` the first one on USB."""
