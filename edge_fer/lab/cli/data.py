"""`edge-fer lab data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fer.common.text import counted
from edge_fer.lab.cli.options import LAYOUT_HELP, layout_of
from edge_fer.lab.datasets.dataset import SPLITS, Dataset

_SHOWN = 20  # problems


def data(
    path: Annotated[Path, typer.Argument(help="An .npz file, fer2013.csv, or a folder.")],
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
    check: Annotated[int, typer.Option(min=0, help="Check so many of the pictures.")] = 2000,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw the counts, and faces as --recipe varies them, to this .png file.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="Recipe of --sheet: a name, or a YAML file.")] = "thesis",
) -> None:
    """Show what a data set holds: faces by label and split, and what may be wrong with it.

    Example: edge-fer lab data faces/ --sheet faces.png --recipe finetune
    """
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.inspection import find_problems

    dataset = open_dataset(path, layout_of(layout))
    report = ConsoleReporter()
    for line in _table(dataset):
        report.say(line)
    for reason, count in dataset.left_out.items():
        report.say(f"left out: {count} ({reason})")
    with report.step("checking pictures") as progress:
        problems = find_problems(dataset, check, progress)
    for problem in problems[:_SHOWN]:
        report.say(f"problem: {problem}")
    if len(problems) > _SHOWN:
        report.say(f"and {counted(len(problems) - _SHOWN, 'more problem')}")
    report.say(counted(len(problems), "problem") if problems else "no problems found")
    if sheet is not None:
        from edge_fer.lab.training.recipe_files import load_recipe
        from edge_fer.lab.training.sheet import draw_sheet

        draw_sheet(sheet, dataset, load_recipe(recipe))
        report.say(f"counts and varied faces are in {sheet}")


def _table(dataset: Dataset) -> list[str]:
    from edge_fer.types import LABELS

    counts = dataset.counts()
    rows = [["", *SPLITS.values(), "all"]]
    rows += [[label, *map(str, counts[:, index]), str(counts[:, index].sum())] for index, label in enumerate(LABELS)]
    rows += [["all", *map(str, counts.sum(axis=1)), str(counts.sum())]]
    second = int((dataset.second >= 0).sum())
    title = f"{dataset.name}: {counted(len(dataset), 'face')}" + (f", {second} with a second label" if second else "")
    return [title, *(f"{row[0]:12}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows)]
