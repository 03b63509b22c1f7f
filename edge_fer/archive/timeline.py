"""Expressions over the time of a recording, in few bins however long it is: for the report."""

from __future__ import annotations

from edge_fer.types import LABELS

MOST_BINS = 240
_FIRST_BIN_MS = 500.0
SHOWN: tuple[str | None, ...] = (*LABELS, None)
"""What a face can show, in the order of each bin: the labels, and none."""


class Timeline:
    """Adds up for how long faces showed each label, by time.

    Attributes:
        bin_ms: length of a bin; it doubles whenever there would be too many.
        bins: milliseconds of each of `SHOWN`, added over all faces, bin by bin.
    """

    def __init__(self) -> None:
        self.bin_ms = _FIRST_BIN_MS
        self.bins: list[list[float]] = []

    def reach(self, position_ms: float) -> None:
        """Make room up to a time, whether or not there is a face."""
        while position_ms // self.bin_ms >= MOST_BINS:
            odd = [*self.bins[1::2], _empty()]
            self.bins = [
                [a + b for a, b in zip(early, late, strict=True)]
                for early, late in zip(self.bins[::2], odd, strict=False)
            ]
            self.bin_ms *= 2
        while len(self.bins) <= position_ms // self.bin_ms:
            self.bins.append(_empty())

    def add(self, position_ms: float, label: str | None, lasted_ms: float) -> None:
        """Take a face of a frame, within what was reached."""
        self.bins[int(position_ms // self.bin_ms)][SHOWN.index(label)] += lasted_ms


def _empty() -> list[float]:
    return [0.0] * len(SHOWN)
