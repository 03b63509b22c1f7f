"""`edge-fer lab attention` and `edge-fer lab tracks`: one label of many frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fer.lab.cli.options import LAYOUT_HELP, MODEL_HELP, layout_of, model_of, split_of

if TYPE_CHECKING:
    from edge_fer.lab.console import Reporter
    from edge_fer.lab.evaluation.tracks_record import TracksRecord

_DATA = typer.Option(help="Clips (`edge-fer lab clips trim`), or single faces, of which synthetic tracks are made.")
_CACHE = typer.Option(help="Folder of what classifiers said of tracks, so that these are read once.")


def attention(
    data: Annotated[Path, _DATA],
    models: Annotated[Path, typer.Option(help="Folder with manifest.yaml, which gets the attention.")],
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
    tracks: Annotated[int, typer.Option(min=0, help="Training tracks, drawn; 0: all.")] = 3000,
    frames: Annotated[int, typer.Option(min=3, max=16, help="Frames of each of these that are read.")] = 8,
    measured: Annotated[int, typer.Option(min=0, help="Validation tracks, and test tracks; 0: all.")] = 600,
    test: Annotated[
        bool, typer.Option("--test", help="Measure on test tracks, too, once it is trained. Do this once.")
    ] = False,
    parts: Annotated[int, typer.Option(min=2, max=16, help="Frames of a track that a step reads, one a part.")] = 3,
    batch: Annotated[int, typer.Option(min=2, max=4096, help="Tracks a step.")] = 48,
    epochs: Annotated[int, typer.Option(min=1, max=10_000, help="Of the training, of seconds each.")] = 20,
    lr: Annotated[float, typer.Option(min=1e-6, max=1, help="Learning rate; times 0.2 halfway.")] = 0.01,
    decay: Annotated[float, typer.Option(min=0, max=1, help="Weight decay.")] = 1e-4,
    dropout: Annotated[float, typer.Option(min=0, max=0.95, help="Part of what the head reads that is dropped.")] = 0.6,
    guidance: Annotated[
        float,
        typer.Option(min=0, max=100, help="What open gates of spoiled frames cost; 0: nothing, as published."),
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    strips: Annotated[Path | None, typer.Option(help="Folder of pictures of some tracks; they show faces.")] = None,
    cache: Annotated[Path, _CACHE] = Path("out/tracks"),
) -> None:
    """Train attention over the frames of a track, on the features that a classifier gives; it needs no second network.

    In: a classifier of a folder of models, and tracks. Out, in that folder: NAME.attention.npz, its card
    NAME_attention.md, NAME.tracks.json with every figure, and an entry of the manifest. NAME.tflite gives its features
    from then on, with labels equal bit for bit.

    Example: edge-fer lab attention --models my-models --model my_se_resnet50 --data faces/
    """
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.evaluation.track_run import TrackSource
    from edge_fer.lab.export.attention import Plan, make_attention
    from edge_fer.lab.training.attention_top import STAGE, TopPlan

    report, name = ConsoleReporter(), model_of(model, ModelStore(models))
    optimizer = STAGE.optimizer.model_copy(update={"weight_decay": decay})
    changes = {"frames": parts, "batch": batch, "epochs": epochs, "lr": lr, "optimizer": optimizer}
    top = TopPlan(STAGE.model_copy(update=changes), dropout, guidance, seed)
    source = TrackSource(open_dataset(data, layout_of(layout)), seed, cache)
    record = make_attention(Plan(models, name, top, tracks, frames, measured, test, strips), source, report)
    _tell(record, report)
    report.say(f"`{name}` in {models} has attention: {name}.attention.npz, {name}_attention.md, {name}.tracks.json")


def tracks(
    data: Annotated[Path, _DATA],
    models: Annotated[Path | None, typer.Option(help="Folder with manifest.yaml; default: the shipped models.")] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "valid",
    measured: Annotated[int, typer.Option(min=0, help="Tracks, drawn; 0: all of the split.")] = 600,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; default: out/tracks/MODEL-SPLIT.")] = None,
    strips: Annotated[int, typer.Option(min=0, help="Pictures of so many tracks, with weights; they show faces.")] = 0,
    cache: Annotated[Path, _CACHE] = Path("out/tracks"),
) -> None:
    """Measure ways to make one label of a track: means, the smoother, the sharpest frame, attention.

    In: a classifier, with attention or without, and tracks. Out: tracks.json (every figure) and tracks.md: accuracy
    by how many frames are spoiled, each beside the mean of probabilities with the interval for paired shares, and how
    well low weights find spoiled frames.

    Example: edge-fer lab tracks --data ferplus.npz --models my-models --model my_se_resnet50 --strips 5
    """
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.dataset import SPLITS
    from edge_fer.lab.evaluation.track_run import TrackSource, evaluate_tracks
    from edge_fer.lab.evaluation.tracks_table import tracks_tables
    from edge_fer.lab.files import write_record, writing

    report, store, chosen = ConsoleReporter(), ModelStore(models), split_of(split)
    name = model_of(model, store)
    folder = out if out is not None else Path("out") / "tracks" / f"{name}-{SPLITS[chosen]}"
    source = TrackSource(open_dataset(data, layout_of(layout)), seed, cache)
    record = evaluate_tracks(source, store, name, chosen, measured, report, folder, strips)
    write_record(folder / "tracks.json", record)
    with writing(folder / "tracks.md") as path:
        path.write_text("\n\n".join([f"# {name} over time", *tracks_tables(record)]) + "\n", encoding="utf-8")
    _tell(record, report)
    report.say(f"tracks.json and tracks.md are in {folder}")


def _tell(record: TracksRecord, report: Reporter) -> None:
    from edge_fer.lab.evaluation.tracks_table import summary

    for line in summary(record):
        report.say(line)
