"""`edge-fer`, and `python -m edge_fer`."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line, which takes a moment to load: Ctrl-C and SIGTERM may come before it is there."""
    try:
        if sys.argv[1:2] == ["run"]:
            signal.signal(signal.SIGTERM, _end)
        _fill_closed_streams()
        from edge_fer.cli.app import main as command_line

        command_line()
    except KeyboardInterrupt:
        sys.exit(130)


def _end(_: int, __: FrameType | None) -> None:
    """End a run that has not begun, as one that has: nothing is open yet, so there is nothing to close."""
    os._exit(0)


def _fill_closed_streams() -> None:
    """Nothing comes from a closed standard input and goes to a closed standard error.

    Else the next file that is opened would take their place, and libraries would write into it.
    """
    for number, name in ((0, "stdin"), (2, "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))


if __name__ == "__main__":
    main()
