"""`edge-fer lab landmarks` and `edge-fer lab lm68`: what networks need that read hand-made features of the face."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fer.lab.cli.options import LAYOUT_HELP, layout_of

_DATA = typer.Argument(help="The faces: an .npz file, fer2013.csv, or a folder.")


def landmarks(
    data: Annotated[Path, _DATA],
    out: Annotated[Path, typer.Option(help="The file (.npz).")],
    by: Annotated[
        str, typer.Option(help="dlib (extra `landmarks`), or the name of a network of landmarks in --models.")
    ] = "dlib",
    models: Annotated[Path | None, typer.Option(help="Folder with manifest.yaml.")] = None,
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
) -> None:
    """Find 68 landmarks of each training and validation face once, for `edge-fer lab train --landmarks`.

    The faces are crops: nothing is detected, the whole picture is the face. Test faces are not looked at. dlib's
    weights must not be used commercially, nor what is learned from them; nothing of dlib is needed to run a network.

    Example: edge-fer lab landmarks ferplus.npz --out landmarks.npz
    """
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.landmarks import find_landmarks, save_landmarks

    if by == "dlib":
        from edge_fer.lab.datasets.dlib_landmarks import open_dlib

        find = open_dlib()
    else:
        from edge_fer.expression.landmarks import open_landmarks

        find = open_landmarks(ModelStore(models), by).find
    report, dataset = ConsoleReporter(), open_dataset(data, layout_of(layout))
    with report.step(f"landmarks of {len(dataset)} faces") as progress:
        points = find_landmarks(dataset, find, progress)
    save_landmarks(out, dataset, points, by)
    report.say(f"landmarks by {by} are in {out}")


def lm68(
    data: Annotated[Path, _DATA],
    landmarks: Annotated[Path, typer.Option(help="Their landmarks, from `edge-fer lab landmarks`.")],
    out: Annotated[Path, typer.Option(help="Folder of the artefacts; other models in it stay.")] = Path("models"),
    name: Annotated[str, typer.Option(help="Its name in the manifest.")] = "lm68",
    minutes: Annotated[float, typer.Option(min=0, help="Length of the training.")] = 10.0,
    threads: Annotated[int, typer.Option(min=0, help="Processor threads; 0: torch's choice.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn at random.")] = 0,
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
) -> None:
    """Train a small network of 68 landmarks on those of a data set, and write it in INT8 with card and manifest entry.

    Networks that read hand-made features need it to run where there is no dlib: on the board.

    Example: edge-fer lab lm68 ferplus.npz --landmarks landmarks.npz --out my-models
    """
    import torch

    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.landmarks import with_landmarks
    from edge_fer.lab.export.landmarks import export_landmarks
    from edge_fer.lab.model_folder import assembling
    from edge_fer.lab.training.landmarks import LandmarkPlan, fit_landmarks

    if threads:
        torch.set_num_threads(threads)
    report = ConsoleReporter()
    dataset = with_landmarks(open_dataset(data, layout_of(layout)), landmarks)
    with report.step(f"training {name} for {minutes:g} minutes") as progress:
        net = fit_landmarks(dataset, LandmarkPlan(minutes=minutes, seed=seed), progress)
    with assembling(out) as folder:
        export_landmarks(net, dataset, folder, name, report)
    report.say(f"{name} is in {out}")
