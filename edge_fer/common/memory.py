"""Keeps the memory small that the C library holds back.

glibc gives every thread an arena of its own and returns only part of what is freed there. A run starts new threads:
after a reload it would use other arenas and leave the former ones half full, some 70 MB after twenty reloads, without
any leak (mallopt(3), malloc_trim(3)).
"""

from __future__ import annotations

import ctypes
import gc

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_ARENAS = 2


def limit_arenas() -> None:
    """Let all threads share two arenas; call it when the program starts. Without glibc it does nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Free reference cycles, as of the parts of a run, and return free memory to the system."""
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
