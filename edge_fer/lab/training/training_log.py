"""What a training reports while it runs, and the table and the curves that it leaves."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typing_extensions import Self

from edge_fer.lab.files import replacing

Row = Mapping[str, str | int | float]
"""What is known at the end of an epoch, by name; see `loop.Trainer`."""


class TrainingReporter(Protocol):
    """Receives the reports of a training."""

    def say(self, text: str) -> None:
        """Take a line: something happened."""
        ...

    def step(self, stage: str, progress: float, metrics: str) -> None:
        """Take a step: how much of the stage is done, 0..1, and its figures in words."""
        ...


class ConsoleTrainingReporter:
    """A bar with the time that is left on a terminal, and a line for each epoch anywhere."""

    def __init__(self) -> None:
        self._console = Console()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
        )
        self._bars = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def step(self, stage: str, progress: float, metrics: str) -> None:
        """Move the bar."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=1.0, metrics="")
        self._bars.update(self._tasks[stage], completed=progress, metrics=metrics)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


class SilentTrainingReporter:
    """Drops all reports."""

    def say(self, text: str) -> None:
        """Drop a line."""

    def step(self, stage: str, progress: float, metrics: str) -> None:
        """Drop a step."""


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write the figures of each epoch as CSV.

    Raises:
        OutputError: when it cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def plot_curves(path: Path, rows: Sequence[Row]) -> None:
    """Draw losses and accuracies over the steps of all stages as PNG.

    Raises:
        OutputError: when it cannot be written.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    _draw(losses, rows, {"train_loss": "training", "val_loss": "validation"}, "loss (nats)")
    names = {"train_accuracy": "training", "val_accuracy": "validation", "val_balanced": "validation, balanced"}
    if any(row["val_second"] != "" for row in rows):
        names["val_second"] = "validation, second head"
    _draw(accuracies, rows, names, "accuracy")
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)


def plot_detection(path: Path, rows: Sequence[Row]) -> None:
    """Draw a detector's losses and average precisions over the steps as PNG.

    Raises:
        OutputError: when it cannot be written.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    losses, precisions = figure.subplots(1, 2)
    parts = {f"loss_{name}": name for name in ("boxes", "objectness", "classes")}
    names = {"val_map": "mean over the labels", "val_faces": "faces", "val_faces_from_32": "faces from 32 pixels"}
    for axes, lines, label in ((losses, parts, "loss a picture"), (precisions, names, "average precision")):
        for name, title in lines.items():
            axes.plot([row["step"] for row in rows], [row[name] for row in rows], marker=".", label=title)
        _finish(axes, label)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _draw(axes: Axes, rows: Sequence[Row], names: Mapping[str, str], label: str) -> None:
    for name, title in names.items():
        known = [row for row in rows if row[name] != ""]
        axes.plot([row["updates"] for row in known], [row[name] for row in known], marker=".", label=title)
    for before, after in itertools.pairwise(rows):
        if before["stage"] != after["stage"]:
            axes.axvline(float(before["updates"]), color="grey", linestyle=":", linewidth=1)
    _finish(axes, label)


def _finish(axes: Axes, label: str) -> None:
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.legend(loc="upper left")  # the best place would be searched for, long on a busy machine
    axes.grid(visible=True, alpha=0.3)
