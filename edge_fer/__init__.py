"""Facial expressions from a camera, on drones and single-board computers, unattended.

From Python: `EdgeFer`, the records that it gives, the errors that it raises, and `draw`. See docs/python.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_fer.api import EdgeFer
    from edge_fer.errors import (
        BackendError,
        ConfigError,
        EdgeFerError,
        ForkError,
        ModelError,
        OutputError,
        SourceError,
        WorkerError,
    )
    from edge_fer.publish.drawing.annotate import draw
    from edge_fer.schema import FaceReading, Reading, Status, TrackRecord, to_dict, to_json
    from edge_fer.settings import Settings, load_settings

    __version__: str

__all__ = [
    "BackendError",
    "ConfigError",
    "EdgeFer",
    "EdgeFerError",
    "FaceReading",
    "ForkError",
    "ModelError",
    "OutputError",
    "Reading",
    "Settings",
    "SourceError",
    "Status",
    "TrackRecord",
    "WorkerError",
    "__version__",
    "draw",
    "load_settings",
    "to_dict",
    "to_json",
]

_HOMES = {
    "__version__": "common.version.VERSION",
    "EdgeFer": "api.EdgeFer",
    "draw": "publish.drawing.annotate.draw",
    **{name: f"schema.{name}" for name in ("FaceReading", "Reading", "Status", "TrackRecord", "to_dict", "to_json")},
    **{name: f"settings.{name}" for name in ("Settings", "load_settings")},
    **{name: f"errors.{name}" for name in __all__ if name.endswith("Error")},
}


def __getattr__(name: str) -> Any:
    """What is loaded when it is asked for: neither the command line nor a child process should wait for all of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_fer' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].rpartition(".")
    return getattr(import_module(f"edge_fer.{module}"), attribute)
