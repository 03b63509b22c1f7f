"""Labels that can be followed by eye: steadied over time, and withheld where they would be guesses.

Each track keeps an exponential moving average of its probabilities, with a time constant
instead of a weight a frame, so that irregular frames and labels that refresh slowly come out
alike: weight = 1 - exp(-elapsed / tau) (Eckner 2012, Algorithms for unevenly spaced time series:
the average of the continuous signal that has the newest value since the one before). On top of
it the label that is shown stays until another one leads it by a margin.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_fer.settings import SmoothSettings
from edge_fer.types import LABELS, Expression, Label, Quality, Smoothed, Why

_KEEP_NS = 10 * 10**9  # five of the longest time constants: what is older weighs less than 1 %


class _Memory(NamedTuple):
    """What is known of a track: the time of its last good crop, its average, the label it shows, and the threshold."""

    scene_ns: int
    probabilities: tuple[float, ...]
    shown: Label
    abstain_below: float


class Smoother:
    """Decides what is shown of each face.

    Args:
        settings: time constant, margin and thresholds.
    """

    def __init__(self, settings: SmoothSettings) -> None:
        self._settings = settings
        self._memories: dict[int, _Memory] = {}

    def smooth(self, track_id: int, expression: Expression, scene_ns: int, quality: Quality) -> Smoothed:
        """Take what was read from one crop of a face.

        A crop that was taken already, or an older one, changes nothing: a label that is published again
        with a later frame counts once. Nor does a crop that is not good enough to show a label.

        Args:
            track_id: whose face it is.
            expression: what the classifier read.
            scene_ns: time in the scene of the crop that it was read from, nanoseconds.
            quality: of that crop.
        """
        why = self._fault(quality)
        new = _Memory(scene_ns, expression.probabilities, expression.label, expression.abstain_below)
        if not self._settings.enabled:
            return self._smoothed(new, why)
        memory = self._memories.get(track_id, new)
        if why is None:
            memory = self._mixed(memory, new)
            self._forget(scene_ns)
            self._memories[track_id] = memory
        return self._smoothed(memory, why)

    def _mixed(self, memory: _Memory, new: _Memory) -> _Memory:
        elapsed_ms = (new.scene_ns - memory.scene_ns) / 1e6
        if elapsed_ms <= 0:
            return memory
        weight = -math.expm1(-elapsed_ms / self._settings.tau_ms)
        pairs = zip(memory.probabilities, new.probabilities, strict=True)
        average = Expression(tuple(old + weight * (fresh - old) for old, fresh in pairs))
        lead = average.confidence - average.probabilities[LABELS.index(memory.shown)]
        shown = average.label if lead >= self._settings.margin else memory.shown
        return _Memory(new.scene_ns, average.probabilities, shown, new.abstain_below)

    def _forget(self, now_ns: int) -> None:
        """Drop tracks that were not seen for long; ids are never used again."""
        self._memories = {key: kept for key, kept in self._memories.items() if now_ns - kept.scene_ns <= _KEEP_NS}

    def _fault(self, quality: Quality) -> Why | None:
        """What makes a crop too poor to read, in the order of `Why`."""
        limits = self._settings
        if limits.min_eye_distance_px is not None and quality.eye_distance < limits.min_eye_distance_px:
            return "too_small"
        if (
            limits.max_head_angle_deg is not None
            and max(abs(quality.yaw), abs(quality.pitch)) > limits.max_head_angle_deg
        ):
            return "turned_away"
        if limits.max_blur is not None and quality.blur > limits.max_blur:
            return "blurred"
        return None

    def _smoothed(self, memory: _Memory, why: Why | None) -> Smoothed:
        confidence = memory.probabilities[LABELS.index(memory.shown)]
        unsure = memory.abstain_below if self._settings.min_confidence is None else self._settings.min_confidence
        if why is None and confidence < unsure:
            why = "unsure"
        return Smoothed(
            label=memory.shown if why is None else None,
            confidence=confidence,
            probabilities=memory.probabilities if self._settings.enabled else None,
            why=why,
        )
