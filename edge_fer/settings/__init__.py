"""Settings: one validated model a stage; YAML file, then environment, then flags.

The models are the one place for defaults. Every field says what it means and its unit, so
that `edge-fer config show` and `edge-fer config schema` document themselves.
"""

from edge_fer.settings.loading import ENVIRONMENT_PREFIX, changed_settings, dump_settings, load_settings
from edge_fer.settings.outputs import (
    FileSettings,
    HttpSettings,
    LogSettings,
    MavlinkSettings,
    MqttSettings,
    PrivacySettings,
    PublishSettings,
)
from edge_fer.settings.settings import Settings
from edge_fer.settings.stages import (
    CaptureSettings,
    ClassifySettings,
    DetectSettings,
    EnhanceSettings,
    HealthSettings,
    KeyframeSettings,
    MonitorSettings,
    RawSettings,
    SmoothSettings,
    TrackSettings,
)

__all__ = [
    "ENVIRONMENT_PREFIX",
    "CaptureSettings",
    "ClassifySettings",
    "DetectSettings",
    "EnhanceSettings",
    "FileSettings",
    "HealthSettings",
    "HttpSettings",
    "KeyframeSettings",
    "LogSettings",
    "MavlinkSettings",
    "MonitorSettings",
    "MqttSettings",
    "PrivacySettings",
    "PublishSettings",
    "RawSettings",
    "Settings",
    "SmoothSettings",
    "TrackSettings",
    "changed_settings",
    "dump_settings",
    "load_settings",
]
