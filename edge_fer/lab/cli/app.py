"""`edge-fer lab ...`: the commands of the lab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fer.common.command_line import App
from edge_fer.lab.cli.clips import clips
from edge_fer.lab.cli.data import data
from edge_fer.lab.cli.deploy_detector import evaluate_detector, export_detector
from edge_fer.lab.cli.detector import aff_wild2, face_boxes, scenes, train_detector
from edge_fer.lab.cli.edgetpu import edgetpu_check, edgetpu_record, edgetpu_verify
from edge_fer.lab.cli.ensemble import ensemble
from edge_fer.lab.cli.evaluate import card, evaluate
from edge_fer.lab.cli.explain import explain, layers
from edge_fer.lab.cli.export import export
from edge_fer.lab.cli.faces import faces
from edge_fer.lab.cli.filter import filter_
from edge_fer.lab.cli.landmarks import landmarks, lm68
from edge_fer.lab.cli.networks import networks
from edge_fer.lab.cli.realtime import agreement, steps, tracking
from edge_fer.lab.cli.table import table
from edge_fer.lab.cli.thresholds import light, thresholds
from edge_fer.lab.cli.tracks import attention, tracks
from edge_fer.lab.cli.train import train

MODEL = "From labelled photos to a deployable model, in this order"
INSIDE = "What a model is worth, and why"
DETECTOR = "A network that finds faces and their expressions in one pass"
BOARD = "On a Coral Edge TPU"
PROJECT = "What the project ships and tests itself with"

app = App(no_args_is_help=True, add_completion=False)  # completion is that of `edge-fer`


@app.callback()
def root() -> None:
    """Offline tools, from labelled faces to a network on a board.

    They need the extra `lab`: torch and a converter, several GB. Every command explains itself with --help, and
    ends with an example. Four commands make a model of your own out of photos in folders named by expression:

    edge-fer lab faces photos/ faces/

    edge-fer lab train finetune --weights se_resnet50 --data faces/

    edge-fer lab export --weights out/train/finetune/best.npz --data faces/ --out my-models

    edge-fer run --models my-models --model my_se_resnet50 --camera 0
    """


app.command(rich_help_panel=MODEL)(faces)
app.command(rich_help_panel=MODEL)(data)
app.command("filter", rich_help_panel=MODEL)(filter_)
app.command(rich_help_panel=MODEL)(networks)
app.command(rich_help_panel=MODEL)(landmarks)
app.command(rich_help_panel=MODEL)(lm68)
app.add_typer(clips, name="clips", rich_help_panel=MODEL)
app.command(rich_help_panel=MODEL)(train)
app.command(rich_help_panel=MODEL)(export)
app.command(rich_help_panel=MODEL)(ensemble)
app.command(rich_help_panel=MODEL)(attention)
app.command(rich_help_panel=DETECTOR)(face_boxes)
app.command(rich_help_panel=DETECTOR)(aff_wild2)
app.command(rich_help_panel=DETECTOR)(scenes)
app.command(rich_help_panel=DETECTOR)(train_detector)
app.command(rich_help_panel=DETECTOR)(export_detector)
app.command(rich_help_panel=DETECTOR)(evaluate_detector)
app.command(rich_help_panel=INSIDE)(evaluate)
app.command(rich_help_panel=INSIDE)(card)
app.command(rich_help_panel=INSIDE)(tracks)
app.command(rich_help_panel=INSIDE)(table)
app.command(rich_help_panel=INSIDE)(layers)
app.command(rich_help_panel=INSIDE)(explain)
app.command(rich_help_panel=BOARD)(edgetpu_check)
app.command(rich_help_panel=BOARD)(edgetpu_record)
app.command(rich_help_panel=BOARD)(edgetpu_verify)
app.command(rich_help_panel=INSIDE)(tracking)
app.command(rich_help_panel=INSIDE)(agreement)
app.command(rich_help_panel=INSIDE)(steps)
app.command(rich_help_panel=INSIDE)(thresholds)
app.command(rich_help_panel=INSIDE)(light)


@app.command(rich_help_panel=PROJECT)
def predict() -> None:
    """Predict the rate on the processors of a Raspberry Pi 4 and 5; see docs/boards.md for what that is made from."""
    from edge_fer.lab.edgetpu.pi_latency import table

    typer.echo(table(), nl=False)


@app.command(rich_help_panel=PROJECT)
def sample(
    out: Annotated[Path, typer.Option(help="Folder of the clip and its truth.")] = Path("edge_fer/assets"),
    seed: Annotated[int, typer.Option(help="The same seed makes the same clip.")] = 7,
    entries: Annotated[int, typer.Option(min=1, help="At least so many faces come into view.")] = 6,
) -> None:
    """Make the sample clip, and the truth of who is where in every frame."""
    from edge_fer.lab.realtime.sample_clip import make_sample

    make_sample(out, seed, entries)


@app.command(rich_help_panel=PROJECT)
def reference(
    out: Annotated[Path, typer.Option(help="Where the faces go.")] = Path("tests/data/mtcnn_reference/reference.json"),
) -> None:
    """Write what the mtcnn package finds in the portraits under twelve transforms, for the detector's tests."""
    from edge_fer.lab.realtime.mtcnn_reference import write_reference

    write_reference(out)
