"""One labelling page at a time writes the marks of a labeller: of two, the last one that saves would win."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from contextlib import ExitStack
from pathlib import Path

from edge_fer.common.closeable import Closeable
from edge_fer.errors import ConfigError, OutputError

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)  # EBADF: NFS, of a folder

_log = logging.getLogger(__name__)


class MarksClaim(Closeable):
    """A folder of marks, for one page of this machine until it is closed, or its process ends, however that ends.

    The folder itself is locked, so that nothing is left behind. Where the file system has no locks, that is told, and
    nobody is kept out.

    Args:
        home: the folder; it is made where it does not exist.

    Raises:
        ConfigError: when another page has it.
        OutputError: when nothing can be written there.
    """

    def __init__(self, home: Path) -> None:
        with ExitStack() as stack:
            try:
                home.mkdir(parents=True, exist_ok=True)
                folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, folder)
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"expected to be the only page that writes marks to {home}, found another one open; go on there, "
                    "end it with Ctrl-C, or label under a name of your own (--labeller)"
                ) from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise OutputError(f"expected to write to {home}, found: {error.strerror}; check it") from error
                _log.warning("%s has no locks: label on one page only, else the last one that saves wins", home)
            self._held = stack.pop_all()

    def close(self) -> None:
        """Let another page have it."""
        self._held.close()
