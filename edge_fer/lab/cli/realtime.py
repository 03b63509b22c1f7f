"""`edge-fer lab tracking` and `edge-fer lab agreement`: what the quick way costs in faces and labels."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_fer.errors import ConfigError
from edge_fer.lab.cli.options import LAYOUT_HELP, layout_of

_CONFIG = typer.Option("--config", help="Settings file (YAML).", metavar="FILE")
_JSON = typer.Option("--json", help="Print the figures as JSON.")
_ALL = 1_000_000  # frames: of any clip


def tracking(
    sources: Annotated[list[str] | None, typer.Argument(help="Videos, or `sample`; see `run`.")] = None,
    scenes: Annotated[str, typer.Option(help="Seeds of synthetic scenes whose truth is known.")] = "101,102",
    entries: Annotated[int, typer.Option(min=1, help="At least so many faces come into view in each scene.")] = 30,
    config: Annotated[Path | None, _CONFIG] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Hold faces that are followed between key frames against a search of every frame, and against the truth.

    In: videos, and seeds. Out, of each video: how many of the faces that MTCNN finds, run in float32 on every frame,
    are shown in the same frame, by whatever detector the settings name; and which tracks lie on no face. Of each
    scene: how often a face changed its id.

    Example: edge-fer lab tracking sample clip.mp4 --scenes 1,2,3
    """
    from edge_fer.bench.source import decode
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.realtime.tracking import follow, identify
    from edge_fer.settings import load_settings
    from edge_fer.synthetic.scenes import sample_scene

    report = ConsoleReporter()
    seeds = [_whole(seed) for seed in scenes.split(",") if seed.strip()]
    found: dict[str, Any] = {"clips": {}, "scenes": {}}
    for source in sources or ["sample"]:
        settings = load_settings(config, flags={"capture.source": source})
        clip = follow(settings, *decode(settings.capture, _ALL, settings.detect.size))
        found["clips"][source] = asdict(clip) | {"recall": clip.recall}
        if not as_json:
            report.say(
                f"{source}: {clip.recall:.2%} of the {clip.expected} faces in {clip.frames} frames shown; "
                f"{clip.false_tracks} of {clip.tracks} tracks false, {clip.unfounded} of {clip.shown} faces unfounded; "
                f"{clip.searched} frames searched; {clip.finder_s / clip.frames * 1e3:.1f} ms a frame "
                f"instead of {clip.detector_s / clip.frames * 1e3:.1f}"
            )
    for seed in seeds:
        scene = identify(load_settings(config), sample_scene(seed, entries))
        found["scenes"][seed] = asdict(scene)
        if not as_json:
            report.say(
                f"scene {seed}: {scene.entries} faces come in; {scene.switches} changes of id in {scene.found} of "
                f"{scene.visible} visible faces; {scene.false} of {scene.shown} shown where there is none"
            )
    if as_json:
        typer.echo(json.dumps(found, indent=2))


def agreement(
    data: Annotated[Path, typer.Option(help="Labelled faces: an .npz file, fer2013.csv, or a folder.")],
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
    each: Annotated[int, typer.Option(min=1, help="Validation faces of each expression.")] = 30,
    frames: Annotated[int, typer.Option(min=2, help="Frames in which each face moves.")] = 6,
    still: Annotated[bool, typer.Option("--still", help="The faces stand still, before a camera with noise.")] = False,
    config: Annotated[Path | None, _CONFIG] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Hold the labels of the runtime against those of the published pipeline, on faces that move.

    In: validation faces, pasted into 600x600 frames. Out, by expression: how often both give a face the same label
    in the same frame (before smoothing), how often each is right, and how often each keeps its own label from one
    frame to the next.

    Example: edge-fer lab agreement --data faces/
    """
    from edge_fer.lab.console import ConsoleReporter, SilentReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.dataset import Split
    from edge_fer.lab.realtime.agreement import compare
    from edge_fer.settings import load_settings

    validation = open_dataset(data, layout_of(layout)).only(Split.VALIDATION)
    report = ConsoleReporter()
    with (SilentReporter() if as_json else report).step("reading faces twice") as progress:
        rows = compare(load_settings(config), validation, each, frames, progress, still=still)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        report.say(
            f"{row.label:10} {row.faces} faces, found by both in {row.both} of {row.frames} frames: "
            f"{_share(row.agreed, row.both)} the same; right {_share(row.right, row.both)}, "
            f"plain {_share(row.plain_right, row.both)}; keeps {_share(row.own_kept, row.own_pairs)}, "
            f"plain keeps {_share(row.kept, row.pairs)}"
        )
    both, pairs, own_pairs = (sum(getattr(row, name) for row in rows) for name in ("both", "pairs", "own_pairs"))
    report.say(
        f"all        {sum(row.faces for row in rows)} faces: {_share(sum(row.agreed for row in rows), both)} the same; "
        f"keeps {_share(sum(row.own_kept for row in rows), own_pairs)}, "
        f"plain keeps {_share(sum(row.kept for row in rows), pairs)}"
    )


def steps(
    source: Annotated[str, typer.Argument(help="Where frames come from; see `run`.")] = "synthetic:1",
    frames: Annotated[int, typer.Option(min=2, help="Frames a turn, shrunk to 600 pixels.")] = 60,
    turns: Annotated[int, typer.Option(min=1, help="How often each step goes through all frames.")] = 3,
    config: Annotated[Path | None, _CONFIG] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show what bought what: the published pipeline, and the runtime with one more of its steps at a time.

    In: decoded frames, the same for all, by turns. Out: a table (Markdown) of what each stage takes a frame.

    Example: edge-fer lab steps sample --frames 120
    """
    from edge_fer.bench.source import decode
    from edge_fer.lab.console import ConsoleReporter, SilentReporter
    from edge_fer.lab.realtime.ablation import measure, to_json, to_markdown
    from edge_fer.settings import load_settings

    settings = load_settings(config, flags={"capture.source": source})
    images, fps = decode(settings.capture, frames, settings.detect.size)
    report = ConsoleReporter()
    with (SilentReporter() if as_json else report).step("taking turns") as progress:
        measured = measure(settings, images, fps, turns, lambda _, done: progress(round(done * 100), 100))
    typer.echo(json.dumps(to_json(measured), indent=2) if as_json else to_markdown(measured))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"expected --scenes such as 101,102, found `{text.strip()}`") from error
