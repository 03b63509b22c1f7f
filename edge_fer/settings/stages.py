"""Settings of the stages that a frame goes through after its capture, and of what monitors them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edge_fer.settings.addresses import BACKEND_PATTERN, REMOTE, Place, parse_place
from edge_fer.settings.remote import RemoteSettings
from edge_fer.settings.section import Section, Share


class EnhanceSettings(Section):
    """Contrast of dark or flat pictures (CLAHE on luminance)."""

    clahe: Literal["off", "on", "auto"] = Field(
        "auto", description="raise local contrast before faces are searched; auto: of dark pictures only"
    )
    dark: float = Field(
        60.0, ge=0, le=255, description="auto switches on where 90 % of the pixels are darker than this, 0..255"
    )
    bright: float = Field(
        80.0, ge=0, le=255, description="auto switches off where fewer than 90 % of the pixels are darker, 0..255"
    )
    clip_limit: float = Field(2.0, gt=0, le=40, description="how far local contrast may be raised; 1: hardly")
    tiles: int = Field(8, ge=1, le=32, description="the picture is divided into tiles x tiles regions")
    size: int = Field(600, ge=64, le=4096, description="long side of the picture that contrast is computed on, pixels")

    @field_validator("clahe", mode="before")
    @classmethod
    def _read_yaml_booleans(cls, value: Any) -> Any:
        """YAML reads the words `on` and `off` as true and false."""
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _check_dark_is_below_bright(self) -> Self:
        if self.dark > self.bright:
            raise ValueError(f"dark {self.dark:g} should be at most bright {self.bright:g}: contrast would flicker")
        return self


class DetectSettings(Section):
    """Finding faces."""

    kind: Literal["mtcnn", "yolo"] = Field(
        "mtcnn", description="kind of detector; yolo finds faces and their expressions in one pass (YOLOv3-tiny)"
    )
    model: str = Field("yolov3_tiny", description="network of kind yolo; see `edge-fer models list`")
    labels: Literal["own", "classifier"] = Field(
        "classifier",
        description="what reads expressions: the classifier, or, with kind yolo, the detector itself (own), for which "
        "no classifier runs",
    )
    backend: str = Field(
        "auto",
        description="device of kind yolo: auto, edgetpu (all there are), edgetpu:usb:0, edgetpu:pci:0, cpu, or fake "
        "(for tests); mtcnn runs on the CPU",
    )
    size: int = Field(600, ge=64, le=4096, description="long side of the picture that is searched, pixels")
    min_face: int = Field(
        40, ge=12, le=2000, description="side of the smallest face to find, pixels of the picture that is searched"
    )
    score: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="a new face needs a detector score above this; null: 0.8 with kind mtcnn, and what the manifest "
        "says of the network with kind yolo; see also track.score",
    )
    factor: float = Field(0.709, gt=0.3, lt=0.95, description="size of each scale of the pyramid relative to the last")
    thresholds: tuple[Share, Share, Share] = Field(
        (0.4, 0.5, 0.8), description="scores above which P-Net, R-Net and O-Net of MTCNN accept a face"
    )
    max_faces: int = Field(32, ge=1, le=1000, description="most faces in a frame; those with the best scores are kept")
    roll: float | Literal["mavlink"] | None = Field(
        None,
        description="angle by which the camera is turned clockwise, seen from behind, degrees; the picture is turned "
        "back before it is searched; mavlink: the vehicle's bank angle; null: not turned",
    )
    threads: int = Field(2, ge=1, le=64, description="processor threads of the detector")
    precision: Literal["auto", "float32", "int8"] = Field(
        "auto",
        description="number format of MTCNN's networks; auto: the quicker one, by a short measurement, where the "
        "folder of models has both; float32 alone is shipped",
    )

    @field_validator("backend")
    @classmethod
    def _check_device(cls, name: str) -> str:
        if not re.fullmatch(BACKEND_PATTERN, name):
            raise ValueError(f"expected auto, edgetpu, edgetpu:usb:0, edgetpu:pci:0, cpu or fake, found {name!r}")
        return name

    @model_validator(mode="after")
    def _check_kind_can(self) -> Self:
        if self.kind == "mtcnn" and self.backend not in {"auto", "cpu"}:
            raise ValueError(
                f"expected backend auto or cpu, since a cascade over many sizes runs on no accelerator, found "
                f"{self.backend}; choose kind yolo"
            )
        if self.kind == "mtcnn" and self.labels == "own":
            raise ValueError("expected labels: classifier, since mtcnn reads no faces, found own; choose kind yolo")
        return self

    @model_validator(mode="after")
    def _check_smallest_face_fits(self) -> Self:
        if self.min_face > self.size:
            raise ValueError(f"min_face {self.min_face} should be at most size {self.size}: no face would be found")
        return self


class TrackSettings(Section):
    """Keeping the same id for the same face."""

    overlap: float = Field(
        0.3, gt=0, le=1, description="a face keeps its id where its box overlaps the expected one by this (IoU)"
    )
    score: float = Field(0.8, ge=0, lt=1, description="a face is followed while its detector score is above this")
    max_age_ms: float = Field(
        500.0,
        ge=0,
        le=60_000,
        description="a face that is out of view for longer gets a new id, milliseconds; see also min_missed_frames",
    )
    min_missed_frames: int = Field(
        3, ge=1, le=1000, description="a face keeps its id beyond max_age_ms until it was missed in this many frames"
    )
    min_hits: int = Field(
        2,
        ge=1,
        le=100,
        description="a new face is published once it was found in this many frames; see also confirm_score",
    )
    confirm_score: float = Field(
        0.98, ge=0, le=1, description="a new face is published at once where its detector score is at least this"
    )
    revalidate_ms: float = Field(
        3000.0,
        ge=0,
        le=60_000,
        description="a followed face is dropped if no search of a whole frame finds it for this long, milliseconds",
    )


class KeyframeSettings(Section):
    """Which frames are searched as a whole; in the others, faces are followed."""

    enabled: bool = Field(True, description="true: only key frames are searched; false: every frame is searched")
    every_ms: float = Field(
        1000.0, ge=0, le=60_000, description="longest time between two searches of the whole frame, milliseconds"
    )
    aligned: bool = Field(
        False,
        description="search at multiples of every_ms of the film's time, so that what is found does not depend on "
        "where reading began; `edge-fer label` does so always",
    )
    change_ms: float = Field(
        60.0, ge=0, le=60_000, description="shortest time before a change in the picture starts a search, milliseconds"
    )
    change_max_ms: float = Field(
        240.0,
        ge=0,
        le=60_000,
        description="change_ms doubles up to this while changes bring no new face, milliseconds",
    )
    change: float = Field(
        12.0, ge=0, le=255, description="difference of a part of the picture that is a change, grey levels, 0..255"
    )
    lost_ms: float = Field(
        300.0, ge=0, le=60_000, description="after a face was lost, every frame is searched for this long, milliseconds"
    )


class ClassifySettings(Section):
    """Reading expressions."""

    backend: str = Field(
        "auto",
        description="device: auto, edgetpu (all there are), edgetpu:usb:0, edgetpu:pci:0, cpu, remote:HOST:PORT (a "
        "computer that runs `edge-fer serve`), or fake (for tests)",
    )
    model: str = Field("lite", description="name of the classifier, or of an ensemble; see `edge-fer models list`")
    fallback_model: str | None = Field(
        None,
        description="classifier on the CPU while the device is away; null: the same model; another model switches "
        "check_every off",
    )
    threads: int = Field(2, ge=1, le=64, description="processor threads of the classifier")
    edgetpu_library: str = Field("libedgetpu.so.1", min_length=1, description="name or path of the Edge TPU's library")
    performance: Literal["std", "max"] = Field(
        "std", description="clock rate of an Edge TPU on USB; max needs cooling: the device gets hot"
    )
    deadline_ms: float = Field(
        500.0, ge=1, le=4000, description="an Edge TPU that takes longer for one face has failed, milliseconds"
    )
    start_deadline_s: float = Field(
        20.0,
        gt=0,
        le=600,
        description="an Edge TPU that takes longer to open and pass its first test has failed, seconds",
    )
    check_every: int = Field(
        100, ge=0, description="one face in this many is also read on the CPU, and both must agree; 0: never"
    )
    idle_s: float = Field(
        10.0, ge=0, le=3600, description="a device that read no face for this long is tested, seconds; 0: never"
    )
    retry_s: float = Field(
        0.1, gt=0, le=60, description="pause before a device is opened again, seconds; doubles with each attempt"
    )
    retry_max_s: float = Field(10.0, gt=0, le=600, description="longest pause before a device is opened again, seconds")
    park_s: float = Field(
        600.0, gt=0, le=86_400, description="pause after all recovery steps of an Edge TPU have failed, seconds"
    )
    steady_s: float = Field(10.0, ge=0, le=3600, description="a device that works for this long has recovered, seconds")
    usb_power: bool = Field(
        False, description="let recovery switch the USB port off and on; some hubs switch all their ports at once"
    )
    usb_helper: str | None = Field(
        None, description="socket of the privileged USB helper, such as /run/edge-fer-usb.sock; null: none"
    )
    sysfs: Path = Field(Path("/sys"), description="folder of the kernel's devices; tests use another one")
    dev: Path = Field(Path("/dev"), description="folder of the device nodes; tests use another one")
    remote: RemoteSettings = RemoteSettings()

    @field_validator("backend")
    @classmethod
    def _check_device(cls, name: str) -> str:
        if name.startswith(REMOTE):
            parse_place(name.removeprefix(REMOTE))
        elif not re.fullmatch(BACKEND_PATTERN, name):
            raise ValueError(
                f"expected auto, edgetpu, edgetpu:usb:0, edgetpu:pci:0, cpu, remote:HOST:PORT or fake, found {name!r}"
            )
        return name

    @property
    def server(self) -> Place | None:
        """The computer whose device reads faces; None: this one's."""
        return parse_place(self.backend.removeprefix(REMOTE)) if self.backend.startswith(REMOTE) else None


class SmoothSettings(Section):
    """Averaging labels over time, and withholding those that would be guesses."""

    enabled: bool = Field(
        True, description="average each face's probabilities over time; false: each frame stands alone"
    )
    tau_ms: float = Field(
        200.0,
        gt=0,
        le=2000,
        description="time constant of the average, milliseconds: after this time 63 % of a change shows",
    )
    margin: float = Field(
        0.1, ge=0, lt=1, description="the label changes only to one that is more probable by at least this, 0..1"
    )
    min_confidence: float | None = Field(
        None,
        ge=0,
        le=1,
        description="no label below this confidence, 0..1 (`unsure`); null: the model's own threshold; 0: always one",
    )
    min_eye_distance_px: float | None = Field(
        8.0,
        gt=0,
        le=1000,
        description="no label where the eyes are closer together, pixels of the frame (`too_small`); null: always one",
    )
    max_blur: float | None = Field(
        0.03,
        gt=0,
        le=1,
        description="no label where edges are wider, part of the face crop's side (`blurred`); null: always one",
    )
    max_head_angle_deg: float | None = Field(
        35.0,
        gt=0,
        le=180,
        description="no label where the head is turned further to a side, up or down, degrees (`turned_away`); "
        "null: always one",
    )


class AttendSettings(Section):
    """One answer of the last pictures of each face, beside that of each picture."""

    enabled: bool = Field(
        True,
        description="say in each reading what the last pictures of a face show together (`track`): by the attention "
        "network where the model has one, else their mean",
    )
    frames: int = Field(16, ge=1, le=256, description="so many of the last pictures count at most")
    span_ms: float = Field(
        3000.0, gt=0, le=60_000, description="pictures count that are no older than this before the last, milliseconds"
    )


class MonitorSettings(Section):
    """Measuring rate and latency."""

    window_s: float = Field(
        5.0, gt=0, le=600, description="frame rate and percentiles are those of the last so many seconds"
    )


class HealthSettings(Section):
    """Watching temperature and supply, and reading fewer labels while the machine is too hot."""

    enabled: bool = Field(
        True, description="read one label in two, then one in four, while the machine is hot; false: always all"
    )
    every_ms: float = Field(
        2000.0, ge=100, le=600_000, description="time between two readings of the sensors, milliseconds"
    )
    margin_c: float = Field(
        5.0, ge=0, le=50, description="the machine has cooled once it is this far below its trip point, degrees Celsius"
    )
    cool_s: float = Field(
        10.0, ge=0, le=3600, description="once cooled for this long, twice as many labels are read again, seconds"
    )
