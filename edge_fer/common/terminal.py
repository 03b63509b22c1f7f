"""The terminal that a program was started on, and whether it was closed."""

from __future__ import annotations

import os
import signal


class Terminal:
    """The controlling terminal of this process, if it has one.

    Whoever started the program with `nohup` wants it to outlive the terminal: then it counts as having none.
    """

    def __init__(self) -> None:
        self._had = _has_terminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN

    @property
    def gone(self) -> bool:
        """Whether it was closed since, as by a window or an ssh connection that ended."""
        return self._had and not _has_terminal()


def _has_terminal() -> bool:
    try:
        os.close(os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
