"""Who may ask, how often, and by which name."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from pathlib import Path

from edge_fer.errors import ConfigError
from edge_fer.publish.secret import open_secret

SESSION_S = 12 * 3600
"""A browser that has logged in must do so again after this."""

SHORTEST_TOKEN = 16
_LONGEST_TOKEN = 4096
_ADDRESSES = 1024
_KEY = secrets.token_bytes(32)  # sessions end with the process, whose clock begins anew
_TELL_S = 60.0  # between two lines of the log about wrong tokens
_KEY = secrets.token_bytes(32)  # sessions end with the process, whose clock begins anew
_TELL_S = 60.0  # between two lines of the log about wrong tokens
_WRONG_TOKENS_A_SECOND, _WRONG_TOKENS_AT_ONCE = 1.0, 10.0


_log = logging.getLogger(__name__)


class Token:
    """What a client must know.

    Args:
        secret: the token.
        clock: seconds that never go backwards.

    Attributes:
        wrong: how often a wrong one was given.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._secret, self._clock = secret.encode(), clock
        self._failures = Limiter(_WRONG_TOKENS_A_SECOND, _WRONG_TOKENS_AT_ONCE)
        self.wrong = 0
        self._told_at = -math.inf

    def is_given(self, given: str, address: str) -> bool:
        """Whether a client knows the token; after too many wrong ones, nothing from its address is right for a while.

        Args:
            given: what it said.
            address: where it is.
        """
        if self.is_locked(address):
            return False
        # Compared in a time that does not depend on where they differ; digests are of one length, too.
        is_right = hmac.compare_digest(_digest(given.encode(errors="replace")), _digest(self._secret))
        if not is_right:
            self._failures.count(address)
            self._note_wrong(address)
        return is_right

    def is_locked(self, address: str) -> bool:
        """Whether nothing from an address is right now, after too many wrong tokens."""
        return not self._failures.allows(address)

    def session(self) -> str:
        """A cookie's value that stands for the token for `SESSION_S`, and does not tell it."""
        end = str(round(self._clock()) + SESSION_S)
        return f"{end}.{self._sign(end)}"

    def is_session(self, value: str) -> bool:
        """Whether a cookie's value was made by `session` and has not run out."""
        end, _, signature = value.partition(".")
        is_ours = hmac.compare_digest(signature.encode(errors="replace"), self._sign(end).encode())
        return is_ours and int(end) > self._clock()

    def _note_wrong(self, address: str) -> None:
        self.wrong += 1
        if self._clock() - self._told_at >= _TELL_S:
            self._told_at = self._clock()
            _log.warning("http: a wrong token came from %s; %d of them since the start", address, self.wrong)

    def _sign(self, end: str) -> str:
        return hmac.digest(_KEY + self._secret, b"edge-fer session " + end.encode(errors="replace"), "sha256").hex()


def read_token(path: Path | None) -> Token | None:
    """The token in a file; null where there is no file to read.

    Raises:
        ConfigError: when it cannot be read, others may read it, or it is too short to be safe.
    """
    if path is None:
        return None
    try:
        with open_secret(path, "a token") as file:
            content = file.read(_LONGEST_TOKEN + 1)
    except OSError as error:
        raise ConfigError(
            f"expected a token in {path} (publish.http.token_file), found: {error.strerror}; "
            f"make one: (umask 077; openssl rand -hex 32 > {path})"
        ) from error
    secret = content.decode(errors="replace").strip()
    if not SHORTEST_TOKEN <= len(secret) <= _LONGEST_TOKEN:
        raise ConfigError(
            f"expected a token of {SHORTEST_TOKEN} to {_LONGEST_TOKEN} characters in {path}, found {len(secret)}; "
            f"make one: openssl rand -hex 32 > {path}"
        )
    return Token(secret)


class Limiter:
    """So many times a second for each address, with bursts; the addresses that were quiet for longest are forgotten.

    Args:
        rate: times a second.
        burst: times at once.
        clock: seconds that never go backwards.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address: how many, as of when

    def allows(self, address: str) -> bool:
        """Whether one more is allowed now."""
        return self._now(address) >= 1

    def count(self, address: str) -> bool:
        """Count one more where it is allowed; whether it is."""
        left = self._now(address)
        if left >= 1:
            self._left[address] = (left - 1, self._clock())
            self._left.move_to_end(address)
            if len(self._left) > _ADDRESSES:
                self._left.popitem(last=False)
        return left >= 1

    def _now(self, address: str) -> float:
        left, at = self._left.get(address, (self._burst, self._clock()))
        return min(left + (self._clock() - at) * self._rate, self._burst)


class Hosts:
    """Names by which the box may be called.

    A page of a stranger can have its own name point to this box (DNS rebinding), and the browser then takes our
    answers for its own. It cannot do that with an IP address, nor with the names that are listed here.

    Args:
        names: beside localhost and the box's own.
    """

    def __init__(self, names: Iterable[str]) -> None:
        own = socket.gethostname().lower()
        self._names = {"localhost", own, f"{own}.local", *(name.lower().rstrip(".") for name in names)}

    def know(self, host: str) -> bool:
        """Whether a `Host` header names this box."""
        name = _without_port(host.lower())
        try:
            ip_address(name)
        except ValueError:
            return name.rstrip(".") in self._names
        return True


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
