"""Memory that the C library keeps for itself, kept small.

glibc gives every thread an arena of its own and returns what is freed there only in part. A run makes new threads:
after a reload it would begin on other arenas and leave those before it half full, some 70 MB after twenty reloads,
without any leak (mallopt(3), malloc_trim(3)).
"""

from __future__ import annotations

import ctypes
import gc

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_ARENAS = 2


def limit_arenas() -> None:
    """Have all threads share two arenas; for the start of the program, and for glibc only."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Free what only refers to itself, as the parts of a run do, and return what is free to the system."""
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
