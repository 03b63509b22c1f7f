"""The resources that a process uses, to find leaks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ResourceUse:
    """What a process uses and may leak.

    Attributes:
        descriptors: open file descriptors.
        memfds: those of them that are files in memory.
        threads: threads, as the kernel counts them.
        children: child processes that still exist, and theirs.
        rss_mib: resident memory, MiB; pages that processes share count for each.
    """

    descriptors: int
    memfds: int
    threads: int
    children: int
    rss_mib: float

    def promises_since(self, before: ResourceUse) -> dict[str, bool]:
        """For each thing that may leak, whether there is no more of it than before."""
        return {
            f"no {noun} left": getattr(self, name) <= getattr(before, name)
            for name, noun in (
                ("children", "child"),
                ("descriptors", "descriptor"),
                ("memfds", "memfd"),
                ("threads", "thread"),
            )
        }


def resource_use_after(
    before: ResourceUse, measure: Callable[[], ResourceUse] | None = None, patience_s: float = 5.0
) -> ResourceUse:
    """Measure once no more is held than before, or else when patience is over.

    The kernel still counts a thread for a moment after Python has joined it.

    Args:
        before: what was held.
        measure: measures it; None: `resource_use` of this process.
        patience_s: how long to wait for what is about to be given back.
    """
    end = time.monotonic() + patience_s
    while True:
        use = (measure or resource_use)()
        if all(use.promises_since(before).values()) or time.monotonic() > end:
            return use
        time.sleep(0.005)


def resource_use(pid: int | None = None, *, family: bool = False) -> ResourceUse:
    """Measure a process.

    Args:
        pid: its process id; None: this process.
        family: whether its child processes count, too.
    """
    first = os.getpid() if pid is None else pid
    children = descendants(first)
    processes = [first, *children] if family else [first]
    links = [link for process in processes for link in _descriptors(process)]
    return ResourceUse(
        descriptors=len(links),
        memfds=sum("memfd:" in link for link in links),
        threads=sum(len(_entries(process, "task")) for process in processes),
        children=len(children),
        rss_mib=sum(map(_rss_mib, processes)),
    )


def descendants(pid: int) -> list[int]:
    """Process ids of a process's children, and theirs."""
    children: list[int] = []
    for task in _entries(pid, "task"):
        try:
            children += map(int, (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def _entries(pid: int, folder: str) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/{folder}").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # it has ended, or is about to
        return []


def _descriptors(pid: int) -> list[str]:
    """What each descriptor refers to."""
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
