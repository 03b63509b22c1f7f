"""What other libraries say stays off the terminal, and comes out when they fail."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.lab

CHATTER = """
import os, sys
from edge_fer.lab.quiet import quiet
print("before")
with quiet():
    print("from Python")
    os.write(1, b"from C\\n")
    print("a warning", file=sys.stderr)
    {last}
print("afterwards")
"""


def run(last: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, whose standard output is what Python takes for it."""
    code = CHATTER.format(last=last)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_what_works_says_nothing() -> None:
    done = run("pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, "before\nafterwards\n", "")


def test_what_fails_says_everything() -> None:
    done = run("raise RuntimeError('no')")
    assert (done.returncode, done.stdout) == (1, "before\n")
    for words in ("from Python", "from C", "a warning", "RuntimeError: no"):
        assert words in done.stderr
