"""Asks a camera for its answer: redirects, passwords and TLS, and what a refusal means in words."""

from __future__ import annotations

import socket
import ssl
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse

from edge_fer.capture.sources.http_camera.address import Address, parse_address
from edge_fer.capture.sources.http_camera.login import Authorization
from edge_fer.capture.sources.http_camera.tls import CameraTls, tls_refusal

MAX_REDIRECTS = 5

_CHECK_ENCODING = "write characters such as @ : / ? # % in a password percent-encoded, as %40 for @"
_HINTS = {
    HTTPStatus.FORBIDDEN: "see in the camera's settings what this user may see, and whether the path is right",
    HTTPStatus.NOT_FOUND: "check the path: the camera's manual names that of its stream or snapshot",
    HTTPStatus.SERVICE_UNAVAILABLE: "close its other viewers, since many cameras serve only a few; or start it again",
}


class Connection:
    """Asks a camera for one answer after the other, over one connection where the camera keeps it open.

    No call has a deadline here but connecting: that of the child process covers all waits.

    Args:
        address: the camera's URL.
        connect_timeout_s: how long one attempt to connect may take, seconds; a name may stand for several hosts.
        ca_file: see `CaptureSettings.ca_file`.

    Attributes:
        address: where the answer comes from, after redirects.

    Raises:
        OSError: when the address is none, or the file of certificates cannot be used.
    """

    def __init__(self, address: str, connect_timeout_s: float, ca_file: str | None = None) -> None:
        try:
            self.address = parse_address(address)
        except ValueError:  # its text may hold parts of the password
            raise OSError(f"it is no address such as http://USER:PASSWORD@HOST/PATH\n{_CHECK_ENCODING}") from None
        self._timeout_s = connect_timeout_s
        self._tls = CameraTls(ca_file)
        self._authorization = Authorization(self.address.login) if self.address.login else None
        self._http: HTTPConnection | None = None
        self.socket: socket.socket | None = None
