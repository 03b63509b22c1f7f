"""Settings of cameras and other sources of frames."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from edge_fer.common.secrets import keep_secrets_of
from edge_fer.settings.addresses import check_url
from edge_fer.settings.section import Section
from edge_fer.types import PixelFormat


class RawSettings(Section):
    """Raw frames from standard input, one after the other without anything in between."""

    width: int | None = Field(None, ge=2, le=7680, description="width of a frame, pixels; required for source `-`")
    height: int | None = Field(None, ge=2, le=4320, description="height of a frame, pixels; required for source `-`")
    pixel_format: PixelFormat = Field("bgr24", description="pixel format of a frame, by FFmpeg's name (-pix_fmt)")
    stride: int | None = Field(
        None, ge=2, le=65_536, description="bytes from one row of a frame to the next; null: rows without padding"
    )
    live: bool = Field(
        True, description="true: the newest frame is used and older ones are dropped; false: all are used, writer waits"
    )


class CaptureSettings(Section):
    """Where frames come from."""

    file_names: ClassVar[frozenset[str]] = frozenset({"source", "python"})

    source: str = Field(
        "0",
        description="camera index, device path, `picamera2`, picture, video, folder, URL, `-`, `sample`, `synthetic:3`",
    )
    width: int | None = Field(
        None, ge=16, le=7680, description="frame width to request from the camera, pixels; null: the camera's choice"
    )
    height: int | None = Field(
        None, ge=16, le=4320, description="frame height to request from the camera, pixels; null: the camera's choice"
    )
    fps: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="frame rate to request from the camera, Hz; null: the camera's choice. How often to ask a URL "
        "for a snapshot; null: 5",
    )
    format: str | None = Field(
        None,
        min_length=3,
        description="pixel format to request from the camera, such as MJPG or YUYV; `edge-fer cameras` lists them; "
        "null: the one with the highest frame rate",
    )
    exposure_ms: float | None = Field(
        None, gt=0, le=10_000, description="exposure time, milliseconds; null: the camera's choice"
    )
    gain: float | None = Field(
        None, ge=0, description="gain, in steps of the driver (V4L2) or a factor (picamera2); null: the camera's choice"
    )
    focus: float | None = Field(
        None,
        ge=0,
        description="focus, in steps of the driver (V4L2) or dioptres (picamera2); null: the camera's choice",
    )
    controls: dict[str, int | float | bool | list[float]] = Field(
        {}, description="other controls, by their names in `edge-fer cameras`, such as {brightness: 10}"
    )
    stream_options: dict[str, str | int | float | bool] = Field(
        {}, description="FFmpeg's options for a network stream, such as {rtsp_transport: udp} or {max_delay: 0}"
    )
    hflip: bool = Field(False, description="mirror the picture left to right; with vflip: turn it by 180 degrees")
    vflip: bool = Field(False, description="mirror the picture top to bottom")
    rotate: Literal[0, 90, 180, 270] = Field(
        0, description="turn the picture clockwise, after mirroring, degrees; for a camera that is mounted sideways"
    )
    realtime: bool = Field(False, description="play files and folders at their own rate and drop frames that come late")
    loop: bool = Field(False, description="play files and folders over and over")
    wait: bool = Field(False, description="wait for a camera that is missing at the start instead of ending")
    open_timeout_s: float = Field(
        10.0, gt=0, le=120, description="a camera that takes longer to open has failed, seconds"
    )
    read_timeout_s: float = Field(
        5.0, gt=0, le=120, description="a camera that gives no frame for this long is lost, seconds"
    )
    frozen_s: float | None = Field(
        10.0,
        gt=0,
        le=3600,
        description="a camera that gives the same picture for this long is lost, seconds; null: never",
    )
    blind_s: float | None = Field(
        2.0,
        gt=0,
        le=3600,
        description="a picture that is black or white for this long is reported, seconds; null: never",
    )
    black: int = Field(
        16, ge=0, le=255, description="a picture is black where 99 % of its pixels are at most this, 0..255"
    )
    white: int = Field(
        250,
        ge=1,
        le=255,
        description="a picture is white (overexposed) where 99 % of its pixels are at least this, 0..255",
    )
    retry_s: float = Field(
        0.5, gt=0, le=60, description="pause before a lost camera is opened again, seconds; doubles with each attempt"
    )
    retry_max_s: float = Field(
        1.0, gt=0, le=600, description="longest pause before a lost camera is opened again, seconds"
    )
    refused_retry_s: float = Field(
        5.0,
        gt=0,
        le=3600,
        description="pause before a camera that refused the user or the password is asked again, seconds: asked too "
        "often, many lock the account; doubles with each attempt",
    )
    refused_retry_max_s: float = Field(
        300.0,
        gt=0,
        le=86400,
        description="longest pause before a camera that refused the user or the password is asked again, seconds",
    )
    ca_file: Path | None = Field(
        None,
        description="PEM file of the certificates that https cameras may have, their own or their authorities'; "
        "null: those that the system trusts",
    )
    python: str = Field(
        "/usr/bin/python3", min_length=1, description="Python interpreter that has picamera2: the system's"
    )
    raw: RawSettings = RawSettings()

    @field_validator("source", mode="before")
    @classmethod
    def _name_path(cls, source: object) -> object:
        """Programs have paths, too."""
        return str(source) if isinstance(source, PurePath) else source

    @field_validator("source")
    @classmethod
    def _check_source(cls, source: str) -> str:
        """It may hold bytes that are no UTF-8, which pydantic's own checks of a length would refuse."""
        if not source:
            raise ValueError("expected a source such as 0, /dev/video0 or clip.mp4, found an empty text")
        keep_secrets_of(source)
        check_url(source)
        return source
