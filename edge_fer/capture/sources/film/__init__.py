"""Films and network streams, decoded by FFmpeg through PyAV: one decoder for both.

    address -> film.Film: packets -> frames -> deinterlacer -> picture.Converter -> BGR, and their time from timeline

PyAV is imported by the modules in here only, when a film or a stream is opened.
"""

from __future__ import annotations

from importlib.util import find_spec

from edge_fer.errors import ConfigError

FILM_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".flv", ".h264", ".h265", ".hevc", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
})  # fmt: skip
"""How the names of films end, in lower case, where they are looked for in a folder."""


def require_pyav() -> None:
    """Check that PyAV is there.

    Raises:
        ConfigError: when it is not.
    """
    if find_spec("av") is None:
        raise ConfigError(
            "expected PyAV, which reads films and streams, found none; pip install av, or on 32-bit Arm: "
            "sudo apt install python3-av"
        )
