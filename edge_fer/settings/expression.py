"""Settings of what reads expressions and steadies labels: the sections `classify`, `smooth` and `attend`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from edge_fer.settings.addresses import BACKEND_PATTERN, REMOTE, Place, parse_place
from edge_fer.settings.remote import RemoteSettings
from edge_fer.settings.section import Section


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
