"""Settings of what finds faces and follows them: the sections `enhance`, `detect`, `track` and `keyframe`."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edge_fer.settings.addresses import BACKEND_PATTERN
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
