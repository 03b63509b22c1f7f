"""Settings of `edge-fer serve`: reading faces for other computers."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edge_fer.settings.addresses import Place, parse_place
from edge_fer.settings.section import Section
from edge_fer.settings.tls import check_certificates


class ServeSettings(Section):
    """Reading faces for other computers, by `edge-fer serve`; which device and model is told by classify."""

    listen: str = Field(
        "127.0.0.1:9010",
        description="IP address and TCP port to listen on; an address that other machines reach needs token_file; "
        "port 0: any free one",
    )
    token_file: Path | None = Field(
        None,
        description="file with the token that clients must know, 16 characters or more, unreadable to other users; "
        "null: no token",
    )
    tls: bool = Field(False, description="encrypt connections; needs cert_file")
    ca_file: Path | None = Field(
        None, description="PEM file of the authorities that must certify clients; null: clients need no certificate"
    )
    cert_file: Path | None = Field(None, description="PEM file of this device's own certificate; null: none")
    key_file: Path | None = Field(None, description="PEM file of that certificate's private key; null: in cert_file")
    max_clients: int = Field(
        16, ge=1, le=256, description="most clients at once; each has one face in work at most, and they take turns"
    )
    idle_s: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="while all places are taken, a client that was silent for so long gives way to a new one, seconds",
    )

    @field_validator("listen")
    @classmethod
    def _check_address(cls, text: str) -> str:
        host, _ = parse_place(text, lowest=0)
        try:
            ip_address(host)
        except ValueError as error:
            raise ValueError(f"expected an IP address and a port, such as 0.0.0.0:9010, found {text!r}") from error
        return text

    @model_validator(mode="after")
    def _check_token_where_others_reach(self) -> Self:
        if self.token_file is None and not ip_address(self.place.host).is_loopback:
            raise ValueError(f"{self.listen} is open to others: expected a token_file, found none; set one")
        check_certificates(self)
        if self.tls and self.cert_file is None:
            raise ValueError("tls needs cert_file")
        return self

    @property
    def place(self) -> Place:
        """The address and the port."""
        return parse_place(self.listen, lowest=0)
