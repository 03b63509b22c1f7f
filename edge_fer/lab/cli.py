"""`edge-fer lab ...`: the commands of the lab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fer.errors import ConfigError
from edge_fer.lab.cli_train import data, train

app = typer.Typer(
    no_args_is_help=True,
    help="Offline tools, from labelled faces to a deployable network. Need the extra `lab`.",
)

_WEIGHTS = typer.Option(help="Trained weights of the classifier (.npz).")
_DATA = typer.Option(help="FER+ faces (.npz): to calibrate on and to be measured on.")


@app.callback()
def root() -> None:
    """Offline tools: data sets, training, export, reference data, the sample clip."""


@app.command()
def export(
    weights: Annotated[Path | None, _WEIGHTS] = None,
    data: Annotated[Path | None, _DATA] = None,
    out: Annotated[Path, typer.Option(help="Folder of the artefacts.")] = Path("models"),
    mtcnn: Annotated[bool, typer.Option("--mtcnn/--no-mtcnn", help="Export the detector's nets.")] = True,
    classifier: Annotated[bool, typer.Option("--classifier/--no-classifier", help="Export the classifier.")] = True,
    faces: Annotated[int, typer.Option(min=1, help="Calibration faces.")] = 512,
    seed: Annotated[int, typer.Option(help="Of the draw of calibration faces.")] = 0,
) -> None:
    """Convert, quantize, check and measure the networks; write artefacts, cards and manifest."""
    if classifier and (weights is None or data is None):
        raise ConfigError("expected --weights and --data for the classifier, found none; or give --no-classifier")
    # torch and TensorFlow's converter take seconds to import: not for --help.
    from edge_fer.lab.export import Recipe, export_classifier, export_mtcnn
    from edge_fer.lab.report import ConsoleReporter

    report = ConsoleReporter()
    if mtcnn:
        export_mtcnn(out, report)
    if classifier and weights is not None and data is not None:
        export_classifier(weights, data, out, Recipe(faces=faces, seed=seed), report)


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Folder of the clip and its truth.")] = Path("edge_fer/assets"),
    seed: Annotated[int, typer.Option(help="The same seed makes the same clip.")] = 7,
    entries: Annotated[int, typer.Option(min=1, help="At least so many faces come into view.")] = 6,
) -> None:
    """Make the sample clip, and the truth of who is where in every frame."""
    from edge_fer.lab.sample import make_sample

    make_sample(out, seed, entries)


@app.command()
def reference(
    out: Annotated[Path, typer.Option(help="Where the faces go.")] = Path("tests/data/mtcnn_reference/reference.json"),
) -> None:
    """Write what the mtcnn package finds in the portraits under twelve transforms, for the detector's tests."""
    from edge_fer.lab.reference import write_reference

    write_reference(out)


app.command()(data)
app.command()(train)
