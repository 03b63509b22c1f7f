"""`edge-fer bench`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fer.cli.complete import complete_model, source_completer
from edge_fer.cli.libraries import load_opencv
from edge_fer.cli.options import ConfigFile, ModelFolder
from edge_fer.errors import ConfigError
from edge_fer.publish.stdout import Stdout
from edge_fer.settings import load_settings

if TYPE_CHECKING:  # OpenCV and the interpreter are imported when something is measured
    from edge_fer.bench import Plan
    from edge_fer.bench.records import Report
    from edge_fer.bench.reference import Row
    from edge_fer.common.machine import Profile
    from edge_fer.settings import Settings

HELP = (
    "Measure this machine, or predict another one.\n\n"
    "First a live run: frames come at the rate of a camera, as in `edge-fer run`, and each is timed from its capture "
    "on. Then the same frames as fast as they go: they are decoded before, every face in every frame is read, and the "
    "baselines that were asked for take turns with the runtime. The warm-up is not counted.\n\n"
    "With --simulate nothing is measured: an accelerator with the latency of that board's is waited for, every stage "
    "on the processor takes longer by a stated factor, and all figures are predictions. The report says what limits "
    "the frame rate.\n\n"
    """\b
Examples:
  edge-fer bench                                       the sample, about 20 s
  edge-fer bench --camera 0 --seconds 60               your camera
  edge-fer bench --camera synthetic:1 --against plain,plain-litert
  edge-fer bench --models my-models --model ensemble --against se_resnet50,lite
  edge-fer bench --against yolo,yolo-own               detectors, over the same frames
  edge-fer bench --faces 0,1,4,8,16 --plot bench.png   how the time grows with faces
  edge-fer bench --simulate dev-board --faces 1,4      a board that you do not have, and
  edge-fer bench --simulate pi4 --against yolo-own     with the detector on its accelerator
  edge-fer bench --simulate two-boards --network-ms 5  one with the camera, one with the accelerator
  edge-fer bench --save before.csv                     keep the figures, and
  edge-fer bench --reference before.csv                compare later ones with them
"""
)

_FPS = 30  # frames that stand for a second
_FRAMES, _SECONDS = 60, 10.0  # the length of a turn and of a live run, where neither option is given
_WARM_UP_FRAMES = 5
_MOST_FACES = 99  # the most that a synthetic source draws


def bench(
    config: ConfigFile = None,
    camera: Annotated[
        str,
        typer.Option(
            help="sample, synthetic:K (K faces), a file, or a camera; see `edge-fer run --help`.",
            metavar="SOURCE",
            autocompletion=source_completer(),
        ),
    ] = "sample",
    models: ModelFolder = None,
    model: Annotated[
        str | None,
        typer.Option(help="Classifier or ensemble; see `edge-fer models list`.", autocompletion=complete_model),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            help="Length in frames: of each turn, and of the live run at 30 Hz; default: 60, and 10 s live.", min=1
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Length in seconds instead of frames; at most 600 frames are decoded.", min=0.5)
    ] = None,
    warm_up: Annotated[
        float, typer.Option(help="Seconds at the start of each live run that are not counted.", min=0)
    ] = 2.0,
    turns: Annotated[int, typer.Option(help="How often each contender goes through the decoded frames.", min=1)] = 5,
    size: Annotated[int, typer.Option(help="Long side that decoded frames are shrunk to, pixels.", min=64)] = 600,
    min_face: Annotated[
        int | None, typer.Option(help="Side of the smallest face to find, pixels; the baselines use 20.")
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            help="Compare with: plain, plain-litert (they need the extra `lab`), another detector (mtcnn, yolo, or "
            "yolo-own, which reads the faces, too), or other models, such as the members of an ensemble.",
            metavar="LIST",
        ),
    ] = "",
    faces: Annotated[
        str, typer.Option(help="Also measure synthetic crowds of so many faces, such as 0,1,4,8,16.", metavar="LIST")
    ] = "",
    board: Annotated[
        str | None,
        typer.Option(
            "--simulate", help="Predict another board instead: dev-board, usb3, pi4 or two-boards.", metavar="BOARD"
        ),
    ] = None,
    network_ms: Annotated[
        float | None,
        typer.Option(help="With two boards: how long a face is on its way there and back, milliseconds.", min=0),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    save: Annotated[Path | None, typer.Option(help="Save the figures as a reference (CSV).", metavar="FILE")] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Compare with a reference: a CSV file, a folder of them, or `auto`.", metavar="PATH"),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the stage times (PNG; needs the extra `plot`).", metavar="FILE")
    ] = None,
) -> None:
    """Measure this machine, or predict another one; the text of `--help` is `HELP`."""
    if board is not None and (save or reference):
        raise ConfigError("expected --simulate without --save and --reference: predictions are no reference")
    flags = {"capture.source": camera, "detect.min_face": min_face, "classify.model": model}
    settings = load_settings(config, flags={**flags, "models": str(models) if models else None})
    plan = _plan(
        settings,
        _names(against),
        _length(frames, seconds),
        warm_up,
        turns,
        size,
        _crowds(faces),
        _profile(board, settings.classify.model, network_ms),
    )
    load_opencv()
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
    settings: Settings,
    against: tuple[str, ...],
    length: tuple[int, float],
    warm_up_s: float,
    turns: int,
    size: int,
    crowds: tuple[int, ...],
    profile: Profile | None,
) -> Plan:
    from edge_fer.bench import Plan
    from edge_fer.bench.compare import DETECTORS, find_rivals
    from edge_fer.bench.live import Length

    find_rivals(settings, against)
    others = [name for name in against if name not in DETECTORS]
    if profile is not None and others:
        raise ConfigError(
            f"expected detectors ({', '.join(DETECTORS)}) in --against with --simulate, found `{others[0]}`"
        )
    frames, seconds = length
    return Plan(against, frames, turns, size, _WARM_UP_FRAMES, Length(warm_up_s, seconds), crowds, profile)


def _profile(board: str | None, model: str, network_ms: float | None) -> Profile | None:
    """What to predict; None: this machine is measured."""
    from edge_fer.bench.simulate import profile_of

    if board is not None:
        return profile_of(board, model, network_ms)
    if network_ms is not None:
        raise ConfigError("expected --network-ms with --simulate two-boards, found it alone; leave it out")
    return None


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
    """The figures to compare with; None where no reference is asked for."""
    if reference is None:
        return None
    from edge_fer.bench.reference import AUTO, folder, load

    return load(folder() if reference == AUTO else Path(reference))


def _check_outputs(save: Path | None, plot: Path | None) -> None:
    """Find out before the measurement which files could not be written after it."""
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
    """Shows progress on standard error: a bar on a terminal, else a line for each step that begins."""
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
