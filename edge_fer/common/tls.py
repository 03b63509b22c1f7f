"""What certificates of other machines are checked against."""

from __future__ import annotations

import ssl
from pathlib import Path


def trust(ca_file: Path | str | None) -> ssl.SSLContext:
    """The authorities that may have signed a certificate.

    Authorities of one's own seldom state all that RFC 5280 asks of them: `openssl req -x509` leaves the key usage out.
    From Python 3.13 on that alone would be a refusal.

    Args:
        ca_file: PEM file of one's own authorities; None: those that the system trusts.

    Raises:
        OSError: when the file cannot be used; ssl.SSLError is one.
    """
    context = ssl.create_default_context(cafile=ca_file)
    if ca_file is not None:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
