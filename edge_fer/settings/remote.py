"""Settings of reading expressions on another computer."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator
from typing_extensions import Self

from edge_fer.settings.section import Section
from edge_fer.settings.tls import check_certificates


class RemoteSettings(Section):
    """Reading expressions on another computer, where classify.backend is remote:HOST:PORT."""

    token_file: Path | None = Field(
        None,
        description="file with the token that the server asks for, the same as its serve.token_file; null: no token",
    )
    tls: bool = Field(False, description="encrypt the connection, and check the server's certificate and name")
    ca_file: Path | None = Field(
        None, description="PEM file of the authorities that may certify the server; null: those that the system trusts"
    )
    cert_file: Path | None = Field(None, description="PEM file of this device's own certificate; null: none")
    key_file: Path | None = Field(None, description="PEM file of that certificate's private key; null: in cert_file")
    deadline_ms: float = Field(
        300.0,
        ge=1,
        le=4000,
        description="where a face is not answered within this time, the CPU reads it, milliseconds",
    )
    connect_s: float = Field(
        3.0, gt=0, le=8, description="a server that takes longer to accept the connection is away, seconds"
    )

    @model_validator(mode="after")
    def _check_certificates(self) -> Self:
        check_certificates(self)
        return self
