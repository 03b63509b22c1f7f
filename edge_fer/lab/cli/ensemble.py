"""`edge-fer lab ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fer.lab.cli.options import LAYOUT_HELP, labels_of, layout_of


def ensemble(
    models: Annotated[
        str,
        typer.Option(help="The members: names of shipped models, or FOLDER/NAME, separated by commas.", metavar="LIST"),
    ],
    data: Annotated[Path, typer.Option(help="Labelled faces: an .npz file, fer2013.csv, or a folder.")],
    out: Annotated[Path, typer.Option(help="Folder of models that gets the ensemble; members are copied to it.")],
    name: Annotated[str, typer.Option(help="Name of the ensemble in the manifest.")] = "ensemble",
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
    labels: Annotated[
        str, typer.Option(help="first, or second: the second annotator's, such as FER2013's beside FER+'s.")
    ] = "first",
    test: Annotated[
        bool, typer.Option("--test", help="Read the test faces, too, once the weights are chosen. Do this once.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search and of the folds.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of a classification.")] = 2,
    cache: Annotated[
        Path, typer.Option(help="Folder of what members said of faces, so that these are read once.")
    ] = Path("out/answers"),
) -> None:
    """Combine exported classifiers: the weights of their mean are chosen on validation faces.

    In: classifiers of one or several folders of models, and labelled faces. Out, in the folder: the members, an entry
    of the manifest, NAME.ensemble.json (every figure) and the card NAME.md: the ensemble beside its best member and
    beside equal weights, with intervals; by how much chosen weights flatter (nested folds); the time of each.

    Example: edge-fer lab ensemble --models se_resnet50,lite,my-models/my_resnet50 --data faces/ --out my-models
    """
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.export.ensemble import Plan, make_ensemble
    from edge_fer.lab.export.ensemble_card import split_tables

    members = tuple(part.strip() for part in models.split(",") if part.strip())
    plan = Plan(members, data, out, name, layout_of(layout), labels_of(labels), test, seed, threads, cache)
    report = ConsoleReporter()
    record = make_ensemble(plan, report)
    for part in split_tables(record):
        report.say(part)
    report.say(
        f"on the faces that the weights were chosen on {record.own_faces.value:.1%}, which is "
        f"{100 * record.optimism:.2f} points more than by nested folds"
    )
    report.say(f"`{name}` is in {out}: edge-fer run --models {out} --model {name}")
