"""Opens a link by its url."""

from __future__ import annotations

from edge_fer.errors import ConfigError
from edge_fer.publish.mavlink.link import Link
from edge_fer.settings.addresses import parse_url


def open_link(text: str) -> Link:
    """Open a link once.

    Args:
        text: its url.

    Raises:
        LinkDown: when it cannot be opened now, and may be later without anyone's help.
        OutputError: when a person must change something first.
        ConfigError: when it is no such url, or the library for serial lines is missing.
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
