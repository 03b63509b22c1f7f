"""How long work reports what it does: a line for a result, a bar for progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import Progress as Bar

from edge_fer.common.text import escaped


class Reporter(Protocol):
    """Receives the reports of long work."""

    def say(self, text: str) -> None:
        """Take a line: something was found or checked."""
        ...

    def step(self, title: str) -> AbstractContextManager[Progress]:
        """Begin a part that takes a while; gives the function that is called with its progress."""
        ...


class ConsoleReporter:
    """Lines and bars on a terminal; lines only elsewhere."""

    def __init__(self) -> None:
        self._console = Console()

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(escaped(text), highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Progress]:
        """Show a bar."""
        with Bar(console=self._console) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


class SilentReporter:
    """Drops all reports."""

    def say(self, text: str) -> None:
        """Drop a line."""

    @contextmanager
    def step(self, title: str) -> Iterator[Progress]:
        """Give a function that drops progress."""
        yield silent


Progress = Callable[[int, int], None]
"""Called with the number of faces done and of all faces."""


def silent(done: int, total: int) -> None:
    """Drop progress."""
