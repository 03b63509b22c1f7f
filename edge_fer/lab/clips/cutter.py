"""Writes spans of a recording as clips, frame by frame, in one pass."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np

from edge_fer.errors import OutputError, SourceError
from edge_fer.lab.clips.cut_record import CutClip, PixelBox
from edge_fer.lab.clips.spans import SHORTEST_MS, SLACK_MS, Span
from edge_fer.publish.recording.film import Film
from edge_fer.publish.recording.new_file import FileMaker
from edge_fer.settings.recording_name import RecordingName
from edge_fer.types import Image, Label

CLIP_SUFFIX = ".mp4"
_CRF = 14  # of H.264: losses that cannot be seen, since faces are cut out of it later
_USUAL_MS = 40.0


class OpenClip:
    """A clip that is being written.

    Args:
        path: its file.
        span: what it shows.
        expected: the expression that the person was asked to show; None: not known.
        image: the recording's first picture of it, `(height, width, 3)` uint8, BGR.
        at_ms: presentation time of that picture in the recording, milliseconds.
    """

    def __init__(self, path: Path, span: Span, expected: Label | None, image: Image, at_ms: float) -> None:
        self.path, self._span, self._expected = path, span, expected
        self._window = span.window(image.shape[1], image.shape[0])
        left, top, right, bottom = self._window
        file = FileMaker(RecordingName(str(path).replace("%", "%%"))).make(datetime.now())
        self._film = Film(file, (right - left, bottom - top), crf=_CRF)
        self._start_ms = at_ms
        self._times: list[float] = []
        self._boxes: list[PixelBox | None] = []

    def add(self, image: Image, at_ms: float) -> None:
        """Write one picture of the recording, which is shown at this time of it, milliseconds."""
        left, top, right, bottom = self._window
        lasts_ms = at_ms - self._start_ms - self._times[-1] if self._times else _USUAL_MS
        self._times.append(round(at_ms - self._start_ms, 3))
        self._boxes.append(self._box(at_ms))
        self._film.write(np.ascontiguousarray(image[top:bottom, left:right]), self._times[-1], lasts_ms)

    @property
    def is_short(self) -> bool:
        """Whether it is too short to show an expression."""
        return not self._times or self._times[-1] < SHORTEST_MS

    @property
    def missed(self) -> int:
        """In how many readings the face was seen of which the recording has no picture."""
        return len(self._span.boxes) - sum(box is not None for box in self._boxes)

    def close(self) -> CutClip:
        """Complete it."""
        self._film.close()
        return CutClip(
            name=self.path.stem,
            expected=self._expected,
            start_ms=round(self._start_ms, 3),
            times_ms=tuple(self._times),
            track=self._span.track,
            window=self._window,
            boxes=tuple(self._boxes) if self._span.track is not None else (),
        )

    def _box(self, at_ms: float) -> PixelBox | None:
        """Where the face is at this time, in the pixels of the clip."""
        place = min(self._span.boxes, key=lambda one: abs(one[0] - at_ms), default=None)
        if place is None or abs(place[0] - at_ms) > SLACK_MS:
            return None
        left, top, *_ = self._window
        x, y, width, height = place[1]
        return round(x - left, 1), round(y - top, 1), round(width, 1), round(height, 1)


class Cutter:
    """Cuts a recording.

    Args:
        folder: where the clips go, a new one.
        person: what their names begin with.
        spans: what they show, in the order of their beginnings, with the expression that each should show (None: not
            known); they may overlap.

    Attributes:
        clips: those that are complete.
        short: how many were left out because they are too short.
        begun: how many spans the recording has reached.
        missed: how many pictures the recording lacks, of those in which the faces of the clips were seen.
        outside_ms: how long the recording shows what no clip shows, milliseconds.
        steps_ms: the times between its frames, milliseconds.
    """

    def __init__(self, folder: Path, person: str, spans: Iterable[tuple[Span, Label | None]]) -> None:
        self._folder, self._person = folder, person
        self._waiting = iter(spans)
        self._next = next(self._waiting, None)
        self._open: list[tuple[Span, OpenClip]] = []
        self.clips: list[CutClip] = []
        self.short = self.begun = self.missed = 0
        self.outside_ms = 0.0
        self.steps_ms: list[float] = []
        self._last_ms: float | None = None

    def add(self, image: Image, at_ms: float) -> None:
        """Take the next picture, `(height, width, 3)` uint8, BGR, which is shown at this time, milliseconds."""
        for pair in [pair for pair in self._open if at_ms >= pair[0].end_ms]:
            self._finish(pair)
        while self._next is not None and at_ms >= self._next[0].start_ms:
            (span, expected), self._next = self._next, next(self._waiting, None)
            self.begun += 1
            if at_ms < span.end_ms:
                name = "_".join([self._person, span.name, *([expected] if expected else [])])
                path = self._folder / f"{name}{CLIP_SUFFIX}"
                self._open.append((span, OpenClip(path, span, expected, image, at_ms)))
            else:
                self.short += 1
        for _, clip in self._open:
            clip.add(image, at_ms)
        step_ms = at_ms - self._last_ms if self._last_ms is not None else _USUAL_MS
        self.outside_ms += 0.0 if self._open else step_ms
        self.steps_ms += [step_ms] if self._last_ms is not None else []
        self._last_ms = at_ms

    def close(self) -> None:
        """Complete what is open."""
        for pair in list(self._open):
            self._finish(pair)
        self.clips.sort(key=lambda clip: clip.name)

    def _finish(self, pair: tuple[Span, OpenClip]) -> None:
        self._open.remove(pair)
        clip = pair[1]
        record = clip.close()
        if clip.is_short:
            clip.path.unlink()
            self.short += 1
        else:
            self.clips.append(record)
            self.missed += clip.missed


@contextmanager
def clips_folder(out: Path, person: str) -> Iterator[Path]:
    """A folder beside the clips to write to; what is in it joins them when all is done.

    Raises:
        OutputError: when there are clips of that person already, or nothing can be written there.
    """
    partial = out / f".{person}.partial"
    try:
        out.mkdir(parents=True, exist_ok=True)
        _check_free(out, person)
        with ExitStack() as stack:
            shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
            partial.mkdir()
            stack.callback(shutil.rmtree, partial, ignore_errors=True)
            yield partial
            for path in sorted(partial.iterdir(), key=lambda path: path.suffix == ".json"):  # the record last
                path.rename(out / path.name)
    except (SourceError, OutputError):
        raise
    except OSError as error:
        raise OutputError(f"expected to write clips to {out}, found: {error.strerror or error}; check it") from error


def _check_free(out: Path, person: str) -> None:
    """Whether there are no clips of a person yet."""
    there = [path.name for path in out.iterdir() if path.name.startswith((f"{person}_", f"{person}."))]
    if there:
        raise OutputError(
            f"expected no clips of {person} in {out} yet, found {min(there)}; delete them, or name this recording "
            "otherwise (--person)"
        )
