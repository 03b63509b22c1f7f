"""`edge-fer lab clips ...`: from long recordings to labelled clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fer.common.command_line import App
from edge_fer.common.text import counted

clips = App(no_args_is_help=True)


@clips.callback()
def root() -> None:
    """From a long recording to labelled clips: cut, label, trim; and agree, for two labellers.

    docs/label-your-own-video.md goes through all of it, up to a network of your own.
    """


@clips.command()
def cut(
    recording: Annotated[Path, typer.Argument(help="The film: a camera's, or the runtime's own recording.")],
    out: Annotated[Path, typer.Option(help="Folder of the clips.")] = Path("clips"),
    person: Annotated[
        str | None,
        typer.Option(help="Who is recorded; the clips' names begin with it. Default: the recording's name."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="Longest clip.")] = 6.0,
    sound: Annotated[
        Path | None, typer.Option(help="File with the sound (.wav, ...); default: the film's own.")
    ] = None,
    hz: Annotated[
        float | None, typer.Option(min=50, max=7900, help="Frequency of the beeps; default: it is found.")
    ] = None,
    gap: Annotated[float, typer.Option(min=0.1, help="Seconds from one beep to the next at least.")] = 6.0,
    every: Annotated[
        float | None, typer.Option(min=0.5, help="Cut by time instead: a clip for so many seconds.")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Cut by tracks instead: the readings (JSON lines) of the run.")
    ] = None,
    expected: Annotated[
        Path | None,
        typer.Option(help="File with the expressions that the person was asked for, one a line, in the clips' order."),
    ] = None,
) -> None:
    """Cut a long recording into clips: at beeps, by time, or one for each face that was seen.

    A clip begins at its beep, and ends at the next one or after --seconds. With --runs, RECORDING is the film that the
    runtime has read, or what it has recorded (publish.record, with publish.record_plain: true): each clip follows one
    track and shows its surroundings, no more. Every frame is kept, with its time. What no clip shows is told.

    Beside the clips, PERSON.cut.json says where each is from.

    Example: edge-fer lab clips cut p017.mp4 --out clips
    """
    from edge_fer.lab.clips.cut import CutOptions, cut_recording
    from edge_fer.lab.console import ConsoleReporter

    options = CutOptions(seconds, sound, hz, gap, every, runs, person, expected)
    cut_recording(recording, out, options, ConsoleReporter())


@clips.command()
def label(
    folder: Annotated[Path, typer.Argument(help="Folder of the clips.")] = Path("clips"),
    labeller: Annotated[
        str | None, typer.Option(help="Your name: your marks go to marks/NAME/ in the folder, apart from others'.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0: any free one.")] = 8092,
    cache_mb: Annotated[float, typer.Option(min=50, help="Most that decoded frames may take on the disk.")] = 1000.0,
) -> None:
    """Label clips in the browser: where an expression begins, peaks and ends.

    The page can be opened on this machine only. Its keys: D and A go a frame forward and back; S marks the start, then
    the end, then the peak; W takes all marks away, Z the last one; G, T, U, P, X switch a flag; 1 to 7 choose the
    expected expression; E saves; Q leaves without saving. It begins with the first clip that is not labelled yet.

    Beside each clip, CLIP.txt has the marks: eight integers with tabs between them (start, end, peak, and the flags
    non-correlating, abnormal limb behaviour, low and heavy occlusion, other). CLIP.json says what they belong to.

    Example: edge-fer lab clips label clips --labeller anna
    """
    from edge_fer.errors import ConfigError
    from edge_fer.lab.clips.frames import FrameCache
    from edge_fer.lab.clips.labelling import Labelling

    try:
        from edge_fer.lab.clips.site import LabellingServer, until_ended
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"expected the library `{error.name}` for the page, found none: pip install '.[http]' in its checkout"
        ) from error
    with until_ended(), FrameCache(cache_mb) as cache, Labelling(folder, cache, labeller) as labelling:
        server = LabellingServer(labelling, port)
        typer.echo(f"{counted(len(labelling), 'clip')}; open {server.url}")
        typer.echo("Ctrl-C ends it; what is saved stays.")
        server.run()


@clips.command()
def trim(
    folder: Annotated[Path, typer.Argument(help="Folder of the clips.")] = Path("clips"),
    out: Annotated[Path, typer.Option(help="Where the faces go: a new folder, or one of an earlier run.")] = Path(
        "tracks"
    ),
    labeller: Annotated[str | None, typer.Option(help="Whose marks; default: those beside the clips.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Whole pictures instead of faces.")] = False,
    keep_non_correlating: Annotated[
        bool, typer.Option("--keep-non-correlating", help="Also clips that do not show what was expected (G).")
    ] = False,
    keep_heavy: Annotated[bool, typer.Option("--keep-heavy", help="Also mostly covered faces (P).")] = False,
    keep_other: Annotated[bool, typer.Option("--keep-other", help="Also clips marked as other (X).")] = False,
    classifier: Annotated[
        str | None, typer.Option(help="Cut as this one takes faces; default: as `--model` of a run.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder with manifest.yaml; default: the models that edge-fer ships.")
    ] = None,
) -> None:
    """Take the faces of labelled clips, from the start of the expression to its end.

    The runtime finds, follows and cuts them out: one track a clip, the one that the clip was cut for, or the largest.
    OUT gets a folder for each expression, in it one for each clip, in it a picture for each frame, named by its number;
    and clips.json: where each is from, its peak, and which clips were left out and why.

    Example: edge-fer lab clips trim clips --out tracks
    """
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.cli.options import model_of
    from edge_fer.lab.clips.trimming import TrimOptions, trim_clips
    from edge_fer.lab.console import ConsoleReporter

    kept = {"non_correlating": keep_non_correlating, "heavy": keep_heavy, "other": keep_other}
    excluded = tuple(flag for flag, is_kept in kept.items() if not is_kept)
    chosen = model_of(classifier, ModelStore(models))
    trim_clips(folder, out, TrimOptions(labeller, whole, excluded, chosen, models), ConsoleReporter())


@clips.command()
def agree(
    first: Annotated[Path, typer.Argument(help="Folder of the marks of one labeller: clips/marks/anna.")],
    second: Annotated[Path, typer.Argument(help="Folder of the marks of another.")],
) -> None:
    """Compare the marks of two labellers: Cohen's kappa of each flag, and how far apart their frames are.

    Example: edge-fer lab clips agree clips/marks/anna clips/marks/ben
    """
    from edge_fer.lab.clips.agreement import compare

    agreement = compare(first, second)
    typer.echo(f"labelled by both: {counted(agreement.clips, 'clip')}")
    for line in agreement.lines():
        typer.echo(line)
    for place, count in zip((first, second), agreement.only, strict=True):
        if count:
            typer.echo(f"left out: {counted(count, 'clip')} that only {place} has")
    for why in agreement.unread:
        typer.echo(f"left out: {why}")
