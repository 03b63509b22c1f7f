"""Settings of where readings go, and of what may be seen of people."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edge_fer.settings.addresses import parse_url
from edge_fer.settings.recording_name import RecordingName, parse_segment
from edge_fer.settings.section import Section


class FileSettings(Section):
    """Readings in a file, one JSON object a line."""

    path: Path | None = Field(None, description="file that readings are appended to; null: none")
    max_mb: float = Field(100.0, gt=0, description="size at which the file is rotated and a new one begins, megabytes")
    max_hours: float | None = Field(
        None, gt=0, description="age at which the file is rotated, hours after it was opened; null: never by age"
    )
    keep: int = Field(
        5, ge=0, le=1000, description="number of rotated files that are kept, PATH.1 being the newest; 0: none"
    )
    fsync: Literal["never", "second", "always"] = Field(
        "never", description="force records onto the disk: never, once a second, or after each one (wears out SD cards)"
    )


class MqttSettings(Section):
    """Readings to an MQTT broker (MQTT 5)."""

    host: str | None = Field(None, min_length=1, description="host name or address of the broker; null: no MQTT")
    port: int | None = Field(
        None, ge=1, le=65_535, description="TCP port of the broker; null: 1883, or 8883 where tls is true"
    )
    tls: bool = Field(False, description="encrypt the connection, and check the broker's certificate and name")
    ca_file: Path | None = Field(
        None, description="PEM file of the authorities that may certify the broker; null: those that the system trusts"
    )
    cert_file: Path | None = Field(None, description="PEM file of this device's own certificate; null: none")
    key_file: Path | None = Field(None, description="PEM file of that certificate's private key; null: in cert_file")
    credentials_file: Path | None = Field(
        None, description="file with the user in its first line and the password in its second; null: anonymous"
    )
    client_id: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="MQTT client id; null: made of the device's name and the machine's id",
    )
    prefix: str = Field("edge-fer/{device}", min_length=1, description="prefix of all topics")
    qos: Literal[0, 1, 2] = Field(1, description="quality of service: 0 at most once, 1 at least once, 2 exactly once")
    retain: bool = Field(
        True,
        description="let the broker keep the newest state, availability and notice for those who come later; false: "
        "for a broker that cannot (retain not available)",
    )
    faces: bool = Field(False, description="also publish each face of a reading, below `face/`")
    max_rate_hz: float | None = Field(None, gt=0, le=1000, description="most readings a second; null: all")
    keepalive_s: int = Field(15, ge=2, le=3600, description="a link that is silent for this long is probed, seconds")
    retry_s: float = Field(
        0.5, gt=0, le=60, description="pause before the broker is tried again, seconds; doubles with each attempt"
    )
    retry_max_s: float = Field(
        30.0,
        gt=0,
        le=600,
        description="longest pause before the broker is tried again, seconds; also the pause after a refusal",
    )
    in_flight: int = Field(20, ge=1, le=1000, description="most messages that are sent and not yet acknowledged")
    buffer_mb: float = Field(
        16.0, gt=0, le=4096, description="most that is kept while the link is down, megabytes; the oldest goes first"
    )
    buffer_s: float = Field(
        3600.0, gt=0, le=604_800, description="longest time that a record is kept while the link is down, seconds"
    )
    homeassistant: bool = Field(False, description="let Home Assistant discover this device")
    homeassistant_prefix: str = Field(
        "homeassistant", min_length=1, description="prefix of Home Assistant's discovery topics"
    )

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str | None) -> str | None:
        if host is not None and re.search(r"[@/\s]", host):
            raise ValueError("expected a host name or address, found a URL; user and password go to credentials_file")
        return host

    @field_validator("prefix", "homeassistant_prefix")
    @classmethod
    def _check_topic(cls, prefix: str) -> str:
        if not re.fullmatch(r"[^+#$/\0][^+#\0]*(?<!/)", prefix):
            raise ValueError(f"expected a topic such as edge-fer/{{device}}, without + or #, found {prefix!r}")
        return prefix

    @model_validator(mode="after")
    def _check_certificates_have_tls(self) -> Self:
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
        description="link: udpout:127.0.0.1:14550, udpin:127.0.0.1:14551 or serial:/dev/ttyAMA0:57600; null: none",
    )
    system_id: int = Field(1, ge=1, le=255, description="system id of the vehicle: that of its flight controller")
    component_id: int = Field(
        191, ge=1, le=255, description="component id of this device; 191 to 194 are onboard computers"
    )
    bytes_per_s: int = Field(
        1000, ge=500, le=10_000_000, description="most that is sent in a second, bytes; faces take turns for the space"
    )
    values_s: float = Field(
        1.0,
        ge=0.1,
        le=3600,
        description="time between two messages with the label of the largest face (NAMED_VALUE_FLOAT), seconds",
    )
    computer_s: float = Field(
        10.0,
        ge=1,
        le=3600,
        description="time between two messages with temperature and load (ONBOARD_COMPUTER_STATUS), seconds",
    )
    timesync_ms: float = Field(
        50.0,
        gt=0,
        le=10_000,
        description="a TIMESYNC answer that takes longer is not used, milliseconds; the clock's error is half of it",
    )
    payload_type: int = Field(
        0xFE01,
        ge=0x8000,
        le=0xFFFE,
        description="payload type of the TUNNEL messages with a face, from the private range; that of those with what "
        "was seen of a face that has left is the next number",
    )
    retry_s: float = Field(
        0.5, gt=0, le=60, description="pause before the link is opened again, seconds; doubles with each attempt"
    )
    retry_max_s: float = Field(10.0, gt=0, le=600, description="longest pause before the link is opened again, seconds")

    @field_validator("url")
    @classmethod
    def _check_link(cls, url: str | None) -> str | None:
        if url is not None:
            parse_url(url)
        return url


class HttpSettings(Section):
    """A web page, metrics and live readings."""

    enabled: bool = Field(False, description="serve the web page, metrics and live readings")
    address: str = Field(
        "127.0.0.1", description="IP address to listen on; one that other machines reach needs token_file"
    )
    port: int = Field(8080, ge=0, le=65_535, description="TCP port to listen on; 0: any free one")
    token_file: Path | None = Field(
        None,
        description="file with the token that a client must send, 16 characters or more, unreadable to other users; "
        "null: no token",
    )
    hosts: tuple[str, ...] = Field(
        (), description="names that clients may reach this device by, beside its host name, localhost and IP addresses"
    )
    live: bool = Field(False, description="also show the camera's picture, with the faces drawn in")
    live_fps: float = Field(10.0, gt=0, le=60, description="most pictures a second")
    live_size: int = Field(640, ge=64, le=4096, description="longest allowed side of the live picture, pixels")
    max_clients: int = Field(64, ge=1, le=1024, description="most streams of readings and pictures at once")
    queue: int = Field(
        64, ge=1, le=10_000, description="readings that wait for a slow client; older ones are dropped and counted"
    )
    rate: float = Field(
        50.0, gt=0, le=10_000, description="requests a second that one address may make; twice as many in a burst"
    )
    stale_s: float = Field(
        10.0, gt=0, le=3600, description="without a reading for this long the health check fails, seconds"
    )

    @field_validator("address")
    @classmethod
    def _check_address(cls, address: str) -> str:
        try:
            return str(ip_address(address))
        except ValueError as error:
            raise ValueError(f"expected an IP address such as 127.0.0.1 or 0.0.0.0, found {address!r}") from error

    @model_validator(mode="after")
    def _check_token_where_others_reach(self) -> Self:
        if self.enabled and self.token_file is None and not ip_address(self.address).is_loopback:
            raise ValueError(f"address {self.address} is open to others: expected a token_file, found none; set one")
        return self


class LogSettings(Section):
    """The program's log on standard error."""

    format: Literal["auto", "text", "journal", "json"] = Field(
        "auto", description="format of the log; journal: with priorities; auto: journal under systemd, else text"
    )


class PublishSettings(Section):
    """Where readings go: any number of sinks at once."""

    file_names: ClassVar[frozenset[str]] = frozenset({"record"})

    format: Literal["auto", "json", "text", "none"] = Field(
        "auto", description="format on standard output; auto: text on a terminal, else JSON lines"
    )
    record: str | None = Field(
        None,
        description="annotated video (.mp4, .mkv, .avi) or pictures (.jpg, .png, a folder that ends in /); %Y, %m, %d, "
        "%H, %M, %S stand for the local time, %% for a percent sign; a name that exists gets a number; null: none",
    )
    record_plain: bool = Field(
        False,
        description="record what the camera saw, with nothing drawn in, as raw material for training: see "
        "`edge-fer lab clips cut`",
    )
    record_segment: str | None = Field(
        None, description="length at which a video ends and the next begins: 10 min, 1 h, 500 MB, 2 GB; null: never"
    )
    record_keep_mb: float | None = Field(
        None,
        ge=1,
        description="most that recordings of this name may take, megabytes, those of killed runs, too; the oldest are "
        "deleted; null: all are kept",
    )
    record_keep_days: float | None = Field(
        None,
        gt=0,
        description="age at which recordings of this name are deleted, days, those of killed runs, too; null: never",
    )
    keep_going: bool = Field(
        False,
        description="go on whichever sinks fail, and try them again, as a service should; false: the run ends when "
        "standard output, the recording or all others have failed",
    )
    file: FileSettings = FileSettings()
    mqtt: MqttSettings = MqttSettings()
    mavlink: MavlinkSettings = MavlinkSettings()
    http: HttpSettings = HttpSettings()

    @field_validator("record", mode="before")
    @classmethod
    def _check_record(cls, name: object) -> object:
        text = os.fspath(name) if isinstance(name, os.PathLike) else name
        return RecordingName(text).text if isinstance(text, str) else text

    @field_validator("record_segment")
    @classmethod
    def _check_segment(cls, text: str | None) -> str | None:
        if text is not None:
            parse_segment(text)
        return text


class PrivacySettings(Section):
    """What may be seen of people."""

    blur_faces: bool = Field(
        False,
        description="make faces unrecognisable in recordings and live pictures, each of which is searched for that",
    )
    notice: str | None = Field(
        None,
        description="text for the people in view, shown on the web page and sent over MQTT: who watches, why, whom to "
        "ask; null: none",
    )
