"""Encrypted connections to cameras, whose certificates are seldom signed by anybody.

A certificate is trusted when an authority has signed it for the host's name, or when it stands itself in the file that
the settings name, whatever name and time it bears.
"""

from __future__ import annotations

import re
import ssl
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CameraTls:
    """What cameras' certificates are checked against.

    Args:
        ca_file: see `CaptureSettings.ca_file`.

    Raises:
        OSError: when the file cannot be used.
    """

    def __init__(self, ca_file: str | None) -> None:
        self.known: frozenset[bytes] = frozenset()
        try:
            self.context = ssl.create_default_context(cafile=ca_file)
            if ca_file is not None:
                found = _CERTIFICATE.findall(Path(ca_file).read_text("ascii", errors="replace"))
                self.known = frozenset(map(ssl.PEM_cert_to_DER_cert, found))
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            found = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "none"
            raise OSError(f"expected certificates in PEM in {ca_file} (capture.ca_file), found: {found}") from error
