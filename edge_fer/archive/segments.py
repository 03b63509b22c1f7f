"""Where a long recording is cut, so that its parts are read in parallel.

A segment begins reading at a key frame ten seconds or more before its own beginning. In that time it comes to know what
is in view: faces, their ids, the average of their labels. Its rows begin where those of the segment before end, and
the ids of both are matched by what they have both seen (`join.py`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from edge_fer.archive.film_reader import FilmReader
from edge_fer.archive.recordings import Recording

WARM_UP_NS = 10 * 10**9
"""Longer than anything that is remembered: `track.revalidate_ms` 3 s, `smooth.tau_ms` 0.2 s."""


class Segment(NamedTuple):
    """A stretch of a recording. All times are presentation times in nanoseconds.

    Attributes:
        number: its number, from 0.
        read_ns: the key frame at which reading begins; None: the film's beginning.
        start_ns: its own first frame is at this time or later; 0: all that were read.
        end_ns: its frames are before this time; None: up to the film's end.
        first_frame: number of the frame at `read_ns` in the film.
    """

    number: int = 0
    read_ns: int | None = None
    start_ns: int = 0
    end_ns: int | None = None
    first_frame: int = 0


WHOLE = Segment()


def cut(recording: Recording, segment_s: float) -> tuple[Segment, ...]:
    """Cut a recording.

    Args:
        recording: the recording. Its packets are read once, none is decoded.
        segment_s: length of a segment, seconds.

    Returns:
        The segments; the whole film where it is shorter, breaks off, or where its timestamps do not say which frame
        is where.

    Raises:
        SourceError: when it cannot be read.
    """
    reader = FilmReader(recording)
    try:
        positions, keys = reader.index()
    finally:
        reader.close()
    if not positions:
        return (WHOLE,)
    length_ns = round(segment_s * 1e9)
    starts = {start_ns: _key_before(keys, start_ns) for start_ns in range(length_ns, positions[-1] + 1, length_ns)}
    near = {start_ns: key for start_ns, key in starts.items() if start_ns - key <= length_ns + 2 * WARM_UP_NS}
    cuts = [(0, 0), *near.items()]
    ends = [*near, None]
    return tuple(
        Segment(index, key or None, start_ns, end_ns, bisect_left(positions, key) if key else 0)
        for index, ((start_ns, key), end_ns) in enumerate(zip(cuts, ends, strict=True))
    )


def _key_before(keys: list[int], start_ns: int) -> int:
    """The key frame at which to begin reading for a segment; 0: the film's beginning."""
    before = bisect_right(keys, start_ns - WARM_UP_NS) - 1
    return keys[before] if before > 0 else 0
