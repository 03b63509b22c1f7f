"""A link that MAVLink goes over, which carries bytes and knows nothing of messages; UDP and serial have a file each."""

from __future__ import annotations

from abc import abstractmethod

from edge_fer.common.closeable import Closeable
from edge_fer.errors import OutputError

READ_BYTES = 4096
"""At most so much is read at once, so that a chatterbox does not keep us from talking."""


class LinkDown(OutputError):
    """A link that may come back by itself, as when a plug is put in."""


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
