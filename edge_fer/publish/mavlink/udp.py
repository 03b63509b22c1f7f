"""MAVLink over UDP: to an address, or to the peer that sends to ours."""

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
"""`udpin` answers its peer until so long after the peer's last packet; then the next sender becomes the peer."""

RESOLVE_S = 5.0
"""How long the resolver may take for a host name, seconds."""

_Address = tuple[Any, ...]


class _Udp(Link):
    """A socket of the family of a url's host.

    Args:
        url: the host and port.
        resolve_s: how long the resolver may take for the host name, seconds.

    Raises:
        LinkDown: when the host is not found.
    """

    def __init__(self, url: Url, resolve_s: float = RESOLVE_S) -> None:
        self._name = f"{url.place}:{url.number}"
        family, self._address = _resolve(url, resolve_s)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """See `Link`."""
        return self._socket.fileno()

    def close(self) -> None:
        """See `Link`."""
        self._socket.close()

    def _receive(self) -> tuple[bytes, _Address | None]:
        """One datagram and its sender; empty and None where none has come."""
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
    """Sends to one address, and receives from no other.

    The socket is not connected: then it is no error when nothing listens there yet, or no longer.
    """

    def read(self) -> bytes:
        """See `Link`."""
        packet, sender = self._receive()
        return packet if sender == self._address else b""

    def write(self, packet: bytes) -> None:
        """See `Link`."""
        self._send(packet, self._address)


class UdpIn(_Udp):
    """Listens at an address of this machine, and sends to the peer that sends to it.

    Args:
        url: the address and port.
        clock: seconds that never go backwards.
        resolve_s: how long the resolver may take for the host name, seconds.

    Raises:
        LinkDown: when the address is not there now, or the host is not found.
        OutputError: when a person must change something first.
    """

    def __init__(self, url: Url, clock: Callable[[], float] = time.monotonic, resolve_s: float = RESOLVE_S) -> None:
        super().__init__(url, resolve_s)
        self._clock = clock
        self._peer: _Address | None = None
        self._received_s = 0.0
        try:
            self._socket.bind(self._address)
        except OSError as error:
            self.close()
            hint = {
                errno.EADDRINUSE: "another program has this port: end it, or choose another port",
                errno.EADDRNOTAVAIL: "this box has no such address",
                errno.EACCES: "choose a port above 1023",
            }.get(error.errno or 0, "choose another address")
            # The address may appear when its network is up.
            kind = LinkDown if error.errno == errno.EADDRNOTAVAIL else OutputError
            raise kind(f"expected to listen at {self._name} for MAVLink, found: {error.strerror}; {hint}") from error

    def read(self) -> bytes:
        """See `Link`."""
        packet, sender = self._receive()
        if sender is None or (sender != self._peer and self._has_peer):
            return b""
        self._peer, self._received_s = sender, self._clock()
        return packet

    def write(self, packet: bytes) -> None:
        """See `Link`; without a peer, the packet is discarded."""
        if self._peer is not None:
            self._send(packet, self._peer)

    @property
    def reason(self) -> str | None:
        """See `Link`."""
        return None if self._has_peer else f"nobody speaks MAVLink to {self._name}; send there to be answered"

    @property
    def _has_peer(self) -> bool:
        return self._peer is not None and self._clock() - self._received_s <= PEER_S


def _resolve(url: Url, within_s: float) -> tuple[socket.AddressFamily, _Address]:
    """Family and address of a host; IPv4 where it has both, since most MAVLink programs support nothing else."""
    found: list[tuple[socket.AddressFamily, _Address]] = []
    why: list[str] = []

    def look_up() -> None:
        try:
            for family, *_, address in socket.getaddrinfo(url.place.strip("[]"), url.number, type=socket.SOCK_DGRAM):
                found.append((family, address))
        except (OSError, UnicodeError) as error:
            why.append(getattr(error, "strerror", None) or str(error))

    # The system's resolver has no time-out that a program could set. A thread that is stuck in it is left behind; the
    # lists are read only when the thread has ended.
    thread = threading.Thread(target=look_up, name="mavlink resolver", daemon=True)
    thread.start()
    thread.join(within_s)
    is_late = thread.is_alive()
    if is_late or not found:
        what = f"no answer within {within_s:g} s" if is_late or not why else why[0]
        raise LinkDown(f"expected a host for MAVLink, found {url.place!r}: {what}; see publish.mavlink.url")
    return min(found, key=lambda entry: entry[0] != socket.AF_INET)
