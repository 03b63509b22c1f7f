"""TLS: what certificates of other machines are checked against, and this machine's own."""

from __future__ import annotations

import ssl
from pathlib import Path

from edge_fer.common.files import check_regular
from edge_fer.common.secret_file import open_secret
from edge_fer.errors import ConfigError

_UNREADABLE = "none that can be read"
_OTHER_KEY = "a key of another certificate"
_FOUND = {
    None: _UNREADABLE,
    "NO_CERTIFICATE_OR_CRL_FOUND": _UNREADABLE,
    "KEY_VALUES_MISMATCH": _OTHER_KEY,
    "NO_CERTIFICATE_ASSIGNED": _OTHER_KEY,
}
"""What is in a file, by OpenSSL's reason."""


def trust(ca_file: Path | str | None) -> ssl.SSLContext:
    """The authorities that may have signed a server's certificate.

    Args:
        ca_file: PEM file of one's own authorities; None: those that the system trusts.

    Raises:
        OSError: when the file cannot be used; ssl.SSLError is one.
    """
    if ca_file is not None:
        check_regular(Path(ca_file))
    context = ssl.create_default_context(cafile=ca_file)
    if ca_file is not None:
        _accept_own_authorities(context)
    return context


def client_context(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """For connections to a server.

    Args:
        ca_file: see `trust`.
        cert_file: PEM file of this machine's own certificate; None: it shows none.
        key_file: PEM file of that certificate's private key; None: in `cert_file`.

    Raises:
        ConfigError: when a file cannot be used, or every user may read the key.
    """
    try:
        context = trust(ca_file)
    except OSError as error:
        raise _unusable(ca_file, error) from error
    if cert_file is not None:
        _show(context, cert_file, key_file)
    return context


def server_context(cert_file: Path, key_file: Path | None, ca_file: Path | None) -> ssl.SSLContext:
    """For connections of clients.

    Args:
        cert_file: PEM file of this machine's own certificate.
        key_file: PEM file of that certificate's private key; None: in `cert_file`.
        ca_file: PEM file of the authorities that must have signed a client's certificate; None: clients need none.

    Raises:
        ConfigError: when a file cannot be used, or every user may read the key.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _show(context, cert_file, key_file)
    if ca_file is not None:
        try:
            check_regular(ca_file)
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise _unusable(ca_file, error) from error
        context.verify_mode = ssl.CERT_REQUIRED
        _accept_own_authorities(context)
    return context


def plain(reason: str) -> str:
    """Turn a reason of OpenSSL, such as `TLSV13_ALERT_CERTIFICATE_REQUIRED`, into words."""
    return reason.replace("_", " ").lower()


def _accept_own_authorities(context: ssl.SSLContext) -> None:
    """Ask less of authorities of one's own: they seldom state all that RFC 5280 asks of them.

    `openssl req -x509` leaves the key usage out. From Python 3.13 on that alone would be a refusal.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT


def _show(context: ssl.SSLContext, cert_file: Path, key_file: Path | None) -> None:
    """Let this machine show a certificate."""
    name: Path | str = cert_file  # OpenSSL does not say which of the two files it cannot open
    try:
        check_regular(cert_file)
        cert_file.open("rb").close()
        name = key_file = key_file or cert_file
        open_secret(key_file, "a private key").close()
        name = " and ".join(dict.fromkeys((str(cert_file), str(key_file))))
        context.load_cert_chain(cert_file, key_file, _no_passphrase)
    except OSError as error:  # an SSLError is one
        raise _unusable(name, error) from error


def _unusable(name: Path | str | None, error: OSError) -> ConfigError:
    found = error.strerror or str(error)
    if isinstance(error, ssl.SSLError):
        found = _FOUND.get(error.reason) or plain(error.reason)
    return ConfigError(f"expected certificates and keys in PEM, found in {name}: {found}")


def _no_passphrase() -> str:
    """Refuse keys with a passphrase: OpenSSL would ask for it on the terminal, and wait."""
    raise OSError("a key with a passphrase; use one without, readable by this user alone")
