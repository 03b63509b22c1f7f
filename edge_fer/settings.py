"""Settings: one validated model a stage; YAML file, then environment, then flags.

The models are the one place for defaults. Every field says what it means and its unit, so
that `edge-fer config show` and `edge-fer config schema` document themselves.
"""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_fer.backends import BackendName
from edge_fer.errors import ConfigError

ENVIRONMENT_PREFIX = "EDGE_FER_"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CaptureSettings(_Section):
    """Where frames come from."""

    source: str = Field("0", description="camera index, device path, picture, video, folder, URL, or `sample`")
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

    clahe: bool = Field(False, description="equalise contrast locally before detection")
    clip_limit: float = Field(2.0, gt=0, le=40, description="how far local contrast may be raised")
    tiles: int = Field(8, ge=1, le=32, description="the picture is divided into tiles x tiles")
    size: int = Field(600, ge=64, le=4096, description="long side of the picture that contrast is computed on, pixels")


class DetectSettings(_Section):
    """Finding faces (MTCNN)."""

    size: int = Field(600, ge=64, le=4096, description="long side of the picture that faces are sought in, pixels")
    min_face: int = Field(40, ge=12, le=2000, description="smallest face found, pixels at `size`")
    score: float = Field(0.9, ge=0, lt=1, description="faces below this detector score are left out")
    factor: float = Field(0.709, gt=0.3, lt=0.95, description="from one scale of the pyramid to the next")
    thresholds: tuple[float, float, float] = Field((0.6, 0.7, 0.8), description="scores to pass P-, R- and O-Net")
    max_faces: int = Field(32, ge=1, le=1000, description="at most so many faces a frame, best scores first")
    threads: int = Field(2, ge=1, le=64, description="processor threads")


class ClassifySettings(_Section):
    """Reading expressions."""

    backend: BackendName = Field("auto", description="device: auto, cpu, or fake (answers by arithmetic, for tests)")
    model: str = Field("se_resnet50", description="name of a classifier in the manifest; see `edge-fer models list`")
    threads: int = Field(2, ge=1, le=64, description="processor threads")


class MonitorSettings(_Section):
    """Measuring rate and latency."""

    window_s: float = Field(5.0, gt=0, le=600, description="FPS and percentiles look back so many seconds")


class PublishSettings(_Section):
    """Where readings go."""

    format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, else JSON lines")
    record: Path | None = Field(None, description="write the annotated video to this file; null: nothing is written")


class Settings(_Section):
    """All settings of a run."""

    device: str = Field(default_factory=socket.gethostname, description="name of this box in every message")
    models: Path | None = Field(None, description="folder with manifest.yaml; null: the models that came along")
    capture: CaptureSettings = CaptureSettings()
    enhance: EnhanceSettings = EnhanceSettings()
    detect: DetectSettings = DetectSettings()
    classify: ClassifySettings = ClassifySettings()
    monitor: MonitorSettings = MonitorSettings()
    publish: PublishSettings = PublishSettings()
