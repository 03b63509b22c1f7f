"""Files with secrets in them, which not every user of the machine may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from edge_fer.errors import ConfigError


def open_secret(path: Path, what: str) -> BinaryIO:
    """Open a file that only its owner and group may read.

    Args:
        path: the file.
        what: what is in it, for the message: `a token`.

    Raises:
        ConfigError: when every user may read it.
        OSError: when it cannot be opened.
    """
    file = path.open("rb")
    if os.fstat(file.fileno()).st_mode & stat.S_IROTH:
        file.close()
        raise ConfigError(f"expected {what} that is secret, found {path} readable by everybody; chmod o-rwx {path}")
    return file
