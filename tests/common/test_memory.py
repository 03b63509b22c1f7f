from __future__ import annotations

import ctypes
import subprocess
import sys
import weakref
from collections.abc import Callable

import pytest

from edge_fer.common.memory import give_back, limit_arenas


class Circle:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_only_refers_to_itself_goes_at_once() -> None:
    circle = Circle()
    seen = weakref.ref(circle)
    del circle
    give_back()
    assert seen() is None


def test_threads_share_two_arenas() -> None:
    """In a process of its own, as the limit is for good."""
    script = """
import ctypes, sys, threading
from edge_fer.common.memory import limit_arenas
limit_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
together = threading.Barrier(8)
def use():
    libc.malloc(100)
    together.wait()
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info(0, ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w")))
libc.fflush(None)
"""
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert 1 <= said.count("<heap nr=") <= 2


@pytest.mark.parametrize("function", [limit_arenas, give_back])
def test_another_c_library_is_left_alone(function: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    function()
