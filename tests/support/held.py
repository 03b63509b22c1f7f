"""What a process holds, for tests of what leaks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """What a process may leak.

    Attributes:
        descriptors: open ones.
        memfds: of these, files in memory.
        threads: all that the kernel knows of.
        children: processes that it started and that still exist, and theirs.
        segments: of shared memory, anybody's.
        rss_mib: resident memory; pages that processes share count in each.
    """

    descriptors: int
    memfds: int
    threads: int
    children: int
    segments: int
    rss_mib: float


def held(pid: int | None = None, *, family: bool = False) -> Held:
    """Look at it.

    Args:
        pid: of the process; null: this one.
        family: whether what its children hold counts, too.
    """
    first = os.getpid() if pid is None else pid
    children = descendants(first)
    processes = [first, *children] if family else [first]
    links = [link for process in processes for link in _descriptors(process)]
    return Held(
        descriptors=len(links),
        memfds=sum("memfd:" in link for link in links),
        threads=sum(len(_entries(process, "task")) for process in processes),
        children=len(children),
        segments=len(list(Path("/dev/shm").iterdir())),
        rss_mib=sum(map(_rss_mib, processes)),
    )


def descendants(pid: int) -> list[int]:
    """Processes that it started, and theirs."""
    children: list[int] = []
    for task in _entries(pid, "task"):
        try:
            children += map(int, (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
            continue
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def _entries(pid: int, folder: str) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/{folder}").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # it has ended, or is about to
        return []


def _descriptors(pid: int) -> list[str]:
    """Where each leads."""
    links = []
    for path in _entries(pid, "fd"):
        try:
            links.append(os.readlink(path))  # noqa: PTH115  a memfd's name is no path
        except FileNotFoundError:  # such as the descriptor of this very listing
            continue
    return links


def _rss_mib(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
