"""All settings of a run."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from pydantic import Field, model_validator
from typing_extensions import Self

from edge_fer.settings.addresses import path_of
from edge_fer.settings.capture import CaptureSettings
from edge_fer.settings.expression import AttendSettings, ClassifySettings, SmoothSettings
from edge_fer.settings.faces import DetectSettings, EnhanceSettings, KeyframeSettings, TrackSettings
from edge_fer.settings.outputs import LogSettings, PrivacySettings, PublishSettings
from edge_fer.settings.section import Section
from edge_fer.settings.serve import ServeSettings
from edge_fer.settings.status import HealthSettings, MonitorSettings


class Settings(Section):
    """All settings of a run."""

    device: str | None = Field(None, description="name of this device in every message; null: its host name")
    models: Path | None = Field(
        None, description="folder of networks, with a manifest.yaml; null: the networks that come with edge-fer"
    )
    capture: CaptureSettings = CaptureSettings()
    enhance: EnhanceSettings = EnhanceSettings()
    detect: DetectSettings = DetectSettings()
    track: TrackSettings = TrackSettings()
    keyframe: KeyframeSettings = KeyframeSettings()
    classify: ClassifySettings = ClassifySettings()
    smooth: SmoothSettings = SmoothSettings()
    attend: AttendSettings = AttendSettings()
    monitor: MonitorSettings = MonitorSettings()
    health: HealthSettings = HealthSettings()
    publish: PublishSettings = PublishSettings()
    privacy: PrivacySettings = PrivacySettings()
    serve: ServeSettings = ServeSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _check_outputs_spare_the_source(self) -> Self:
        source = path_of(self.capture.source)
        for name, path in (("publish.record", self.publish.record), ("publish.file.path", self.publish.file.path)):
            if path is not None and _is_same(path, source):
                raise ValueError(f"{name} {Path(path)} is the source itself, which it would spoil: choose another")
        return self

    @model_validator(mode="after")
    def _check_roll_has_a_link(self) -> Self:
        if self.detect.roll == "mavlink" and self.publish.mavlink.url is None:
            raise ValueError("detect.roll mavlink: expected a link to the autopilot; set publish.mavlink.url")
        return self

    @property
    def device_name(self) -> str:
        """The name of this device in every message."""
        return self.device or socket.gethostname()


def _is_same(path: str | Path, other: str | Path) -> bool:
    """Whether two paths lead to one file, whichever links are in between."""
    with suppress(OSError):  # one of them is not there
        return Path(path).samefile(other)
    return os.path.realpath(path) == os.path.realpath(other)
