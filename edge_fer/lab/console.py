"""How long work tells what it does: a line for what is known, a bar for what goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import Progress as Bar


class Reporter(Protocol):
    """Whoever watches."""

    def say(self, text: str) -> None:
        """Something was found or checked."""
        ...

    def step(self, title: str) -> AbstractContextManager[Progress]:
        """Something begins that will take a while."""
        ...


class ConsoleReporter:
    """Lines and bars on a terminal; lines only elsewhere."""

    def __init__(self) -> None:
        self._console = Console()

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Progress]:
        """Show a bar."""
        with Bar(console=self._console) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


class SilentReporter:
    """Nobody watches."""

    def say(self, text: str) -> None:
        """Nobody hears it."""

    @contextmanager
    def step(self, title: str) -> Iterator[Progress]:
        """Nobody sees it."""
        yield silent


Progress = Callable[[int, int], None]
"""Called with the number of faces done and of all faces."""


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""
