"""Settings of where readings go, and of what may be seen of people."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edge_fer.settings.addresses import parse_url
from edge_fer.settings.section import Section


class FileSettings(Section):
    """Readings in a file, one JSON object a line."""

    path: Path | None = Field(None, description="the file; null: none")
    max_mb: float = Field(100.0, gt=0, description="a file of this size is put aside and a new one begun, megabytes;")
    max_hours: float | None = Field(None, gt=0, description="one that was opened so long ago, too; null: however old")
    keep: int = Field(5, ge=0, le=1000, description="so many files put aside are kept, PATH.1 the newest; 0: none")
    fsync: Literal["never", "second", "always"] = Field(
        "never", description="force it onto the disk: never, once a second, or after each record (wears out SD cards)"
    )


class MqttSettings(Section):
    """Readings to an MQTT broker (MQTT 5)."""

    host: str | None = Field(None, min_length=1, description="name or address of the broker; null: none")
    port: int | None = Field(None, ge=1, le=65_535, description="of the broker; null: 1883, or 8883 with tls")
    tls: bool = Field(False, description="encrypt, and check the broker's certificate and name")
    ca_file: Path | None = Field(None, description="PEM of who vouches for the broker; null: those the system trusts")
    cert_file: Path | None = Field(None, description="PEM of this box's own certificate; null: none")
    key_file: Path | None = Field(None, description="PEM of its private key; null: it stands in cert_file")
    credentials_file: Path | None = Field(
        None, description="file with the user in its first line and the password in its second; null: anonymous"
    )
    client_id: str | None = Field(
        None, min_length=1, max_length=128, description="null: made of the device's name and the machine's id"
    )
    prefix: str = Field("edge-fer/{device}", min_length=1, description="all topics are below this one")
    qos: Literal[0, 1, 2] = Field(1, description="0: at most once; 1: at least once; 2: exactly once")
    faces: bool = Field(False, description="publish each face of a reading below `face/`, too")
    max_rate_hz: float | None = Field(None, gt=0, le=1000, description="readings a second at most; null: all")
    keepalive_s: int = Field(15, ge=2, le=3600, description="a link that is silent for so long is probed, seconds")
    retry_s: float = Field(0.5, gt=0, le=60, description="pause before the broker is tried again; doubles each time")
    retry_max_s: float = Field(30.0, gt=0, le=600, description="longest such pause, and the pause after it refused us")
    in_flight: int = Field(20, ge=1, le=1000, description="messages that are sent and not yet acknowledged, at most")
    buffer_mb: float = Field(16.0, gt=0, le=4096, description="so much is kept while the link is down, megabytes,")
    buffer_s: float = Field(3600.0, gt=0, le=604_800, description="and for so long, seconds; the oldest goes first")
    homeassistant: bool = Field(False, description="let Home Assistant discover this box")
    homeassistant_prefix: str = Field("homeassistant", min_length=1, description="its discovery topics are below this")

    @field_validator("prefix", "homeassistant_prefix")
    @classmethod
    def _is_a_topic(cls, prefix: str) -> str:
        if not re.fullmatch(r"[^+#$/\0][^+#\0]*(?<!/)", prefix):
            raise ValueError(f"expected a topic such as edge-fer/{{device}}, without + or #, found {prefix!r}")
        return prefix

    @model_validator(mode="after")
    def _certificates_need_tls(self) -> Self:
        given = [name for name in ("ca_file", "cert_file", "key_file") if getattr(self, name) is not None]
        if given and not self.tls:
            raise ValueError(f"{given[0]} needs `tls: true`")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")
        return self


class MavlinkSettings(Section):
    """Labels to a flight controller or ground station."""

    url: str | None = Field(
        None,
        min_length=1,
        description="udpout:127.0.0.1:14550, udpin:127.0.0.1:14551, or serial:/dev/ttyAMA0:57600; null: none",
    )
    system_id: int = Field(1, ge=1, le=255, description="of the vehicle: that of its flight controller")
    component_id: int = Field(191, ge=1, le=255, description="of this box; 191 to 194 are onboard computers")
    bytes_per_s: int = Field(
        1000, ge=500, le=10_000_000, description="no more is sent in any one second; faces take turns for what it holds"
    )
    values_s: float = Field(
        1.0, ge=0.1, le=3600, description="label of the largest face that has one (NAMED_VALUE_FLOAT) so often, seconds"
    )
    computer_s: float = Field(
        10.0, ge=1, le=3600, description="temperature and load (ONBOARD_COMPUTER_STATUS) so often, seconds"
    )
    timesync_ms: float = Field(
        50.0, gt=0, le=10_000, description="a TIMESYNC answer that takes longer is not used; its error is half of that"
    )
    payload_type: int = Field(0xFE01, ge=0x8000, le=0xFFFF, description="of the TUNNEL messages, of the private range")
    retry_s: float = Field(0.5, gt=0, le=60, description="pause before a link is opened again; doubles each time")
    retry_max_s: float = Field(10.0, gt=0, le=600, description="longest pause before a link is opened again")

    @field_validator("url")
    @classmethod
    def _is_a_link(cls, url: str | None) -> str | None:
        if url is not None:
            parse_url(url)
        return url


class HttpSettings(Section):
    """A web page, metrics and live readings."""

    enabled: bool = Field(False, description="serve them")
    address: str = Field("127.0.0.1", description="IP address to listen at; one that others reach needs `token_file`")
    port: int = Field(8080, ge=0, le=65_535, description="to listen at; 0: any free one")
    token_file: Path | None = Field(
        None, description="holds what a client must know, 16 characters or more; others must not read it; null: nothing"
    )
    hosts: tuple[str, ...] = Field(
        (), description="names that this box is reached by, beside its host name, localhost and its IP addresses"
    )
    live: bool = Field(False, description="also show the camera's picture, with what was seen drawn in")
    live_fps: float = Field(10.0, gt=0, le=60, description="pictures a second at most")
    live_size: int = Field(640, ge=64, le=4096, description="long side of that picture at most, pixels")
    max_clients: int = Field(64, ge=1, le=1024, description="streams of readings and pictures at once")
    queue: int = Field(
        64, ge=1, le=10_000, description="readings that wait for a slow client; older ones are lost to it, and counted"
    )
    rate: float = Field(50.0, gt=0, le=10_000, description="requests a second from one address; twice that in a burst")
    stale_s: float = Field(10.0, gt=0, le=3600, description="unhealthy when there was no reading for so long")

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, address: str) -> str:
        try:
            return str(ip_address(address))
        except ValueError as error:
            raise ValueError(f"expected an IP address such as 127.0.0.1 or 0.0.0.0, found {address!r}") from error

    @model_validator(mode="after")
    def _others_need_a_token(self) -> Self:
        if self.enabled and self.token_file is None and not ip_address(self.address).is_loopback:
            raise ValueError(f"address {self.address} is open to others: expected a token_file, found none; set one")
        return self


class LogSettings(Section):
    """What the program says beside its records, on standard error."""

    format: Literal["auto", "text", "journal", "json"] = Field(
        "auto", description="journal: with priorities; auto: journal where systemd listens, else text"
    )


class PublishSettings(Section):
    """Where readings go: any number of sinks at once."""

    format: Literal["auto", "json", "text", "none"] = Field(
        "auto", description="standard output; auto: text on a terminal, else JSON lines"
    )
    record: Path | None = Field(None, description="write the annotated video to this file; null: nothing is written")
    keep_going: bool = Field(
        False, description="run on when every sink has failed, as a service should; else that ends the run"
    )
    file: FileSettings = FileSettings()
    mqtt: MqttSettings = MqttSettings()
    mavlink: MavlinkSettings = MavlinkSettings()
    http: HttpSettings = HttpSettings()


class PrivacySettings(Section):
    """What may be seen of people."""

    blur_faces: bool = Field(
        False, description="make faces unrecognisable in recordings and live pictures once they are found"
    )
    notice: str | None = Field(
        None, description="told to the people concerned on the web page and over MQTT: who looks, why, whom to ask"
    )
