"""Facial expressions from a camera, on drones and single-board computers, unattended.

From Python: `EdgeFer`, and the records that it gives (`edge_fer.schema`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_fer.api import EdgeFer
    from edge_fer.settings import Settings, load_settings

    __version__: str

__all__ = ["EdgeFer", "Settings", "__version__", "load_settings"]


def __getattr__(name: str) -> Any:
    """What is loaded when it is asked for: neither the command line nor a child process should wait for all of it."""
    if name == "__version__":
        from edge_fer.common.version import VERSION

        return VERSION
    if name == "EdgeFer":
        from edge_fer.api import EdgeFer

        return EdgeFer
    if name in ("Settings", "load_settings"):
        from edge_fer import settings

        return getattr(settings, name)
    raise AttributeError(f"module 'edge_fer' has no attribute {name!r}")
