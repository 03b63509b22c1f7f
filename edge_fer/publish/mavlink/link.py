"""A link that carries MAVLink as bytes, without parsing any message; UDP and serial have a module each."""

from __future__ import annotations

from abc import abstractmethod

from edge_fer.common.closeable import Closeable
from edge_fer.errors import OutputError

READ_BYTES = 4096
"""At most so much is read at once, so that a peer that sends without a pause does not keep this side from sending."""


class LinkDown(OutputError):
    """A link that may come back by itself, as when a plug is put in."""


class Link(Closeable):
    """An open link."""

    @abstractmethod
    def fileno(self) -> int:
        """A file descriptor that becomes readable when bytes have come."""

    @abstractmethod
    def read(self) -> bytes:
        """The bytes that have come, at most `READ_BYTES`; empty where none are for us.

        Raises:
            LinkDown: when the link is down.
        """

    @abstractmethod
    def write(self, packet: bytes) -> None:
        """Send one message.

        Args:
            packet: the encoded message.

        Raises:
            LinkDown: when the link is down.
        """

    @property
    def reason(self) -> str | None:
        """Why there is no peer to send to yet; None: there is one."""
        return None
