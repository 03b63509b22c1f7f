"""A machine that has run out of what every program needs, which passes."""

from __future__ import annotations

import errno

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


HINT = "end what uses so much, or raise the limit (such as LimitNOFILE and MemoryMax of a service)"
"""What to do about it."""


def is_exhausted(error: BaseException) -> bool:
    """Whether an error is of no file, device or peer: too many open files, or too little memory."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _EXHAUSTED)
