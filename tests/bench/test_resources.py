from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_fer.bench.resources import cpu_seconds, peak_rss_mb

TICKS = os.sysconf("SC_CLK_TCK")


def process(proc: Path, pid: int, parent: int, seconds: float, peak_kib: int, name: str = "a (b) c") -> None:
    """A process that took so much processor time, half of it in the kernel."""
    half = round(seconds * TICKS / 2)
    (proc / str(pid)).mkdir(parents=True)
    before = f"S {parent} 1 1 0 -1 4194560 9 0 0 0"
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {before} {half} {half} 0 0 20 0 1 0 5 1 1\n")
    (proc / str(pid) / "status").write_text(f"Name:\t{name}\nVmPeak:\t 9999999 kB\nVmHWM:\t  {peak_kib} kB\n")


def test_children_and_their_children_count_and_others_do_not(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, 2.0, 1000)
    process(tmp_path, 11, 10, 4.0, 200)
    process(tmp_path, 12, 11, 1.0, 30, name="evil) S 1 1")
    process(tmp_path, 13, 1, 100.0, 9000)
    (tmp_path / "self").mkdir()
    (tmp_path / "14").mkdir()
    assert cpu_seconds(10, tmp_path) == pytest.approx(7.0)
    assert peak_rss_mb(10, tmp_path) == pytest.approx(1230 * 1024 / 1e6)
    assert cpu_seconds(99, tmp_path) == 0, "it has ended"
    assert peak_rss_mb(99, tmp_path) == 0


def test_this_process_takes_something() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) == before:
        sum(range(10_000))
    assert 1 < peak_rss_mb(os.getpid()) < 1e6
