"""`edge-fer lab export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fer.errors import ConfigError
from edge_fer.lab.cli.options import LAYOUT_HELP, NETWORK, layout_of

if TYPE_CHECKING:
    from edge_fer.inference.model_store import ModelStore


def export(
    weights: Annotated[Path | None, typer.Option(help="Trained weights of the classifier (.npz).")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled faces: training ones to calibrate on, validation ones to measure on.")
    ] = None,
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
    out: Annotated[Path, typer.Option(help="Folder of the artefacts.")] = Path("models"),
    mtcnn: Annotated[bool, typer.Option("--mtcnn/--no-mtcnn", help="Export the detector's nets.")] = True,
    mtcnn_int8: Annotated[
        bool, typer.Option("--mtcnn-int8", help="Export them in INT8, too: see `detect.precision`.")
    ] = False,
    classifier: Annotated[bool, typer.Option("--classifier/--no-classifier", help="Export the classifier.")] = True,
    name: Annotated[str | None, typer.Option(help="The classifier's in the manifest; default: my_NETWORK.")] = None,
    network: Annotated[str | None, NETWORK] = None,
    about: Annotated[
        Path | None, typer.Option(help="YAML with source, licence, about_weights, training_data, limits: for the card.")
    ] = None,
    head: Annotated[str, typer.Option(help="`first`, or `second`: the head trained on the second labels.")] = "first",
    resolution: Annotated[
        int | None, typer.Option(help="Side of the picture that the layers work on; default: as last trained.")
    ] = None,
    features: Annotated[
        bool, typer.Option("--features", help="Give the features that the head reads as a second output.")
    ] = False,
    balance: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Name rare expressions more often: take this part of the log of their shares off."
        ),
    ] = 0.0,
    faces: Annotated[int, typer.Option(min=1, help="Faces to calibrate on.")] = 512,
    chosen_on: Annotated[int, typer.Option(min=1, help="Validation faces to choose the ranges on.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw of faces.")] = 0,
    float_file: Annotated[
        Path | None, typer.Option("--float", help="Write the network before quantization to this .tflite file.")
    ] = None,
) -> None:
    """Make a deployable model: convert, quantize to INT8, check, measure; write artefacts, cards and manifest.

    In: weights from `edge-fer lab train`, and labelled faces. Out: a folder for `edge-fer run --models`, with
    NAME.tflite, its card NAME.md, NAME.export.json with every figure, and manifest.yaml.

    Example: edge-fer lab export --weights out/train/finetune/best.npz --data faces/ --out my-models
    """
    if classifier and (weights is None or data is None):
        raise ConfigError("expected --weights and --data for the classifier, found none; or give --no-classifier")
    if head not in ("first", "second"):
        raise ConfigError(f"expected --head first or second, found `{head}`")
    # torch and TensorFlow's converter take seconds to import: not for --help.
    from edge_fer.inference.model_store import MANIFEST, ModelStore
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.export.classifier import export_classifier
    from edge_fer.lab.export.job import Plan, prepare
    from edge_fer.lab.export.mtcnn import export_mtcnn
    from edge_fer.lab.model_folder import assembling
    from edge_fer.lab.weights.provenance import Provenance, read_provenance

    report, job = ConsoleReporter(), None
    if classifier and weights is not None and data is not None:
        plan = Plan(
            name=name,
            network=network,
            provenance=Provenance() if about is None else read_provenance(about),
            head="second" if head == "second" else "first",
            resolution=resolution,
            features=features,
            balance=balance,
            faces=faces,
            chosen_on=chosen_on,
            seed=seed,
            landmarks=out if (out / MANIFEST).is_file() else None,
            float_file=float_file,
        )
        job = prepare(weights, open_dataset(data, layout_of(layout)), plan)
    with assembling(out) as folder:
        if mtcnn:
            export_mtcnn(folder, report, int8=mtcnn_int8)
        if job is not None:
            export_classifier(job, folder, ModelStore(folder) if mtcnn else _store_of_detector(out), report)
    report.say(f"artefacts, cards and manifest are in {out}")
    if job is not None:
        report.say(f"try it: edge-fer run --models {shlex.quote(str(out))} --model {job.name} --camera 0")


def _store_of_detector(folder: Path) -> ModelStore:
    """The folder where it has a detector, else the shipped models."""
    from edge_fer.inference.model_store import MANIFEST, ModelStore

    there = ModelStore(folder) if (folder / MANIFEST).is_file() else None
    has_detector = there is not None and any(spec.task == "propose" for spec in there.specs.values())
    return there if there is not None and has_detector else ModelStore()
