"""`edge-fer lab filter`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fer.common.text import counted
from edge_fer.lab.cli.options import LAYOUT_HELP, layout_of


def filter_(
    data: Annotated[Path, typer.Argument(help="AffectNet's folder, with its automatically labelled list.")],
    out: Annotated[Path, typer.Option(help="Folder that gets the list of the faces that are kept.")],
    model: Annotated[
        str, typer.Option(help="The teacher: a classifier or an ensemble; see `edge-fer models list`.")
    ] = ("se_resnet50"),
    models: Annotated[
        Path | None, typer.Option(help="Folder with manifest.yaml; default: the models that edge-fer ships.")
    ] = None,
    above: Annotated[float, typer.Option(min=0, max=1, help="Keep faces whose label is more probable.")] = 0.5,
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "affectnet-automatic",
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of a classification.")] = 2,
) -> None:
    """Keep the faces of a noisy data set whose labels a teacher finds probable.

    In: faces that were labelled automatically. Out: the list of those that are kept, for `edge-fer lab train --data
    noisy=OUT`; filter.json, how many were kept and dropped of each expression; dropped.txt, which. Pictures stay where
    they are.

    Example: edge-fer lab filter affectnet/ --model se_resnet50 --above 0.5 --out affectnet-filtered/
    """
    from edge_fer.expression.open_model import open_expression_model
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.label_filter import filter_labels
    from edge_fer.settings import ClassifySettings

    dataset, report = open_dataset(data, layout_of(layout)), ConsoleReporter()
    settings = ClassifySettings(model=model, backend="cpu", threads=threads)
    reading = report.step(f"{model} reads {counted(len(dataset), 'face')}")
    with open_expression_model(settings, ModelStore(models)) as teacher, reading as progress:
        found = filter_labels(dataset, teacher, above, out, progress)
    for label, kept in found.kept.items():
        report.say(f"{label:12}{kept:>10} kept {found.dropped[label]:>10} dropped")
    if found.unreadable:
        report.say(f"not readable: {counted(found.unreadable, 'picture')}")
    report.say(f"{sum(found.kept.values())} of {found.faces} faces are listed in {out}; dropped.txt names the others")
