"""What settings of TLS must have in common, whatever connection they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class _TlsSettings(Protocol):
    """The files of TLS."""

    @property
    def tls(self) -> bool: ...

    @property
    def ca_file(self) -> Path | None: ...

    @property
    def cert_file(self) -> Path | None: ...

    @property
    def key_file(self) -> Path | None: ...


def check_certificates(settings: _TlsSettings) -> None:
    """Check that files of TLS are named only where they are used.

    Args:
        settings: a section of the settings.

    Raises:
        ValueError: when they are not.
    """
    given = [name for name in ("ca_file", "cert_file", "key_file") if getattr(settings, name) is not None]
    if given and not settings.tls:
        raise ValueError(f"{given[0]} needs `tls: true`")
    if settings.key_file is not None and settings.cert_file is None:
        raise ValueError("key_file needs cert_file")
