"""Settings: one validated model a stage; YAML file, then environment, then flags.

The models are the one place for defaults. Every field says what it means and its unit, so
that `edge-fer config show` and `edge-fer config schema` document themselves.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from typing_extensions import Self

from edge_fer.backends import BACKEND_PATTERN
from edge_fer.errors import ConfigError
from edge_fer.publish.mavlink.link import parse_url
from edge_fer.validation import first_line, first_problem

ENVIRONMENT_PREFIX = "EDGE_FER_"


Share = Annotated[float, Field(ge=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)


class CaptureSettings(_Section):
    """Where frames come from."""

    source: str = Field(
        "0", min_length=1, description="camera index, device path, picture, video, folder, URL, or `sample`"
    )
    width: int | None = Field(None, ge=16, le=7680, description="asked of the camera, pixels; null: its own choice")
    height: int | None = Field(None, ge=16, le=4320, description="asked of the camera, pixels; null: its own choice")
    fps: float | None = Field(None, gt=0, le=1000, description="asked of the camera, frames a second; null: its own")
    realtime: bool = Field(False, description="pace files and folders like a camera and drop what comes too late")
    wait: bool = Field(False, description="wait for a camera that is missing at the start instead of ending")
    open_timeout_s: float = Field(10.0, gt=0, le=120, description="a camera that takes longer to open has failed")
    read_timeout_s: float = Field(5.0, gt=0, le=120, description="a camera that gives no frame for so long is lost")
    retry_s: float = Field(0.5, gt=0, le=60, description="pause before the first attempt to reopen; doubles each time")
    retry_max_s: float = Field(10.0, gt=0, le=600, description="longest pause between attempts to reopen")


class EnhanceSettings(_Section):
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


class DetectSettings(_Section):
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


class TrackSettings(_Section):
    """Keeping the same id for the same face."""

    overlap: float = Field(0.3, gt=0, le=1, description="least overlap (IoU) with the last box of the same face")
    score: float = Field(0.8, ge=0, lt=1, description="detector score above which a face is followed on")
    keep_ms: float = Field(500.0, ge=0, le=60_000, description="a face out of view for longer gets a new id,")
    keep_frames: int = Field(3, ge=1, le=1000, description="unless these are fewer frames than that")
    confirm: int = Field(2, ge=1, le=100, description="a new face counts when it was seen so often,")
    trust_ms: float = Field(3000.0, ge=0, le=60_000, description="followed so long while no search finds it")
    sure: float = Field(0.98, ge=0, le=1, description="or at once where the detector's score is at least this")


class KeyframeSettings(_Section):
    """Which frames are searched as a whole; in between, faces are followed where they were."""

    enabled: bool = Field(True, description="false: every frame is searched")
    every_ms: float = Field(1000.0, ge=0, le=60_000, description="searched at least so often, milliseconds")
    change_ms: float = Field(60.0, ge=0, le=60_000, description="searched at most so often for a change in the picture")
    change_max_ms: float = Field(
        240.0, ge=0, le=60_000, description="that pause doubles up to this while changes bring no new face"
    )
    change: float = Field(12.0, ge=0, le=255, description="grey levels that a part of it must differ by")
    lost_ms: float = Field(300.0, ge=0, le=60_000, description="every frame is searched so long for a lost face")


class ClassifySettings(_Section):
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
    retry_s: float = Field(0.1, gt=0, le=60, description="pause before an Edge TPU is opened again; doubles each time")
    retry_max_s: float = Field(10.0, gt=0, le=600, description="longest pause before a rung of its recovery")
    park_s: float = Field(600.0, gt=0, le=86_400, description="pause once every rung was tried in vain")
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


class SmoothSettings(_Section):
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


class MonitorSettings(_Section):
    """Measuring rate and latency."""

    window_s: float = Field(5.0, gt=0, le=600, description="FPS and percentiles look back so many seconds")


class HealthSettings(_Section):
    """Watching temperature and supply, and reading fewer labels while the box is too hot."""

    enabled: bool = Field(True, description="read half of a camera's labels while it is hot, then a quarter")
    every_ms: float = Field(2000.0, ge=100, le=600_000, description="sensors are read so often, milliseconds")
    margin_c: float = Field(5.0, ge=0, le=50, description="cooled means so far below the trip point, degrees,")
    cool_s: float = Field(10.0, ge=0, le=3600, description="for so long; then twice as many labels are read again")


class FileSettings(_Section):
    """Readings in a file, one JSON object a line."""

    path: Path | None = Field(None, description="the file; null: none")
    max_mb: float = Field(100.0, gt=0, description="a file of this size is put aside and a new one begun, megabytes;")
    max_hours: float | None = Field(None, gt=0, description="one of this age, too; null: however old")
    keep: int = Field(5, ge=0, le=1000, description="so many files put aside are kept, PATH.1 the newest; 0: none")
    fsync: Literal["never", "second", "always"] = Field(
        "never", description="force it onto the disk: never, once a second, or after each record (wears out SD cards)"
    )


class MqttSettings(_Section):
    """Readings to an MQTT broker."""

    host: str | None = Field(None, min_length=1, description="name or address of the broker; null: none")


class MavlinkSettings(_Section):
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
    values_s: float = Field(1.0, ge=0.1, le=3600, description="dominant label (NAMED_VALUE_FLOAT) so often, seconds")
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


class HttpSettings(_Section):
    """A web page, metrics and live readings."""

    enabled: bool = Field(False, description="serve them")


class LogSettings(_Section):
    """What the program says beside its records, on standard error."""

    format: Literal["auto", "text", "journal", "json"] = Field(
        "auto", description="journal: with priorities; auto: journal where systemd listens, else text"
    )


class PublishSettings(_Section):
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


class PrivacySettings(_Section):
    """What may be seen of people."""

    blur_faces: bool = Field(False, description="make faces unrecognisable in recordings and in the live picture")
    notice: str | None = Field(
        None, description="told to the people concerned on the web page and over MQTT: who looks, why, whom to ask"
    )


class Settings(_Section):
    """All settings of a run."""

    device: str | None = Field(None, description="name of this box in every message; null: its host name")
    models: Path | None = Field(None, description="folder with manifest.yaml; null: the models that came along")
    capture: CaptureSettings = CaptureSettings()
    enhance: EnhanceSettings = EnhanceSettings()
    detect: DetectSettings = DetectSettings()
    track: TrackSettings = TrackSettings()
    keyframe: KeyframeSettings = KeyframeSettings()
    classify: ClassifySettings = ClassifySettings()
    smooth: SmoothSettings = SmoothSettings()
    monitor: MonitorSettings = MonitorSettings()
    health: HealthSettings = HealthSettings()
    publish: PublishSettings = PublishSettings()
    privacy: PrivacySettings = PrivacySettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _recording_spares_the_source(self) -> Self:
        record = self.publish.record
        if record is not None and record.resolve() == Path(self.capture.source).resolve():
            raise ValueError(f"publish.record {record} is the source itself, which it would overwrite: choose another")
        return self

    def changed(self, values: Mapping[str, Any]) -> Settings:
        """The same settings, but for some.

        Args:
            values: dotted names and values, such as `{"detect.min_face": 60}`.

        Raises:
            ConfigError: when a key or value is not known.
        """
        content = self.model_dump()
        for name, value in values.items():
            _set(content, name, value)
        return _validated(content)

    @model_validator(mode="after")
    def _bank_is_told_by_somebody(self) -> Self:
        if self.detect.roll == "mavlink" and self.publish.mavlink.url is None:
            raise ValueError("detect.roll mavlink: expected a link to the autopilot; set publish.mavlink.url")
        return self

    @property
    def device_name(self) -> str:
        """Name of this box in every message."""
        return self.device or socket.gethostname()


def load_settings(
    path: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings from a YAML file, then the environment, then flags; later ones win.

    Args:
        path: YAML file; null: defaults.
        environment: `EDGE_FER_DETECT__MIN_FACE=60` sets `detect.min_face`; numbers and lists are YAML.
        flags: dotted names and values, such as `{"detect.min_face": 60}`; a null value sets nothing.

    Raises:
        ConfigError: when a file cannot be read, or a key or value is not known.
    """
    content = _read_yaml(path) if path is not None else {}
    # A section whose keys are all commented out is null in YAML, and means its defaults.
    content = {name: {} if value is None and _is_section(name) else value for name, value in content.items()}
    for name, value in _from_environment(environment).items():
        _set(content, name, value)
    for name, value in (flags or {}).items():
        if value is not None:
            _set(content, name, value)
    return _validated(content)


def _validated(content: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        where, what = first_problem(error)
        if error.errors()[0]["type"] == "extra_forbidden":
            raise ConfigError(f"unknown setting `{where}`{_nearest(where)}; see `edge-fer config show`") from error
        raise ConfigError(f"setting `{where}`: {what}; see `edge-fer config show`") from error


def dump_settings(settings: Settings) -> str:
    """The settings as YAML with what each one means, ready to be saved and edited."""
    lines: list[str] = []
    _dump_section(settings, lines, indent="")
    return "\n".join(lines) + "\n"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"expected a settings file at {path}, found: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"expected YAML text in {path}, found bytes that are no UTF-8 at {error.start}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or first_line(error)
        raise ConfigError(f"expected YAML in {where}, found: {problem}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"expected sections such as `capture:` in {path}, found a {type(content).__name__}")
    return content


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
        if _is_text(name):
            found[name] = text
            continue
        try:
            found[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"expected a YAML value in {variable}, found: {text!r}") from error
    return found


def _set(content: dict[str, Any], name: str, value: Any) -> None:
    *sections, key = name.split(".")
    for section in sections:
        inner = content.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"setting `{section}`: expected a section, found {inner!r}; see `edge-fer config show`")
        content = inner
    content[key] = value


def _field(name: str) -> Any:
    """The annotation of a setting; null where there is no such setting."""
    section: Any = Settings
    for part in name.split("."):
        fields = getattr(section, "model_fields", {})
        section = fields[part].annotation if part in fields else None
    return section


def _is_section(name: str) -> bool:
    return hasattr(_field(name), "model_fields")


def _is_text(name: str) -> bool:
    """Whether a setting is a word of the user's, in which `007` or `on` means nothing but itself."""
    return _field(name) in (str, str | None)


def _nearest(where: str) -> str:
    valid = _names(Settings)
    close = difflib.get_close_matches(where, valid, n=1) or difflib.get_close_matches(
        where.rpartition(".")[2], [name.rpartition(".")[2] for name in valid], n=1
    )
    if not close:
        return ""
    full = next(name for name in valid if name == close[0] or name.endswith(f".{close[0]}"))
    return f", did you mean `{full}`?"


def _names(section: type[BaseModel]) -> list[str]:
    names = []
    for name, field in section.model_fields.items():
        names.append(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names.extend(f"{name}.{inner}" for inner in _names(field.annotation))
    return names


def _dump_section(section: BaseModel, lines: list[str], indent: str) -> None:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            summary = (type(value).__doc__ or "").strip().splitlines()[0]
            lines.append(f"\n{indent}{name}:  # {summary}")
            _dump_section(value, lines, indent + "  ")
        else:
            plain = section.model_dump(mode="json", include={name})[name]
            text = yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix("...\n").strip()
            lines.append(f"{indent}{name}: {text}  # {field.description}")
