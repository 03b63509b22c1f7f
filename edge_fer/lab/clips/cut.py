"""A long recording to clips: plans the spans, has them cut, and tells what is left out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import av

from edge_fer.capture.sources.file_kind import open_file
from edge_fer.common.text import counted
from edge_fer.errors import ConfigError, SourceError
from edge_fer.lab.clips.beeps import find_beeps
from edge_fer.lab.clips.cut_record import SUFFIX, Cut
from edge_fer.lab.clips.cutter import Cutter, clips_folder
from edge_fer.lab.clips.films import frames_of, is_variable, open_film
from edge_fer.lab.clips.sound import read_sound
from edge_fer.lab.clips.spans import SHORTEST_MS, Span, at_beeps, evenly, of_track
from edge_fer.lab.clips.tracks import read_tracks
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.labels import NOT_OURS, index_of
from edge_fer.lab.files import write_record
from edge_fer.publish.recording.provenance import Provenance, parse_comment
from edge_fer.types import LABELS, Image, Label

_GAP_MS = 1000.0  # a face that was not seen for longer begins a new clip


@dataclass(frozen=True, slots=True)
class CutOptions:
    """How a recording is cut: by beeps, unless `every_s` or `readings` say otherwise.

    Attributes:
        seconds: longest clip.
        sound: file with the sound; None: the recording's own.
        frequency_hz: of the beeps; None: it is found.
        gap_s: from one beep to the next at least, seconds.
        every_s: length of each clip, where it is cut by time, seconds.
        readings: the run's readings, where it is cut by tracks.
        person: who is recorded, which the clips' names begin with; None: the recording's name.
        expected: file with the expressions in the order of the clips, one a line.
    """

    seconds: float = 6.0
    sound: Path | None = None
    frequency_hz: float | None = None
    gap_s: float = 6.0
    every_s: float | None = None
    readings: Path | None = None
    person: str | None = None
    expected: Path | None = None


def cut_recording(recording: Path, out: Path, options: CutOptions, report: Reporter) -> Cut:
    """Cut a recording.

    Args:
        recording: the film.
        out: folder of the clips, which may have those of others already.
        options: how.
        report: receives lines and progress.

    Raises:
        ConfigError: when the options contradict each other, or the person's name is not usable.
        SourceError: when the recording or its sound cannot be read, has no beeps, has boxes drawn in, or no reading
            belongs to it.
        OutputError: when the clips cannot be written, or there are some of that person already.
    """
    if options.every_s is not None and options.readings is not None:
        raise ConfigError("expected --every or --runs, found both; cut by time, or by tracks")
    person = _person(options.person, recording)
    provenance = _provenance(recording)
    spans, size, plan = _plan(recording, options, provenance, report)
    count = len(spans) if isinstance(spans, list) else None
    expected = itertools.chain(_expected(options.expected, count), itertools.repeat(None))
    with clips_folder(out, person) as folder, open_film(recording, report.say) as video:
        cutter = Cutter(folder, person, zip(spans, expected, strict=False))
        with closing(cutter), report.step("cutting") as progress:
            for image, at_ms in frames_of(video, report.say):
                _check_size(image, size, recording)
                cutter.add(image, at_ms)
                progress(cutter.begun, count or cutter.begun + 1)
        if not cutter.clips:
            least = f"{SHORTEST_MS / 1000:g} s"
            raise SourceError(
                f"expected clips of {least} or more in {recording}, found none; see --seconds and --every"
            )
        left_out = (*plan.left_out, *_left_out(cutter, video.skipped, count))
        cut = plan.model_copy(update={"clips": tuple(cutter.clips), "left_out": left_out})
        write_record(folder / f"{person}{SUFFIX}", cut)
    _tell(cut, cutter, out, report)
    return cut


def _plan(
    recording: Path, options: CutOptions, provenance: Provenance | None, report: Reporter
) -> tuple[list[Span] | Iterator[Span], tuple[int, int] | None, Cut]:
    """What the clips show, in the order of their beginnings; the size of its pictures; the record without clips."""
    plan = Cut(recording=recording.name, size=recording.stat().st_size, by="beeps", clips=(), left_out=())
    if options.readings is not None:
        return _by_tracks(recording, options, provenance, plan)
    if options.every_s is not None:
        return evenly(options.every_s), None, plan.model_copy(update={"by": "time"})
    sound = read_sound(options.sound or recording, report.say)
    beeps = find_beeps(sound.samples, options.frequency_hz, options.gap_s)
    if not beeps.times_s:
        what = f"of {options.frequency_hz:g} Hz " if options.frequency_hz else ""
        raise SourceError(
            f"expected beeps {what}in the {sound.seconds:.1f} s of sound of {options.sound or recording}, found none; "
            "name their frequency (--hz), another file with the sound (--sound), or cut by time (--every 6)"
        )
    report.say(f"{len(beeps.times_s)} beeps of {beeps.frequency_hz:.0f} Hz")
    again = ", ".join(f"{time:.1f} s" for time in beeps.repeated_s[:5])
    told = (f"{len(beeps.repeated_s)} beeps sooner than {options.gap_s:g} s after another: {again}",) if again else ()
    update = {"frequency_hz": round(beeps.frequency_hz, 1), "left_out": told}
    return at_beeps(beeps.times_s, options.seconds), None, plan.model_copy(update=update)


def _by_tracks(
    recording: Path, options: CutOptions, provenance: Provenance | None, plan: Cut
) -> tuple[list[Span], tuple[int, int], Cut]:
    """A clip or several for each face."""
    assert options.readings is not None
    if provenance is not None and recording.suffix.lower() == ".avi":
        raise SourceError(
            f"expected a recording with the times of its pictures, found {recording}: an AVI has none; record .mkv or "
            ".mp4"
        )
    tracks = read_tracks(options.readings, recording, provenance)
    spans = [
        span
        for track, places in sorted(tracks.places.items())
        for span in of_track(track, places, options.seconds, _GAP_MS)
    ]
    if not spans:
        raise SourceError(f"expected faces in the readings of {recording.name}, found none in {options.readings}")
    told = (f"{counted(tracks.unread, 'line')} of {options.readings.name} without a record",) if tracks.unread else ()
    spans.sort(key=lambda span: span.start_ms)
    return spans, tracks.size, plan.model_copy(update={"by": "tracks", "left_out": told})


def _check_size(image: Image, size: tuple[int, int] | None, recording: Path) -> None:
    """Whether a picture has the size of those that were read; films have even sides."""
    found = image.shape[1], image.shape[0]
    if size is not None and not all(0 <= have - want <= 1 for have, want in zip(found, size, strict=True)):
        raise SourceError(
            f"expected pictures of {size[0]}x{size[1]} in {recording}, as they were read, found {found[0]}x{found[1]}; "
            "name the readings of this film"
        )


def _provenance(recording: Path) -> Provenance | None:
    """What the film says of itself, where it is one of the runtime's.

    Raises:
        SourceError: when it cannot be read, or does not show what the camera saw.
    """
    with open_file(recording) as file:
        try:
            with av.open(file) as film:
                found = {key.lower(): value for key, value in film.metadata.items()}
        except (av.FFmpegError, UnicodeError):  # reading its pictures will say what is wrong
            return None
    provenance = parse_comment(found.get("comment", ""))
    if provenance is not None and provenance.content != "plain":
        what = {"drawn": "boxes and labels drawn into them", "hidden": "faces that were made unrecognisable"}
        raise SourceError(
            f"expected what the camera saw in {recording}, found pictures with {what[provenance.content]}; record with "
            "publish.record_plain: true and without privacy.blur_faces"
        )
    return provenance


def _person(name: str | None, recording: Path) -> str:
    """The name that the clips' names begin with, up to the first underscore."""
    if name is None:
        return re.sub(r"[^A-Za-z0-9.-]+", "-", recording.stem).strip("-.") or "recording"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", name):
        raise ConfigError(f"expected --person with letters, digits, - and ., found {name!a}; choose another name")
    return name


def _expected(path: Path | None, count: int | None) -> list[Label | None]:
    """The expression that each clip should show; None as `count`: nobody knows yet how many clips there are.

    Raises:
        SourceError: when the file has another number of lines, or a word that is no expression.
    """
    if path is None:
        return []
    try:
        words = path.read_text(encoding="utf-8").split()
        indices = [index_of(word) for word in words]
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"expected expressions, one a line, in {path}, found: {error}; check it") from error
    except KeyError as error:
        raise SourceError(f"expected {', '.join(LABELS)} in {path}, found {error}; write one a line") from error
    if count not in (None, len(words)):
        raise SourceError(
            f"expected {count} expressions in {path}, one for each clip, found {len(words)}; add the others"
        )
    return [None if index == NOT_OURS else LABELS[index] for index in indices]


def _left_out(cutter: Cutter, skipped: int, planned: int | None) -> list[str]:
    told = [f"{cutter.outside_ms / 1000:.1f} s between the clips"] if cutter.outside_ms else []
    if planned is not None and planned > cutter.begun:
        told += [f"{counted(planned - cutter.begun, 'clip')} to begin after the last frame"]
    told += [f"{counted(cutter.short, 'clip')} shorter than {SHORTEST_MS / 1000:g} s"] if cutter.short else []
    told += (
        [f"{counted(cutter.missed, 'picture')} that the recording lacks, of those that were read"]
        if cutter.missed
        else []
    )
    return told + ([f"{counted(skipped, 'frame')} that cannot be decoded"] if skipped else [])


def _tell(cut: Cut, cutter: Cutter, out: Path, report: Reporter) -> None:
    frames = sum(len(clip.times_ms) for clip in cut.clips)
    report.say(f"{counted(len(cut.clips), 'clip')} of {counted(frames, 'frame')} in {out}")
    steps = cutter.steps_ms
    if is_variable(steps):
        report.say(f"variable frame rate: {min(steps):.0f} to {max(steps):.0f} ms from frame to frame, kept as it is")
    for line in cut.left_out:
        report.say(f"left out: {line}")
