"""Access to the web server: the token and its sessions, rates, connections, and host names."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from edge_fer.common import secret_file
from edge_fer.common.rate_limiter import RateLimiter

SESSION_S = 12 * 3600
"""A browser that has logged in must log in again after so many seconds."""

_WRONG_TOKENS_A_SECOND, _WRONG_TOKENS_AT_ONCE = 1.0, 10.0
_WARNINGS_A_SECOND = 1 / 60
_MAX_ENDED_SESSIONS = 1024
_KEY = secrets.token_bytes(32)  # sessions end with the process, since its clock may start again from zero

Verdict = Literal["right", "wrong", "too_soon"]
"""On a token: `too_soon` after too many wrong ones from the same address, whether this one is right or not."""

_log = logging.getLogger(__name__)


class Token:
    """The secret that clients must know; used in the server's thread.

    Args:
        secret: the token.
        clock: seconds that never go backwards.

    Attributes:
        refused: how many tokens were wrong, or came too soon.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.refused = 0
        self._secret, self._clock = secret.encode(), clock
        self._failures = RateLimiter(_WRONG_TOKENS_A_SECOND, _WRONG_TOKENS_AT_ONCE, clock)
        self._warnings = RateLimiter(_WARNINGS_A_SECOND, 1, clock)
        self._logged = 0  # how many of `refused` the log has
        self._ended: dict[str, int] = {}  # by session: when it would have expired

    def verify(self, given: str, address: str) -> Verdict:
        """Compare a token; a refusal is counted, and logged at most once a minute.

        Args:
            given: the client's token.
            address: the client's IP address.
        """
        if self.wait_s(address):
            self._refuse(address)
            return "too_soon"
        # The time of the comparison does not depend on where they differ; digests have one length, too.
        if hmac.compare_digest(_digest(given.encode(errors="replace")), _digest(self._secret)):
            return "right"
        self._failures.allow(address)
        self._refuse(address)
        return "wrong"

    def wait_s(self, address: str) -> float:
        """Seconds until a token from an address is compared again; 0: now.

        Args:
            address: the client's IP address.
        """
        return self._failures.wait_s(address)

    def session(self) -> str:
        """Make a cookie's value that is accepted in place of the token for `SESSION_S`, and does not reveal it."""
        session = f"{round(self._clock()) + SESSION_S}.{secrets.token_hex(8)}"
        return f"{session}.{self._sign(session)}"

    def is_session(self, value: str) -> bool:
        """Whether a cookie's value was made by `session`, has not expired and was not ended."""
        session, _, signature = value.rpartition(".")
        is_ours = hmac.compare_digest(signature.encode(errors="replace"), self._sign(session).encode())
        return is_ours and session not in self._ended and _end_of(session) > self._clock()

    def end_session(self, value: str) -> None:
        """Accept a cookie's value no more."""
        if not self.is_session(value):
            return
        session = value.rpartition(".")[0]
        self._ended = {one: end for one, end in self._ended.items() if end > self._clock()}
        self._ended[session] = _end_of(session)
        if len(self._ended) > _MAX_ENDED_SESSIONS:
            del self._ended[next(iter(self._ended))]

    def _sign(self, session: str) -> str:
        return hmac.digest(_KEY + self._secret, b"edge-fer session " + session.encode(errors="replace"), "sha256").hex()

    def _refuse(self, address: str) -> None:
        self.refused += 1
        if self._warnings.allow("all"):
            _log.warning(
                "http: refused a token from %s; refused since the last such warning, from anywhere: %d",
                address, self.refused - self._logged,
            )  # fmt: skip
            self._logged = self.refused


def read_token(path: Path | None) -> Token | None:
    """Read the token from a file.

    Args:
        path: the file; None: no token is used.

    Returns:
        The token; None without a file.

    Raises:
        ConfigError: when it cannot be read, others may read it, or it is too short to be safe.
    """
    if path is None:
        return None
    return Token(secret_file.read_token(path, "publish.http.token_file"))


class Hosts:
    """The host names that requests may use.

    Another site can let its own name point to this box (DNS rebinding); a browser then takes the box's answers for that
    site's. This does not work with an IP address, nor with the names that are listed here.

    Args:
        names: names beside localhost and the box's own.
        own: the box's own names; None: those of `own_names`.
    """

    def __init__(self, names: Iterable[str], own: Iterable[str] | None = None) -> None:
        self._names = {name.lower().rstrip(".") for name in ("localhost", *(own or own_names()), *names)}

    def is_allowed(self, host: str) -> bool:
        """Whether a `Host` header has an IP address or one of the names.

        Args:
            host: the header's value, with or without a port.
        """
        name = _without_port(host.lower())
        try:
            ip_address(name)
        except ValueError:
            return name.rstrip(".") in self._names
        return True


def own_names(host: str | None = None, table: Path = Path("/etc/hosts")) -> Iterator[str]:
    """The names of this box: with its domain and without, in multicast DNS, and those beside them in a table.

    No name server is asked: it would decide which names are ours.

    Args:
        host: the box's host name; None: the system's.
        table: the system's table of host names, hosts(5).
    """
    host = (host or socket.gethostname()).lower().rstrip(".")
    short = host.partition(".")[0]
    yield from (host, short, f"{short}.local")
    try:
        lines = table.read_text(errors="replace").splitlines()
    except OSError:  # a system without it
        return
    for line in lines:
        names = line.partition("#")[0].lower().split()[1:]
        if host in names or short in names:
            yield from names


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _end_of(session: str) -> int:
    return int(session.partition(".")[0])


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
