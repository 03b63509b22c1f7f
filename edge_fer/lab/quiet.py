"""Keeps the output of other libraries off the terminal, unless they fail."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what the process writes to standard output and error; when something is raised, let it out.

    By file descriptor, as half of it comes from C++. Our own output in the meantime is held back, too; a bar is drawn
    again soon after.
    """
    with tempfile.TemporaryFile() as kept:
        _flush()
        output, error = os.dup(1), os.dup(2)
        try:
            os.dup2(kept.fileno(), 1)
            os.dup2(kept.fileno(), 2)
            try:
                yield
            finally:
                _flush()
                os.dup2(output, 1)
                os.dup2(error, 2)
        except BaseException:
            kept.seek(0)
            with open(error, "wb", closefd=False) as terminal:
                shutil.copyfileobj(kept, terminal)
            raise
        finally:
            os.close(output)
            os.close(error)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
