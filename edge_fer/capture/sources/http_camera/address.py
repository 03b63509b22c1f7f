"""The address of a camera, taken apart: where to connect, what to ask for, and as whom."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

_PORTS = {"http": 80, "https": 443}
_AS_IT_IS = "%/:=&?~#+!$,;'@()*[]"  # only what no address may have, such as blanks, is encoded


class Login(NamedTuple):
    """User and password, decoded."""

    user: str
    password: str


class Address(NamedTuple):
    """A camera's address.

    Attributes:
        scheme: `http` or `https`.
        host: host name or IP address, without brackets.
        port: TCP port.
        target: path and query.
        login: whom to log in as; None where the address names nobody.
    """

    scheme: str
    host: str
    port: int
    target: str
    login: Login | None

    @property
    def url(self) -> str:
        """The address without user and password."""
        return f"{self.scheme}://{self._place}{self.target}"

    @property
    def url_with_login(self) -> str:
        """The address for a program that logs in by itself."""
        if self.login is None:
            return self.url
        user, password = (quote(part, safe="") for part in self.login)
        return f"{self.scheme}://{user}:{password}@{self._place}{self.target}"

    @property
    def _place(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def redirected(self, location: str) -> Address:
        """The address that an answer of this one points at.

        User and password are kept where it is the same server, or the same host by TLS. Those in the answer are left
        out.

        Args:
            location: the answer's header `Location`.

        Raises:
            ValueError: when it is no address of HTTP.
        """
        new = parse_address(urljoin(self.url, location))
        same = new[:3] == self[:3] or (new.host == self.host and (self.scheme, new.scheme) == ("http", "https"))
        return new._replace(login=self.login if same else None)


def parse_address(text: str) -> Address:
    """Take an address apart.

    Args:
        text: a URL.

    Raises:
        ValueError: when it is no address of HTTP; the message may hold parts of a password.
    """
    parts = urlsplit(re.sub(r"\s", lambda blank: quote(blank[0]), text.strip()))
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"expected http://HOST/PATH, found {text}")
    login = None if parts.username is None else Login(unquote(parts.username), unquote(parts.password or ""))
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_AS_IT_IS)
    return Address(parts.scheme, unquote(parts.hostname), port, target, login)
