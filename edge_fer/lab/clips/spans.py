"""Which frames of a recording become clips."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edge_fer.types import Box

SHORTEST_MS = 500.0
"""Clips that would be shorter are left out."""

SLACK_MS = 1.0
"""By how much the times of a recording's frames may differ from those of its readings, milliseconds."""

_LEAST = 16  # pixels of a clip's side
_MARGIN = 1.0  # around a track's boxes, in widths and heights of the largest: room for hands


@dataclass(frozen=True, slots=True)
class Span:
    """One clip to be.

    Attributes:
        name: what is added to the person's name.
        start_ms: its first frame is not shown before this presentation time of the recording, milliseconds.
        end_ms: the first time that is no part of it any more, milliseconds.
        track: the id of the face that it follows; None: it shows the whole picture.
        boxes: where that face is, by presentation time, milliseconds.
    """

    name: str
    start_ms: float
    end_ms: float
    track: int | None = None
    boxes: tuple[tuple[float, Box], ...] = ()

    def window(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The part of the picture that it shows: left, top, right and bottom, pixels; the sides are even.

        Args:
            width: of the recording, pixels.
            height: of the recording, pixels.
        """
        if not self.boxes:
            return 0, 0, width, height
        boxes = [box for _, box in self.boxes]
        across, down = (_MARGIN * max(sizes) for sizes in ([box.width for box in boxes], [box.height for box in boxes]))
        left, right = _even(
            min(box.x for box in boxes) - across, max(box.x + box.width for box in boxes) + across, width
        )
        top, bottom = _even(min(box.y for box in boxes) - down, max(box.y + box.height for box in boxes) + down, height)
        return left, top, right, bottom


def _even(first: float, end: float, size: int) -> tuple[int, int]:
    """A range of whole pixels within a side of the picture, an even number of them and some at least."""
    start = min(max(int(first), 0), max(size - _LEAST, 0))
    stop = min(max(int(end), start + _LEAST), size)
    return start, stop - (stop - start) % 2


def at_beeps(times_s: Sequence[float], seconds: float) -> list[Span]:
    """From each beep to the next one, and not for longer than so many seconds."""
    ends = [*times_s[1:], float("inf")]
    return [
        Span(f"{number:03d}", start * 1000, min(start + seconds, end) * 1000)
        for number, (start, end) in enumerate(zip(times_s, ends, strict=True), 1)
    ]


def evenly(every_s: float) -> Iterator[Span]:
    """One after the other without end, each so long."""
    for number in itertools.count():
        yield Span(f"{number + 1:03d}", number * every_s * 1000, (number + 1) * every_s * 1000)


def of_track(track: int, places: Iterable[tuple[float, Box]], seconds: float, gap_ms: float) -> list[Span]:
    """What a track was seen of: one clip, or several, where it is longer or was not seen for a while.

    Args:
        track: the track's id.
        places: where the face is, by presentation time in the recording, milliseconds, growing.
        seconds: longest clip.
        gap_ms: a face that was not seen for longer begins a new clip, milliseconds.
    """
    pieces: list[list[tuple[float, Box]]] = []
    for at_ms, box in places:
        is_next = pieces and at_ms - pieces[-1][-1][0] <= gap_ms and at_ms - pieces[-1][0][0] < seconds * 1000
        if is_next:
            pieces[-1].append((at_ms, box))
        else:
            pieces.append([(at_ms, box)])
    return [
        Span(f"t{track:04d}-{number:02d}", piece[0][0] - SLACK_MS, piece[-1][0] + SLACK_MS, track, tuple(piece))
        for number, piece in enumerate(pieces, 1)
    ]
