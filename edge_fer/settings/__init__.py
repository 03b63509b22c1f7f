"""Settings: one validated model for each stage; read from a YAML file, then the environment, then flags.

The models are the one place for defaults. Every field says what it means and its unit: `edge-fer config show`,
`edge-fer config schema` and docs/settings.md are made from them.
"""

from edge_fer.settings.capture import CaptureSettings, RawSettings
from edge_fer.settings.expression import AttendSettings, ClassifySettings, SmoothSettings
from edge_fer.settings.faces import DetectSettings, EnhanceSettings, KeyframeSettings, TrackSettings
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
from edge_fer.settings.remote import RemoteSettings
from edge_fer.settings.serve import ServeSettings
from edge_fer.settings.settings import Settings
from edge_fer.settings.status import HealthSettings, MonitorSettings

__all__ = [
    "ENVIRONMENT_PREFIX",
    "AttendSettings",
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
    "RemoteSettings",
    "ServeSettings",
    "Settings",
    "SmoothSettings",
    "TrackSettings",
    "changed_settings",
    "dump_settings",
    "load_settings",
]
