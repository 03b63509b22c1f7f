"""Labels for people to read: averaged over time, and withheld where they would be guesses.

Each track keeps an exponential moving average of its probabilities. It has a time constant instead of a weight for
each frame, so that the result does not depend on the frame rate: weight = 1 - exp(-elapsed / tau) (Eckner 2012,
Algorithms for unevenly spaced time series: the average of the continuous signal that has the newest value since the
one before). In addition, the label that is shown changes only to one that is more probable by a margin.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_fer.expression.abstention import is_guess, poor_picture
from edge_fer.settings import SmoothSettings
from edge_fer.types import LABELS, Expression, Label, Quality, Smoothed, Why

_KEEP_NS = 10 * 10**9  # five of the longest time constants: the weight of anything older is below 1 %


class _Average(NamedTuple):
    """The state of a track.

    Attributes:
        scene_ns: time of its last good crop in the scene, nanoseconds.
        probabilities: averaged probabilities over `LABELS`, each 0..1.
        shown: the label that is shown.
        abstain_below: confidence below which the model's label is a guess, 0..1.
    """

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
        self._averages: dict[int, _Average] = {}

    def smooth(self, track_id: int, expression: Expression, scene_ns: int, quality: Quality) -> Smoothed:
        """Add the expression of one crop to the average of its track.

        The same crop again, or an older one, changes nothing: a label that is published again with a later frame
        counts once. A crop that is too poor to show a label changes nothing either.

        Args:
            track_id: the id of the face's track.
            expression: the classifier's result for the crop.
            scene_ns: time of the crop in the scene, nanoseconds.
            quality: the quality of the crop.

        Returns:
            The label to show, or the reason why there is none.
        """
        why = poor_picture(quality, self._settings)
        new = _Average(scene_ns, expression.probabilities, expression.label, expression.abstain_below)
        if not self._settings.enabled:
            return self._smoothed(new, why)
        average = self._averages.get(track_id, new)
        if why is None:
            average = self._mix(average, new)
            self._forget(scene_ns)
            self._averages[track_id] = average
        return self._smoothed(average, why)

    def _mix(self, average: _Average, new: _Average) -> _Average:
        elapsed_ms = (new.scene_ns - average.scene_ns) / 1e6
        if elapsed_ms <= 0:
            return average
        weight = -math.expm1(-elapsed_ms / self._settings.tau_ms)
        pairs = zip(average.probabilities, new.probabilities, strict=True)
        mixed = Expression(tuple(old + weight * (latest - old) for old, latest in pairs))
        lead = mixed.confidence - mixed.probabilities[LABELS.index(average.shown)]
        shown = mixed.label if lead >= self._settings.margin else average.shown
        return _Average(new.scene_ns, mixed.probabilities, shown, new.abstain_below)

    def _forget(self, now_ns: int) -> None:
        """Drop the averages of tracks that had no good crop for `_KEEP_NS`."""
        self._averages = {key: kept for key, kept in self._averages.items() if now_ns - kept.scene_ns <= _KEEP_NS}

    def _smoothed(self, average: _Average, why: Why | None) -> Smoothed:
        confidence = average.probabilities[LABELS.index(average.shown)]
        if why is None and is_guess(confidence, average.abstain_below, self._settings):
            why = "unsure"
        return Smoothed(
            label=average.shown if why is None else None,
            confidence=confidence,
            probabilities=average.probabilities if self._settings.enabled else None,
            why=why,
        )
