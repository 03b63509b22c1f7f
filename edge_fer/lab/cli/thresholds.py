"""`edge-fer lab thresholds`: from where on a picture of a face is too poor to read."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_fer.lab.cli.options import LAYOUT_HELP, layout_of

if TYPE_CHECKING:
    from edge_fer.lab.evaluation.quality_sweep import Series, SeriesName
    from edge_fer.lab.evaluation.thresholds import Bin, Finding, Measure


def thresholds(
    data: Annotated[Path, typer.Option(help="Labelled faces: an .npz file, fer2013.csv, or a folder.")],
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
    faces: Annotated[int, typer.Option(min=0, help="Only so many faces, drawn at random; 0: all of validation.")] = 0,
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (YAML).", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure from where on a face is too small, too blurred or turned too far, and propose settings for it.

    In: validation faces, pasted into pictures as they are, at drawn sizes, blurred, and turned in the plane; found,
    cut out, measured and read by the runtime. Out: how many are right (95 % interval) by each measure of quality, and
    beside each setting of `smooth` the boundary beyond which accuracy stays more than 10 points below that of the
    faces as they are. How far heads are turned is what the faces come with; the report states where these are too few.

    Example: edge-fer lab thresholds --data faces/
    """
    from edge_fer.lab.console import ConsoleReporter, SilentReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.dataset import Split
    from edge_fer.lab.evaluation.quality_sweep import draw, show
    from edge_fer.lab.evaluation.thresholds import examine
    from edge_fer.settings import load_settings

    settings = load_settings(config)
    drawn = draw(open_dataset(data, layout_of(layout)).only(Split.VALIDATION), faces)
    report = ConsoleReporter()
    series = show(settings, drawn, SilentReporter() if as_json else report)
    found = examine(series, settings.smooth)
    if as_json:
        typer.echo(json.dumps(_to_json(series, found), indent=2))
        return
    for line in _lines(series, found):
        report.say(line)


def _to_json(series: dict[SeriesName, Series], found: tuple[Finding, ...]) -> dict[str, Any]:
    from edge_fer.lab.evaluation.thresholds import DROP, LEAST

    return {
        "rule": {"drop": DROP, "least_faces": LEAST},
        "series": {
            name: {"shown": one.shown, "found": len(one.observations), "accuracy": one.accuracy}
            for name, one in series.items()
        },
        "measures": [
            {
                "measure": one.measure.name,
                "series": one.measure.series,
                "setting": one.measure.setting,
                "now": one.now,
                "proposed": one.proposal.threshold,
                "tail": None if one.proposal.tail is None else _bin(one.proposal.tail),
                "bins": [_bin(each) for each in one.bins],
            }
            for one in found
        ],
    }


def _bin(one: Bin) -> dict[str, Any]:
    return asdict(one) | {"accuracy": one.accuracy, "interval": one.interval}


def _lines(series: dict[SeriesName, Series], found: tuple[Finding, ...]) -> list[str]:
    """Tables in Markdown, and what they come to."""
    from edge_fer.lab.evaluation.tables import percent, table

    shown = [[name, str(one.shown), str(len(one.observations)), percent(one.accuracy)] for name, one in series.items()]
    lines = [table(["faces", "shown", "found", "right of the found"], shown)]
    for one in found:
        rows = [[_span(one.measure, each), str(each.faces), _right(each)] for each in one.bins]
        lines += ["", table([one.measure.name, "faces", "right (95 % interval)"], rows), "", _verdict(one)]
    return lines


def _span(measure: Measure, one: Bin) -> str:
    better, worse = ("above", "below") if measure.falls else ("up to", "above")
    if one.good is None:
        return "all" if one.poor is None else f"{better} {one.poor:g}"
    return f"{worse} {one.good:g}" if one.poor is None else f"{one.good:g} to {one.poor:g}"


def _right(one: Bin) -> str:
    from edge_fer.lab.evaluation.tables import percent

    between = "" if one.interval is None else " ({:.1%} to {:.1%})".format(*one.interval)
    return f"{percent(one.accuracy)}{between}"


def _verdict(found: Finding) -> str:
    """The proposal beside the setting, in words."""
    from edge_fer.lab.evaluation.thresholds import DROP

    threshold, tail = found.proposal.threshold, found.proposal.tail
    if threshold is None:
        verdict = f"nowhere more than {DROP * 100:g} points below the faces as they are"
    else:
        side = "below" if found.measure.falls else "above"
        verdict = f"{side} {threshold:g} more than {DROP * 100:g} points below the faces as they are"
    if tail is not None:
        verdict += f"; {_span(found.measure, tail)}: {tail.faces} faces, too few to tell apart, right {_right(tail)}"
    if found.measure.setting is None:
        return verdict
    now = "null" if found.now is None else f"{found.now:g}"
    proposed = "no proposal, keep it" if threshold is None else f"proposed {threshold:g}"
    return f"smooth.{found.measure.setting}: {now} now, {proposed}: {verdict}"


def light(
    data: Annotated[Path, typer.Option(help="Labelled faces: an .npz file, fer2013.csv, or a folder.")],
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
    faces: Annotated[int, typer.Option(min=0, help="Only so many faces, drawn at random; 0: all of validation.")] = 300,
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (YAML).", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure what enhancing dark pictures is worth (`enhance.clahe`).

    In: validation faces, pasted into pictures that get darker and noisy. Out, for off, on and auto: how many faces are
    found, how many are found and read right, and how many pictures were enhanced.

    Example: edge-fer lab light --data faces/
    """
    from edge_fer.lab.console import ConsoleReporter, SilentReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.dataset import Split
    from edge_fer.lab.evaluation.low_light import compare
    from edge_fer.lab.evaluation.quality_sweep import draw
    from edge_fer.lab.evaluation.tables import percent, table
    from edge_fer.settings import load_settings

    drawn = draw(open_dataset(data, layout_of(layout)).only(Split.VALIDATION), faces)
    report = ConsoleReporter()
    with (SilentReporter() if as_json else report).step("turning the light down") as progress:
        rows = compare(load_settings(config), drawn, progress)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    cells = [
        [percent(row.light), row.clahe, str(row.faces), *(percent(count / row.faces) for count in
         (row.found, row.right, row.enhanced))]
        for row in rows
    ]  # fmt: skip
    report.say(table(["light", "enhance.clahe", "faces", "found", "found and right", "enhanced"], cells))
