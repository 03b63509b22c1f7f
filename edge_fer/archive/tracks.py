"""What the rows of a track say together: a row of the table `tracks`, made while they go by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edge_fer.expression.abstention import is_guess
from edge_fer.faces.quality import readability
from edge_fer.settings import SmoothSettings
from edge_fer.types import LABELS, Quality

_POOR = frozenset({"too_small", "turned_away", "blurred"})


class TrackSummary:
    """Adds up the rows of one track.

    The mean takes each row that is good enough to show a label, all alike, as `expression.sequence` does.

    Args:
        first: its first row of `faces`.
    """

    def __init__(self, first: Mapping[str, Any]) -> None:
        self._first, self._last, self._best = first, first, first
        self._best_readability = -1.0
        self._seen = self._good = 0
        self._sums = dict.fromkeys(LABELS, 0.0)
        self._shown_ms: dict[str | None, float] = dict.fromkeys((*LABELS, None), 0.0)
        self._shown: dict[str | None, float] = dict.fromkeys((*LABELS, None), 0.0)
        self._yaw = self._pitch = 0.0
        self._roll = 0j

    def add(self, row: Mapping[str, Any]) -> None:
        """Take the next row of `faces`."""
        self._last = row
        self._seen += 1
        self._shown[row["label"]] += 1
        self._shown_ms[row["label"]] += row["lasted_ms"]
        if row["why"] not in _POOR:
            self._good += 1
            for label in LABELS:
                self._sums[label] += row[f"p_{label}"]
        turn = math.radians(row["roll"])
        self._yaw, self._pitch = self._yaw + row["yaw"], self._pitch + row["pitch"]
        self._roll += complex(math.cos(turn), math.sin(turn))
        readable = readability(Quality(row["eye_distance"], row["blur"], row["yaw"], row["pitch"], row["roll"]))
        if readable > self._best_readability:
            self._best, self._best_readability = row, readable

    def row(self, abstain_below: float, limits: SmoothSettings) -> dict[str, Any]:
        """The row of `tracks`.

        Args:
            abstain_below: confidence below which a label of the classifier is a guess.
            limits: which may have another.
        """
        means = {label: round(added / self._good, 4) if self._good else None for label, added in self._sums.items()}
        confidence = max((mean for mean in means.values() if mean is not None), default=0.0)
        is_shown = self._good > 0 and not is_guess(confidence, abstain_below, limits)
        label = next(label for label in LABELS if means[label] == confidence) if is_shown else None
        counts = self._shown_ms if any(self._shown_ms.values()) else self._shown  # all of it may be the first frame
        total = sum(counts.values())
        shares = {label: round(count / total, 4) for label, count in counts.items()}
        return {
            "recording": self._first["recording"],
            "track": self._first["track"],
            "first_frame": self._first["frame"],
            "last_frame": self._last["frame"],
            "first_ms": self._first["position_ms"],
            "last_ms": self._last["position_ms"],
            "frames_seen": self._seen,
            "frames_good": self._good,
            "label": label,
            "confidence": confidence,
            **{f"p_{label}": mean for label, mean in means.items()},
            **{f"share_{label}": shares[label] for label in LABELS},
            "withheld": shares[None],
            "yaw": round(self._yaw / self._seen, 1),
            "pitch": round(self._pitch / self._seen, 1),
            "roll": round(math.degrees(math.atan2(self._roll.imag, self._roll.real)), 1),
            "best_frame": self._best["frame"],
        }
