"""What kind of file is at a path."""

from __future__ import annotations

from pathlib import Path

from edge_fer.common.text import redact
from edge_fer.errors import SourceError


def mode_of(path: Path) -> int | None:
    """Type and permissions of the file at a path, as `os.stat_result.st_mode`; None where there is none.

    Args:
        path: the path.

    Raises:
        SourceError: when this user may not read the folder, or no file can have such a name.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(
            f"expected a camera, picture, video or folder at {redact(str(path))!r}, found: {reason}; check the path"
        ) from error
