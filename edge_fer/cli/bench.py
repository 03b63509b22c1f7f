"""`edge-fer bench`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fer.errors import ConfigError
from edge_fer.publish.stdout import Stdout
from edge_fer.settings import load_settings

if TYPE_CHECKING:  # OpenCV and the interpreter are imported when something is measured
    from edge_fer.bench import Plan
    from edge_fer.bench.records import Report
    from edge_fer.bench.reference import Row

HELP = (
    "Measure this machine, or predict another one.\n\n"
    "First a live run: frames come at the rate of a camera, as in `edge-fer run`, and the way of each is timed from "
    "its capture on. Then the same source, decoded before any clock runs, as fast as it goes, every face of every "
    "frame read, beside the baselines that are asked for; contenders take turns. The warm-up counts for nothing.\n\n"
    "With --simulate nothing is measured: an accelerator with the latency of that board's is waited for, every stage "
    "on the processor takes a stated factor longer, and all figures are predictions. It says what binds, and how near "
    "its bound the run came.\n\n"
    "Examples:"
    """

\b
  edge-fer bench                                       the sample, some 20 s
  edge-fer bench --camera 0 --seconds 60               your camera
  edge-fer bench --camera synthetic:1 --against plain,plain-litert
  edge-fer bench --faces 0,1,4,8,16 --plot bench.png   how cost grows
  edge-fer bench --simulate dev-board --faces 1,4      a board you do not have
  edge-fer bench --save before.csv                     keep the figures, and
  edge-fer bench --reference before.csv                compare later ones
"""
)

_FPS = 30  # frames are taken for a second
_FRAMES, _SECONDS = 60, 10.0  # of a turn and of a live run, where neither is asked for
_WARM_UP_FRAMES = 5
_MOST_FACES = 99  # that a synthetic source draws


def bench(
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (YAML).", metavar="FILE")] = None,
    camera: Annotated[
        str, typer.Option(help="sample, synthetic:K (K faces), a file, or a camera; see `run`.", metavar="SOURCE")
    ] = "sample",
    frames: Annotated[
        int | None,
        typer.Option(help="Length: frames a turn, and of the live run at 30 a second; else 60, and 10 s live.", min=1),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Length in seconds instead; at most 600 frames are decoded.", min=0.5)
    ] = None,
    warm_up: Annotated[float, typer.Option(help="Seconds of each live run that do not count.", min=0)] = 2.0,
    turns: Annotated[int, typer.Option(help="How often each contender goes through the decoded frames.", min=1)] = 5,
    size: Annotated[int, typer.Option(help="Long side that decoded frames are shrunk to, pixels.", min=64)] = 600,
    min_face: Annotated[int | None, typer.Option(help="Smallest face to find; the baselines' is 20.")] = None,
    against: Annotated[
        str, typer.Option(help="Baselines in the same run: plain, plain-litert (need the extra `lab`).", metavar="LIST")
    ] = "",
    faces: Annotated[
        str, typer.Option(help="Crowds to measure beside the source, by their faces: 0,1,4,8,16.", metavar="LIST")
    ] = "",
    board: Annotated[
        str | None, typer.Option("--simulate", help="Predict instead: dev-board, usb3 or pi4.", metavar="BOARD")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    save: Annotated[Path | None, typer.Option(help="Keep the figures as a reference (CSV).", metavar="FILE")] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Compare with a reference: a CSV file, a folder of them, or `auto`.", metavar="PATH"),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the stage times (PNG; needs the extra `plot`).", metavar="FILE")
    ] = None,
) -> None:
    """Measure; see `HELP`."""
    if board is not None and (against or save or reference):
        raise ConfigError("expected --simulate without --against, --save and --reference: predictions are no reference")
    settings = load_settings(config, flags={"capture.source": camera, "detect.min_face": min_face})
    plan = _plan(_names(against), _length(frames, seconds), warm_up, turns, size, _crowds(faces), board)
    from edge_fer.bench import run_bench

    kept = _kept(reference)
    _check_outputs(save, plot)
    with _progress() as progress:
        report = run_bench(settings, plan, progress)
    _tell(report, kept, as_json=as_json)
    if save is not None:
        from edge_fer.bench.reference import save as save_reference

        save_reference(save, report)
    if plot is not None:
        from edge_fer.bench.plot import plot as draw

        draw(plot, report)


def _plan(
    against: tuple[str, ...],
    length: tuple[int, float],
    warm_up_s: float,
    turns: int,
    size: int,
    crowds: tuple[int, ...],
    board: str | None,
) -> Plan:
    from edge_fer.bench import Plan
    from edge_fer.bench.compare import find_baselines
    from edge_fer.bench.live import Length
    from edge_fer.bench.simulate import profile_of

    find_baselines(against)
    profile = profile_of(board) if board is not None else None
    frames, seconds = length
    return Plan(against, frames, turns, size, _WARM_UP_FRAMES, Length(warm_up_s, seconds), crowds, profile)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _length(frames: int | None, seconds: float | None) -> tuple[int, float]:
    """Decoded frames a turn, and seconds of a live run."""
    if frames is not None and seconds is not None:
        raise ConfigError("expected a length in --frames or in --seconds, found both; leave one out")
    if seconds is not None:
        return round(seconds * _FPS), seconds
    return (frames, frames / _FPS) if frames is not None else (_FRAMES, _SECONDS)


def _crowds(text: str) -> tuple[int, ...]:
    names = _names(text)
    numbers = tuple(int(name) for name in names if name.isascii() and name.isdigit())
    if len(numbers) < len(names) or any(number > _MOST_FACES for number in numbers) or (text and not names):
        raise ConfigError(f"expected numbers of faces, 0 to {_MOST_FACES}, in --faces, found `{text}`; try 0,1,4,8,16")
    return tuple(dict.fromkeys(numbers))


def _kept(reference: str | None) -> list[Row] | None:
    """What to compare with; null where nothing is asked for."""
    if reference is None:
        return None
    from edge_fer.bench.reference import AUTO, folder, load

    return load(folder() if reference == AUTO else Path(reference))


def _check_outputs(save: Path | None, plot: Path | None) -> None:
    """Find out before the measuring what could not be kept after it."""
    if save is not None and not save.parent.is_dir():
        raise ConfigError(f"expected a folder at {save.parent} for --save, found none; make it first")
    if plot is not None:
        from edge_fer.bench.plot import check_plot

        check_plot(plot)


def _tell(report: Report, kept: list[Row] | None, *, as_json: bool) -> None:
    from edge_fer.bench.reference import compare
    from edge_fer.bench.report import ratios_text, to_text

    terminal = Stdout().is_terminal
    Stdout().write(report.to_json() + "\n" if as_json else to_text(report, terminal=terminal))
    if kept is None:
        return
    ratios = compare(report, kept)
    boards = ", ".join(sorted({row.board for row in kept})) or "no board at all"
    if ratios and not as_json:
        Stdout().write(ratios_text(ratios, terminal=terminal))
    elif not ratios:
        _say(f"no reference for {report.board} yet, only for: {boards}; keep one with --save")


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on a terminal, else a line for each thing that is begun; on standard error."""
    if not sys.stderr.isatty():
        told = [""]

        def tell(text: str, _: float) -> None:
            if text != told[-1]:
                told.append(text)
                _say(text)

        yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # Drawing takes processor time from what is measured: twice a second is enough.
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=2) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda text, done: bar.update(task, description=text, completed=done)


def _say(text: str) -> None:
    with suppress(OSError):  # standard error may be closed or full; the figures are on standard output
        print(text, file=sys.stderr)  # noqa: T201  a command line talks
