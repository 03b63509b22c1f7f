"""MAVLink over UDP: to an address, or to whoever speaks to ours."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from edge_fer.errors import OutputError
from edge_fer.publish.mavlink.link import READ_BYTES, Link, LinkDown
from edge_fer.settings.addresses import Url

PEER_S = 10.0
"""Who spoke to `udpin` is answered until so long after the last word; then whoever speaks first."""

RESOLVE_S = 5.0
"""A name that is not resolved within so long is not waited for."""

_Address = tuple[Any, ...]


class _Udp(Link):
    """A socket for the family of a url's host."""

    def __init__(self, url: Url) -> None:
        self._name = f"{url.place}:{url.number}"
        family, self._address = _resolve(url)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """See `Link`."""
        return self._socket.fileno()

    def close(self) -> None:
        """See `Link`."""
        self._socket.close()

    def _receive(self) -> tuple[bytes, _Address | None]:
        """One datagram and who sent it; null: none has come."""
        try:
            return self._socket.recvfrom(READ_BYTES)
        except BlockingIOError:
            return b"", None
        except OSError as error:
            raise LinkDown(f"expected MAVLink at {self._name}, found: {error.strerror}; is the network up?") from error

    def _send(self, packet: bytes, address: _Address) -> None:
        try:
            self._socket.sendto(packet, address)
        except OSError as error:
            raise LinkDown(
                f"expected to send MAVLink to {self._name}, found: {error.strerror}; is the network up?"
            ) from error


class UdpOut(_Udp):
    """Speaks to one address, and listens to nobody else.

    The socket is not connected: that nobody listens there yet, or no longer, is no fault.
    """

    def read(self) -> bytes:
        """See `Link`."""
        packet, sender = self._receive()
        return packet if sender == self._address else b""

    def write(self, packet: bytes) -> None:
        """See `Link`."""
        self._send(packet, self._address)


class UdpIn(_Udp):
    """Waits at an address of its own for somebody who speaks, and speaks to them.

    Args:
        url: the address.
        clock: seconds that never go backwards.
    """

    def __init__(self, url: Url, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(url)
        self._clock = clock
        self._peer: _Address | None = None
        self._heard_s = 0.0
        try:
            self._socket.bind(self._address)
        except OSError as error:
            self.close()
            hint = {
                errno.EADDRINUSE: "another program has this port: end it, or choose another port",
                errno.EADDRNOTAVAIL: "this box has no such address",
                errno.EACCES: "choose a port above 1023",
            }.get(error.errno or 0, "choose another address")
            # An address may come with its network.
            kind = LinkDown if error.errno == errno.EADDRNOTAVAIL else OutputError
            raise kind(f"expected to listen at {self._name} for MAVLink, found: {error.strerror}; {hint}") from error

    def read(self) -> bytes:
        """See `Link`."""
        packet, sender = self._receive()
        if sender is None or (sender != self._peer and self._hears_peer):
            return b""
        self._peer, self._heard_s = sender, self._clock()
        return packet

    def write(self, packet: bytes) -> None:
        """See `Link`; to nobody while nobody has spoken."""
        if self._peer is not None:
            self._send(packet, self._peer)

    @property
    def reason(self) -> str | None:
        """See `Link`."""
        return None if self._hears_peer else f"nobody speaks MAVLink to {self._name}; send there to be answered"

    @property
    def _hears_peer(self) -> bool:
        return self._peer is not None and self._clock() - self._heard_s <= PEER_S


def _resolve(url: Url) -> tuple[socket.AddressFamily, _Address]:
    """Family and address of a host; IPv4 where it has both, as most MAVLink programs know nothing else."""
    found: list[tuple[socket.AddressFamily, _Address]] = []
    why: list[str] = []

    def ask() -> None:
        try:
            for family, *_, address in socket.getaddrinfo(url.place.strip("[]"), url.number, type=socket.SOCK_DGRAM):
                found.append((family, address))
        except (OSError, UnicodeError) as error:
            why.append(getattr(error, "strerror", None) or str(error))

    # The system's resolver knows no time-out; one that is stuck is left behind.
    thread = threading.Thread(target=ask, name="mavlink resolver", daemon=True)
    thread.start()
    thread.join(RESOLVE_S)
    if thread.is_alive() or not found:
        what = why[0] if why else f"no answer within {RESOLVE_S:g} s"
        raise LinkDown(f"expected a host for MAVLink, found {url.place!r}: {what}; see publish.mavlink.url")
    return min(found, key=lambda entry: entry[0] != socket.AF_INET)
