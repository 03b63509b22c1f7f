"""Reports the service's state to systemd.

A datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names, as sd_notify(3) describes; without that
variable nothing is sent.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

from edge_fer.common.closeable import Closeable
from edge_fer.common.text import counted, printable
from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.schema import Reading, Record, Status, TrackRecord
from edge_fer.types import Image

_STATUS_S = 1.0  # between two lines for `systemctl status`


class Notifier(Closeable):
    """Sends to the service manager, if there is one.

    `notify` may be called in any thread: each call sends one datagram. `beat` and the others belong to the main thread.

    Args:
        environment: environment variables: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` where systemd watches the service.
        clock: CLOCK_MONOTONIC, seconds.

    Raises:
        OutputError: when the socket cannot be reached.
    """

    def __init__(
        self, environment: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._beat_s = int(environment.get("WATCHDOG_USEC", 0)) / 1e6 / 4
        self._beat_at = float("-inf")
        self._socket = _connect(environment.get("NOTIFY_SOCKET", ""))

    def notify(self, *lines: str) -> bool:
        """Send assignments. A manager that does not take them is not waited for.

        Args:
            lines: the assignments, such as `READY=1`.

        Returns:
            Whether the manager took them: its queue may be full, or it may be restarting.
        """
        if self._socket is None:
            return True
        try:
            self._socket.send("\n".join(lines).encode())
        except OSError:
            return False
        return True

    def beat(self) -> None:
        """Reset the watchdog, at most four times in its interval; call it whenever all is well."""
        now = self._clock()
        if self._beat_s and now - self._beat_at >= self._beat_s and self.notify("WATCHDOG=1"):
            self._beat_at = now

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()

    def reloading(self) -> None:
        """Report that the settings are being read again; `READY=1` ends that state."""
        self.notify("RELOADING=1", f"MONOTONIC_USEC={round(self._clock() * 1e6)}")


class SystemdSink(Sink):
    """Shows the newest state in `systemctl status`; the first record after the start makes the service ready.

    Args:
        notifier: sends the state.
        clock: seconds that never go backwards.
    """

    name = "systemd"
    queue_size = 8
    internal = True

    def __init__(self, notifier: Notifier, clock: Callable[[], float] = time.monotonic) -> None:
        self._notifier, self._clock = notifier, clock
        self._ready = False
        self._shown_at = float("-inf")

    def publish(self, record: Record, image: Image | None) -> None:
        """Show one record; see `edge_fer.publish.Sink.publish`."""
        if isinstance(record, TrackRecord):
            return
        now = self._clock()
        if isinstance(record, Reading) and now - self._shown_at < _STATUS_S:
            return
        lines = [f"STATUS={summary(record)}"]
        is_ready = self._ready or isinstance(record, Reading) or record.state != "starting"
        if is_ready and not self._ready:
            lines.append("READY=1")
        if self._notifier.notify(*lines):
            self._shown_at, self._ready = now, is_ready


def summary(record: Reading | Status) -> str:
    """One line on the run: rate, device, faces, and what is wrong.

    Args:
        record: the newest record.
    """
    if isinstance(record, Reading):
        count = counted(len(record.faces), "face")
        wrong = f"; degraded: {record.reason}" if record.degraded else ""
        return f"{record.fps:.1f} FPS on {record.backend}, {count}{wrong}"
    if (served := record.served) is not None and served.listening:
        count = counted(served.clients, "client")
        return printable(f"{count}, {record.fps:.1f} faces a second on {record.backend}; {record.message}")
    return printable(f"{record.state}: {record.message}")


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
