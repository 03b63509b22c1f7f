"""Asks a camera for its answer: redirects, passwords and TLS, and in words what a refusal means."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse, responses

from edge_fer.capture.sources.http_camera.address import parse_address
from edge_fer.capture.sources.http_camera.login import Authorization
from edge_fer.capture.sources.http_camera.tls import CameraTls, TlsConnection, tls_refusal
from edge_fer.capture.sources.refusal import LoginRefused

MAX_REDIRECTS = 5

_HEADERS = {"Accept": "*/*", "User-Agent": "edge-fer"}
_ENCODE = "in a password, percent-encode @ : / ? # and % (%40 for @)"
_REFUSED = (401, 403)
_HINTS = {
    403: "see in the camera's settings what this user may see, and whether the path is right",
    404: "check the path: the camera's manual names that of its stream or snapshot",
    503: "close other viewers, since many cameras serve only a few, or restart the camera",
}


class Connection:
    """Asks a camera for one answer after the other, through one TCP connection where the camera keeps it open.

    Nothing has a time-out here but connecting: the deadline of the child process covers every wait.

    Args:
        address: the camera's URL.
        connect_timeout_s: how long an attempt to connect may take, seconds; a name may stand for several hosts.
        ca_file: see `CaptureSettings.ca_file`.

    Attributes:
        address: where the answers come from, after redirects.
        socket: what the last answer arrives at; set by `get`.

    Raises:
        OSError: when the address is none.
    """

    socket: socket.socket

    def __init__(self, address: str, connect_timeout_s: float, ca_file: str | None = None) -> None:
        try:
            self.address = parse_address(address)
        except ValueError:  # its text may hold parts of the password
            raise OSError(f"it is no address such as http://HOST/PATH; {_ENCODE}") from None
        self._timeout_s = connect_timeout_s
        self._ca_file = ca_file
        self._tls: CameraTls | None = None
        self._authorization = Authorization(self.address.login) if self.address.login else None
        self._redirected = False
        self._http: HTTPConnection | None = None
        self._answer: HTTPResponse | None = None

    def get(self) -> HTTPResponse:
        """Ask for the address; follow redirects, and log in where the camera wants it.

        The connection serves the next call when the answer has been read to its end.

        Returns:
            An answer with status 200.

        Raises:
            OSError: when there is none, with the reason and mostly with a hint.
            LoginRefused: when it refuses the user or the password.
        """
        try:
            return self._get_redirected()
        except LoginRefused:
            self.close()
            raise
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise OSError(self._in_words(error)) from error

    def close(self) -> None:
        """Close the connection, and an answer that is still being read."""
        for one in (self._answer, self._http):
            if one is not None:
                one.close()
        self._answer = self._http = None

    def _get_redirected(self) -> HTTPResponse:
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._get_logged_in()
            if answer.status == 200:
                return answer
            location = answer.headers.get("Location")
            if not 300 <= answer.status < 400 or location is None:
                kind = LoginRefused if answer.status in _REFUSED else OSError
                raise kind(self._refusal(answer.status))
            self._redirect(location)
        raise OSError(f"it redirects more than {MAX_REDIRECTS} times; name the final address")

    def _get_logged_in(self) -> HTTPResponse:
        """Ask once, and once more with a password where the camera wants one."""
        answer = self._ask()
        if answer.status == 401 and self._authorization is not None:
            sent = answer.headers.get_all("WWW-Authenticate", [])  # decoded as Latin-1
            if not self._authorization.challenge([_utf_8(one) for one in sent]):
                raise OSError("it answers 401 and wants a login of a kind that is not known; set basic or digest there")
            self.close()
            answer = self._ask()
        return answer

    def _ask(self) -> HTTPResponse:
        """Ask once, in a new connection where the camera has closed the old one meanwhile."""
        if self._http is not None and self._http.sock is not None:
            try:
                return self._ask_through(self._http)
            except (ConnectionError, HTTPException):
                pass  # as after its keep-alive: a new connection tells what is really wrong
        self.close()
        return self._ask_through(self._connect())

    def _ask_through(self, http: HTTPConnection) -> HTTPResponse:
        headers: dict[str, str | bytes] = dict(_HEADERS)
        if self._authorization is not None and (login := self._authorization.header(self.address.target)):
            headers["Authorization"] = login.encode(errors="surrogateescape")
        http.request("GET", self.address.target, headers=headers)
        self.socket = http.sock  # the answer may take it over
        self._answer = http.getresponse()
        return self._answer

    def _connect(self) -> HTTPConnection:
        scheme, host, port, *_ = self.address
        http = HTTPConnection(host, port, timeout=self._timeout_s)
        if scheme == "https":
            self._tls = self._tls or CameraTls(self._ca_file)  # reading the system's authorities takes a while
            http = TlsConnection(host, port, self._timeout_s, self._tls)
        self._http = http
        http.connect()
        http.sock.settimeout(None)
        return http

    def _redirect(self, location: str) -> None:
        """Go on with another address.

        Raises:
            OSError: when that is none of HTTP.
        """
        self.close()
        self._redirected = True
        try:
            self.address = self.address.redirected(location)
        except ValueError:
            raise OSError("it redirects to an address that is none of http; name the stream's own") from None
        if self.address.login is None:
            self._authorization = None

    def _refusal(self, status: int) -> str:
        """What an answer without a picture means, and what to do."""
        found = f"it answers {status} {responses.get(status, '')}".rstrip()
        if self._redirected:
            found += f" (redirected to {self.address.url})"
        if status != 401:
            return f"{found}; {_HINTS[status]}" if status in _HINTS else found
        if self._authorization is not None:
            return f"{found} to the user and the password of the address; check them: {_ENCODE}"
        return f"{found}: it wants a user and a password; name them in the address, see docs/cameras.md"

    def _in_words(self, error: Exception) -> str:
        """Why there is no answer."""
        if isinstance(error, TimeoutError):
            return f"it does not answer within {self._timeout_s:g} s"
        if isinstance(error, ssl.SSLError):
            return tls_refusal(error)
        if isinstance(error, socket.gaierror):
            return f"no host of this name is known; check it; {_ENCODE}"
        if isinstance(error, OSError):
            return error.strerror or str(error)
        return f"it does not answer in HTTP ({type(error).__name__})"  # the error's text may be anything that was sent


def _utf_8(header: str) -> str:
    """A header that http.client has decoded as Latin-1; bytes that are no UTF-8 become surrogates."""
    return header.encode("latin-1").decode(errors="surrogateescape")
