"""OpenCV, which comes in many builds of which not each goes with each numpy."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr
from importlib import import_module
from importlib.metadata import version

from edge_fer.errors import ConfigError


def load_opencv() -> None:
    """Load OpenCV before anything else needs it.

    Raises:
        ConfigError: when it does not load; one line, instead of the page that numpy writes to standard error.
    """
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            import_module("cv2")
    except ImportError as error:
        reason = " ".join(str(error).split()) or "nothing"
        raise ConfigError(
            f"expected an OpenCV that works with numpy {version('numpy')}, found: {reason}; "
            "pip install --upgrade 'opencv-python-headless>=4.10'"
        ) from error
    sys.stderr.write(said.getvalue())
