"""Processor time and memory of this process and its children, as the kernel counts them."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_PARENT, _USER_TICKS, _END_OF_TICKS = 1, 11, 15  # of proc_pid_stat(5), counted from behind the name: state is 0


def cpu_seconds(pid: int, proc: Path = _PROC) -> float:
    """Processor time of a process and its descendants since they began, also of those that have ended, seconds."""
    ticks = 0
    for member in _family(pid, proc):
        # utime, stime, and both of the children that were waited for
        ticks += sum(int(value) for value in _stat(member, proc)[_USER_TICKS:_END_OF_TICKS])
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_rss_mb(pid: int, proc: Path = _PROC) -> float:
    """The sum of the peaks of resident memory of a process and its descendants, MB (10^6 bytes)."""
    return sum(_peak_kib(member, proc) for member in _family(pid, proc)) * 1024 / 1e6


def _family(pid: int, proc: Path) -> list[int]:
    """The ids of a process and of all its living descendants."""
    processes = (int(path.name) for path in proc.iterdir() if path.name.isdigit())
    parents = {other: int(stat[_PARENT]) for other in processes if (stat := _stat(other, proc))}
    family = [pid]
    for member in family:  # the list grows during the loop
        family.extend(child for child, parent in parents.items() if parent == member)
    return family


def _stat(pid: int, proc: Path) -> list[str]:
    """The fields of a process after its name, which may contain anything; empty when it has ended."""
    return _text(proc / str(pid) / "stat").rpartition(")")[2].split()


def _peak_kib(pid: int, proc: Path) -> int:
    lines = _text(proc / str(pid) / "status").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""
