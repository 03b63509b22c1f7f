"""Encrypted connections to cameras, whose certificates are seldom signed by anybody.

A certificate is trusted when an authority has signed it for the host's name, or when it stands itself in the file that
the settings name: then its name and its dates, which cameras often have wrong, do not matter.
"""

from __future__ import annotations

import re
import ssl
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

from edge_fer.common.tls import trust

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CameraTls:
    """What cameras' certificates are checked against.

    Args:
        ca_file: see `CaptureSettings.ca_file`.

    Attributes:
        context: the authorities.
        known: the certificates in the file themselves, as DER.

    Raises:
        OSError: when the file cannot be used.
    """

    def __init__(self, ca_file: str | None) -> None:
        self.known: frozenset[bytes] = frozenset()
        if ca_file is None:
            self.context = trust(None)
            return
        try:
            self.context = trust(ca_file)
            found = _CERTIFICATE.findall(Path(ca_file).read_text("ascii", errors="replace"))
            self.known = frozenset(map(ssl.PEM_cert_to_DER_cert, found))
        except (OSError, ValueError) as error:
            reason = "none" if isinstance(error, (ssl.SSLError, ValueError)) else error.strerror
            raise OSError(f"no certificates: {ca_file}: {reason}; name a PEM file in capture.ca_file") from error


class TlsConnection(HTTPSConnection):
    """A connection to a camera whose certificate is trusted.

    Args:
        host: host name or address.
        port: TCP port.
        timeout_s: how long connecting may take, seconds.
        tls: what the certificate is checked against.
    """

    def __init__(self, host: str, port: int, timeout_s: float, tls: CameraTls) -> None:
        super().__init__(host, port, timeout=timeout_s, context=tls.context)
        self._known = tls.known

    def connect(self) -> None:
        """Connect, and check the certificate before anything is sent."""
        if not (self._known and self._connect_to_known()):
            super().connect()

    def _connect_to_known(self) -> bool:
        """Connect without asking who has signed the certificate; whether it stands in the file."""
        HTTPConnection.connect(self)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        encrypted = context.wrap_socket(self.sock, server_hostname=self.host)
        if encrypted.getpeercert(binary_form=True) in self._known:
            self.sock = encrypted
            return True
        encrypted.close()
        return False


def tls_refusal(error: ssl.SSLError) -> str:
    """Why there is no encrypted connection, in words, and what to do.

    Args:
        error: the failure of the handshake.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message.strip('.')}); "
            "save the certificate to a file and name that in capture.ca_file, see docs/cameras.md"
        )
    reason = (error.reason or "the connection was closed").replace("_", " ").lower()
    if "wrong version number" in reason or "http request" in reason:
        return f"no TLS is spoken there ({reason}); use http:// or the camera's port for https"
    return f"no encrypted connection ({reason}); update the camera's firmware, or use http:// in a network you trust"
