"""The client's end of a connection: TCP, TLS where it is asked for, and one deadline for each exchange of messages."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from edge_fer.common.closeable import Closeable
from edge_fer.common.tls import plain
from edge_fer.errors import BackendError
from edge_fer.inference.remote import protocol
from edge_fer.inference.remote.messages import Kind

_PIECE = 1 << 16  # bytes that are asked for at once
_BEAT = (  # a peer that vanished without a word is noticed within a minute, even while nothing is asked
    (socket.SO_KEEPALIVE, socket.SOL_SOCKET, 1),
    (socket.TCP_KEEPIDLE, socket.IPPROTO_TCP, 20),
    (socket.TCP_KEEPINTVL, socket.IPPROTO_TCP, 10),
    (socket.TCP_KEEPCNT, socket.IPPROTO_TCP, 3),
    (socket.TCP_NODELAY, socket.IPPROTO_TCP, 1),
)


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and how it is reached.

    Attributes:
        host: its name or IP address.
        port: its TCP port.
        tls: what its certificate is checked against; None: no TLS.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def prepare(sock: socket.socket) -> None:
    """Have messages sent at once, and the loss of the other end noticed."""
    for option, level, value in _BEAT:
        sock.setsockopt(level, option, value)


class Connection(Closeable):
    """Sends and receives whole messages; for one thread at a time. After an error only `close` is of use.

    Args:
        server: whom to connect to.
        connect_s: how long the connection and the handshake of TLS may take together, seconds.

    Raises:
        BackendError: when that fails, in one line that says what.
    """

    def __init__(self, server: Server, connect_s: float) -> None:
        self._server = server
        self._until = time.monotonic() + connect_s
        self._within_s = connect_s
        try:
            raw = _connect(server, connect_s)
        except OSError as error:
            raise self._unreachable(error) from error
        self._socket: Any = raw
        try:
            prepare(raw)
            if server.tls is not None:
                raw.settimeout(self._left())
                self._socket = server.tls.wrap_socket(raw, server_hostname=server.host)
        except OSError as error:  # an SSLError is one
            self.close()
            raise self._tls_failed(error) from error

    def start(self, within_s: float) -> None:
        """Set the deadline of the messages that follow, seconds from now."""
        self._within_s, self._until = within_s, time.monotonic() + within_s

    def send(self, message: bytes) -> None:
        """Send a message.

        Raises:
            BackendError: when the connection breaks, or the deadline passes.
        """
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(message)
        except OSError as error:
            raise self._broken(error) from error

    def receive(self, *expected: Kind, most: int = protocol.MAX_TEXT_BYTES) -> tuple[Kind, bytes]:
        """Receive a message.

        Args:
            expected: the kinds that may come now.
            most: the longest body that may come now, bytes.

        Raises:
            ProtocolError: when something else comes.
            BackendError: when the connection breaks, or the deadline passes.
        """
        try:
            kind, length = protocol.header(self._exactly(protocol.HEADER_BYTES), *expected, most=most)
            return kind, self._exactly(length)
        except protocol.ProtocolError as error:
            raise type(error)(f"the server at {self._server}: {error}") from error
        except OSError as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _exactly(self, count: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < count:
            self._socket.settimeout(self._left())
            piece = self._socket.recv(min(count - len(pieces), _PIECE))
            if not piece:
                raise ConnectionResetError
            pieces += piece
        return bytes(pieces)

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _broken(self, error: OSError) -> BackendError:
        if isinstance(error, TimeoutError):
            return BackendError(f"expected an answer of the server at {self._server} within {self._limit}, found none")
        return BackendError(f"expected the connection to the server at {self._server} to hold, found: {_words(error)}")

    def _unreachable(self, error: OSError) -> BackendError:
        found = f"no answer within {self._limit}" if isinstance(error, TimeoutError) else _words(error)
        return BackendError(
            f"expected a server of edge-fer at {self._server}, found: {found}; start `edge-fer serve` there, or mend "
            "classify.backend"
        )

    def _tls_failed(self, error: OSError) -> BackendError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return BackendError(
                f"expected a certificate of the server at {self._server} that can be trusted, found: "
                f"{error.verify_message}; mend it, or set classify.remote.ca_file"
            )
        if isinstance(error, TimeoutError):
            found = f"no answer within {self._limit}"
        elif isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError)):
            found = "connection closed"
        else:
            found = _words(error)
        return BackendError(
            f"expected to agree on TLS with the server at {self._server}, found: {found}; both ends need it, or "
            "neither: see classify.remote.tls and serve.tls"
        )

    @property
    def _limit(self) -> str:
        return f"{self._within_s * 1e3:.0f} ms"


def _connect(server: Server, connect_s: float) -> socket.socket:
    """Connect to the first of a server's addresses that answers."""
    until = time.monotonic() + connect_s
    last: OSError = TimeoutError()
    for family, kind, number, _, address in _addresses(server, connect_s):
        sock = socket.socket(family, kind, number)
        try:
            sock.settimeout(max(until - time.monotonic(), 1e-3))
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last


def _addresses(server: Server, within_s: float) -> list[Any]:
    """The addresses of a host; a name server that does not answer is not waited for, which has no other bound."""

    def look_up() -> list[Any]:
        return socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)

    try:
        ip_address(server.host.partition("%")[0])
    except ValueError:
        return _in_time(look_up, within_s)
    return look_up()


def _in_time(call: Callable[[], list[Any]], within_s: float) -> list[Any]:
    found: list[Any] = []
    failed: list[OSError] = []

    def run() -> None:
        try:
            found.extend(call())
        except (OSError, UnicodeError) as error:  # the latter for a host that cannot be a name
            failed.append(error if isinstance(error, OSError) else OSError(str(error)))

    thread = threading.Thread(target=run, name="look up a host", daemon=True)
    thread.start()
    thread.join(within_s)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError
    return found


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return plain(error.reason or str(error))
    if isinstance(error, ConnectionResetError) and error.errno is None:
        return "connection closed"
    return str(error.strerror or error).lower()
