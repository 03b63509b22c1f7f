"""Settings of the stages that a frame goes through, and of what watches over them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edge_fer.settings.addresses import BACKEND_PATTERN
from edge_fer.settings.section import Section, Share
from edge_fer.types import PixelFormat


class RawSettings(Section):
    """Frames from standard input, one after the other without anything in between."""

    width: int | None = Field(None, ge=2, le=7680, description="of a frame, pixels; needed for `-`")
    height: int | None = Field(None, ge=2, le=4320, description="of a frame, pixels; needed for `-`")
    pixel_format: PixelFormat = Field("bgr24", description="of a frame, as FFmpeg calls it (-pix_fmt)")
    live: bool = Field(True, description="the newest frame wins; false: every frame is read, and the writer waits")


class CaptureSettings(Section):
    """Where frames come from."""

    source: str = Field(
        "0",
        min_length=1,
        description="camera index, device path, `picamera2`, picture, video, folder, URL, `-`, `sample`, `synthetic:3`",
    )
    width: int | None = Field(None, ge=16, le=7680, description="asked of the camera, pixels; null: its own choice")
    height: int | None = Field(None, ge=16, le=4320, description="asked of the camera, pixels; null: its own choice")
    fps: float | None = Field(None, gt=0, le=1000, description="asked of the camera, frames a second; null: its own")
    format: str | None = Field(
        None,
        min_length=3,
        description="MJPG, YUYV, ... as `edge-fer cameras` lists them; null: what brings most frames",
    )
    exposure_ms: float | None = Field(
        None, gt=0, le=10_000, description="exposure, milliseconds; null: left to the camera"
    )
    gain: float | None = Field(
        None, ge=0, description="V4L2: in steps of the driver; picamera2: factor; null: left to it"
    )
    focus: float | None = Field(
        None, ge=0, description="V4L2: in steps of the driver; picamera2: dioptres; null: left to it"
    )
    controls: dict[str, int | float | bool | list[float]] = Field(
        {}, description="others, by the name that `edge-fer cameras` gives them, such as {brightness: 10}"
    )
    hflip: bool = Field(False, description="mirror the picture left to right; with vflip: turned by 180 degrees")
    vflip: bool = Field(False, description="mirror the picture top to bottom")
    rotate: Literal[0, 90, 180, 270] = Field(
        0, description="then turn it clockwise, degrees: upright pictures from a camera that is mounted sideways"
    )
    realtime: bool = Field(False, description="pace files and folders like a camera and drop what comes too late")
    loop: bool = Field(False, description="play files and folders over and over")
    wait: bool = Field(False, description="wait for a camera that is missing at the start instead of ending")
    open_timeout_s: float = Field(10.0, gt=0, le=120, description="a camera that takes longer to open has failed")
    read_timeout_s: float = Field(5.0, gt=0, le=120, description="a camera that gives no frame for so long is lost")
    frozen_s: float | None = Field(
        10.0, gt=0, le=3600, description="a camera that gives the same picture for so long is lost; null: never"
    )
    blind_s: float | None = Field(
        2.0, gt=0, le=3600, description="a black or white picture is told after so long; null: never"
    )
    black: int = Field(16, ge=0, le=255, description="grey levels up to this are black,")
    white: int = Field(250, ge=1, le=255, description="and from this on white: overexposed")
    retry_s: float = Field(0.5, gt=0, le=60, description="pause before the first attempt to reopen; doubles each time")
    retry_max_s: float = Field(1.0, gt=0, le=600, description="longest pause between attempts to reopen")
    python: str = Field("/usr/bin/python3", min_length=1, description="interpreter that has picamera2: the system's")
    raw: RawSettings = RawSettings()


class EnhanceSettings(Section):
    """Contrast of dark or flat pictures (CLAHE on luminance)."""

    clahe: Literal["off", "on", "auto"] = Field(
        "auto", description="equalise contrast locally before detection; auto: of dark pictures"
    )
    dark: float = Field(
        60.0, ge=0, le=255, description="auto begins where nine tenths of the pixels are darker, 0..255,"
    )
    bright: float = Field(80.0, ge=0, le=255, description="and ends where they no longer are darker than this")
    clip_limit: float = Field(2.0, gt=0, le=40, description="how far local contrast may be raised")
    tiles: int = Field(8, ge=1, le=32, description="the picture is divided into tiles x tiles")
    size: int = Field(600, ge=64, le=4096, description="long side of the picture that contrast is computed on, pixels")

    @field_validator("clahe", mode="before")
    @classmethod
    def _is_a_word_again(cls, value: Any) -> Any:
        """YAML reads the words `on` and `off` as true and false."""
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _dark_is_darker(self) -> Self:
        if self.dark > self.bright:
            raise ValueError(f"dark {self.dark:g} should be at most bright {self.bright:g}: contrast would flicker")
        return self


class DetectSettings(Section):
    """Finding faces (MTCNN)."""

    size: int = Field(600, ge=64, le=4096, description="long side of the picture that faces are sought in, pixels")
    min_face: int = Field(40, ge=12, le=2000, description="smallest face found, pixels of the picture that is searched")
    score: float = Field(0.9, ge=0, lt=1, description="a new face needs a detector score above this; see track.score")
    factor: float = Field(0.709, gt=0.3, lt=0.95, description="from one scale of the pyramid to the next")
    thresholds: tuple[Share, Share, Share] = Field((0.6, 0.7, 0.8), description="scores to pass P-, R- and O-Net")
    max_faces: int = Field(32, ge=1, le=1000, description="at most so many faces a frame, best scores first")
    roll: float | Literal["mavlink"] | None = Field(
        None,
        description="degrees that the camera is turned clockwise, seen from behind: the search turns the picture back; "
        "mavlink: as far as the vehicle banks; null: never",
    )
    threads: int = Field(2, ge=1, le=64, description="processor threads")
    precision: Literal["auto", "float32", "int8"] = Field(
        "auto", description="arithmetic of the three networks; auto: the quicker one, by a short measurement"
    )

    @model_validator(mode="after")
    def _smallest_face_fits(self) -> Self:
        if self.min_face > self.size:
            raise ValueError(f"min_face {self.min_face} should be at most size {self.size}: no face would be found")
        return self


class TrackSettings(Section):
    """Keeping the same id for the same face."""

    overlap: float = Field(0.3, gt=0, le=1, description="least overlap (IoU) with the last box of the same face")
    score: float = Field(0.8, ge=0, lt=1, description="detector score above which a face is followed on")
    keep_ms: float = Field(500.0, ge=0, le=60_000, description="a face out of view for longer gets a new id,")
    keep_frames: int = Field(3, ge=1, le=1000, description="unless these are fewer frames than that")
    confirm: int = Field(2, ge=1, le=100, description="a new face counts once it was seen so often; see sure")
    trust_ms: float = Field(3000.0, ge=0, le=60_000, description="a face is followed so long while no search finds it")
    sure: float = Field(0.98, ge=0, le=1, description="a new face counts at once where its score is at least this")


class KeyframeSettings(Section):
    """Which frames are searched as a whole; in between, faces are followed where they were."""

    enabled: bool = Field(True, description="false: every frame is searched")
    every_ms: float = Field(1000.0, ge=0, le=60_000, description="searched at least so often, milliseconds")
    change_ms: float = Field(60.0, ge=0, le=60_000, description="searched at most so often for a change in the picture")
    change_max_ms: float = Field(
        240.0, ge=0, le=60_000, description="that pause doubles up to this while changes bring no new face"
    )
    change: float = Field(12.0, ge=0, le=255, description="grey levels that a part of it must differ by")
    lost_ms: float = Field(300.0, ge=0, le=60_000, description="every frame is searched so long for a lost face")


class ClassifySettings(Section):
    """Reading expressions."""

    backend: str = Field(
        "auto",
        description="device: auto, edgetpu (all there are), edgetpu:usb:0, edgetpu:pci:0, cpu, or fake (for tests)",
    )
    model: str = Field("se_resnet50", description="name of a classifier in the manifest; see `edge-fer models list`")
    fallback_model: str | None = Field(
        None,
        description="classifier on the CPU while the Edge TPU is away; another than `model` means no `check_every`; "
        "null: the same model",
    )
    threads: int = Field(2, ge=1, le=64, description="processor threads")
    edgetpu_library: str = Field("libedgetpu.so.1", min_length=1, description="name or path of the Edge TPU's library")
    performance: Literal["std", "max"] = Field("std", description="clock of an Edge TPU on USB; max runs hot")
    deadline_ms: float = Field(500.0, ge=1, le=4000, description="an Edge TPU that takes longer for a face failed")
    start_deadline_s: float = Field(20.0, gt=0, le=600, description="for an Edge TPU to open and prove itself, seconds")
    check_every: int = Field(
        100, ge=0, description="every so many faces one is read on the CPU, too, and must agree; 0: never"
    )
    idle_s: float = Field(
        10.0, ge=0, le=3600, description="an Edge TPU that read no face for so long is checked, too, seconds; 0: never"
    )
    retry_s: float = Field(0.1, gt=0, le=60, description="pause before an Edge TPU is opened again; doubles each time")
    retry_max_s: float = Field(10.0, gt=0, le=600, description="longest pause before a step of its recovery")
    park_s: float = Field(600.0, gt=0, le=86_400, description="pause once every step was tried in vain")
    steady_s: float = Field(10.0, ge=0, le=3600, description="an Edge TPU that worked for so long has recovered")
    usb_power: bool = Field(False, description="recovery may cut the USB port's power; some hubs cut all ports at once")
    usb_helper: str | None = Field(
        None, description="socket of the privileged USB helper, such as /run/edge-fer-usb.sock; null: none"
    )
    sysfs: Path = Field(Path("/sys"), description="where the kernel shows its devices; another folder for tests")
    dev: Path = Field(Path("/dev"), description="where device nodes are; another folder for tests")

    @field_validator("backend")
    @classmethod
    def _is_a_device(cls, name: str) -> str:
        if not re.fullmatch(BACKEND_PATTERN, name):
            raise ValueError(f"expected auto, edgetpu, edgetpu:usb:0, edgetpu:pci:0, cpu or fake, found {name!r}")
        return name


class SmoothSettings(Section):
    """Steadying labels over time, and withholding those that would be guesses."""

    enabled: bool = Field(True, description="average each face's probabilities over time; off: every frame for itself")
    tau_ms: float = Field(200.0, gt=0, le=2000, description="time constant: so long after a change 63 % of it shows")
    margin: float = Field(0.1, ge=0, lt=1, description="a label gives way to one that is more probable by this much")
    unsure: float | None = Field(
        None, ge=0, le=1, description="no label below this confidence; null: the model's own threshold; 0: never"
    )
    too_small: float | None = Field(
        7.0, gt=0, le=1000, description="no label where the eyes are closer than this, pixels of the frame; null: never"
    )
    blurred: float | None = Field(
        0.028, gt=0, le=1, description="no label where edges are wider than this part of the crop's side; null: never"
    )
    turned_away: float | None = Field(
        35.0, gt=0, le=180, description="no label where a head is turned further, any way, degrees; null: never"
    )


class MonitorSettings(Section):
    """Measuring rate and latency."""

    window_s: float = Field(5.0, gt=0, le=600, description="FPS and percentiles look back so many seconds")


class HealthSettings(Section):
    """Watching temperature and supply, and reading fewer labels while the box is too hot."""

    enabled: bool = Field(True, description="read half of a camera's labels while it is hot, then a quarter")
    every_ms: float = Field(2000.0, ge=100, le=600_000, description="sensors are read so often, milliseconds")
    margin_c: float = Field(5.0, ge=0, le=50, description="cooled means so far below the trip point, degrees,")
    cool_s: float = Field(10.0, ge=0, le=3600, description="for so long; then twice as many labels are read again")
