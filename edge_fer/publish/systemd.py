"""Telling systemd how the service is.

A datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names, as sd_notify(3) describes; without one,
nobody wants to know.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

from edge_fer.common.closeable import Closeable
from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.schema import Reading, Record
from edge_fer.types import Image

_STATUS_S = 1.0  # between two lines for `systemctl status`


class Notifier(Closeable):
    """Sends to the service manager, if there is one.

    Args:
        environment: has `NOTIFY_SOCKET`, and `WATCHDOG_USEC` where the service is watched.
        clock: CLOCK_MONOTONIC, seconds.

    Raises:
        OutputError: when the socket that it names cannot be reached.
    """

    def __init__(
        self, environment: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._beat_s = int(environment.get("WATCHDOG_USEC", 0)) / 1e6 / 4
        self._beat_at = float("-inf")
        self._socket = _connect(environment.get("NOTIFY_SOCKET", ""))

    def tell(self, *lines: str) -> bool:
        """Send assignments, such as `READY=1`. A manager that does not take them is not waited for.

        Returns:
            Whether it took them: its mailbox may be full, or itself be starting anew.
        """
        if self._socket is None:
            return True
        try:
            self._socket.send("\n".join(lines).encode())
        except OSError:
            return False
        return True

    def beat(self) -> None:
        """Feed the watchdog, four times in its interval at most; call it whenever all is well."""
        now = self._clock()
        if self._beat_s and now - self._beat_at >= self._beat_s and self.tell("WATCHDOG=1"):
            self._beat_at = now

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()

    def reloading(self) -> None:
        """Say that the settings are being read again; `READY=1` ends it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={round(self._clock() * 1e6)}")


class SystemdSink(Sink):
    """Shows the newest state in `systemctl status`; the first turn of the loop makes the service ready.

    Args:
        notifier: sends it.
        clock: seconds that never go backwards.
    """

    name = "systemd"
    queue_size = 8
    internal = True

    def __init__(self, notifier: Notifier, clock: Callable[[], float] = time.monotonic) -> None:
        self._notifier, self._clock = notifier, clock
        self._ready = False
        self._told_at = float("-inf")

    def publish(self, record: Record, image: Image | None) -> None:
        """Tell of one record; see `edge_fer.publish.Sink.publish`."""
        now = self._clock()
        if isinstance(record, Reading) and now - self._told_at < _STATUS_S:
            return
        lines = [f"STATUS={summary(record)}"]
        is_ready = self._ready or isinstance(record, Reading) or record.state != "starting"
        if is_ready and not self._ready:
            lines.append("READY=1")
        if self._notifier.tell(*lines):
            self._told_at, self._ready = now, is_ready


def summary(record: Record) -> str:
    """One line on how the box is: rate, device, faces, and what is wrong."""
    if isinstance(record, Reading):
        count = f"{len(record.faces)} face{'s' * (len(record.faces) != 1)}"
        wrong = f"; degraded: {record.reason}" if record.degraded else ""
        return f"{record.fps:.1f} FPS on {record.backend}, {count}{wrong}"
    return f"{record.state}: {record.message}".replace("\n", " ")


def _connect(address: str) -> socket.socket | None:
    if not address:
        return None
    link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        link.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError as error:
        link.close()
        raise OutputError(
            f"expected systemd's socket at {address}, found: {error.strerror}; unset NOTIFY_SOCKET"
        ) from error
    return link
