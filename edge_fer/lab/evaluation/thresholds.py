"""From where on a face is too small, too blurred or turned too far to be read: `edge-fer lab thresholds`.

Each validation face is shown to the runtime four times: as it is, at a size, with a blur and with a turn in the plane
that are drawn for it. It is found, cut out, measured and read as on a camera, and counts once in each table. A head
cannot be turned to the side in a flat crop: yaw and pitch are those that the faces come with.

The rule: neighbouring bins are put together, from the poorest on, until each has `LEAST` faces. Labels should be
withheld beyond the first boundary from which on accuracy is more than `DROP` below that of the faces as they are, in
every such bin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_fer.errors import SourceError
from edge_fer.lab.evaluation.metrics import Interval, wilson
from edge_fer.lab.evaluation.quality_sweep import Observation, Series, SeriesName
from edge_fer.settings import SmoothSettings

DROP = 0.1
"""More than so much less accuracy than that of the faces as they are is too little."""
LEAST = 100
"""Faces that a bin needs to tell anything: its 95 % interval is then at most 10 points to each side."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Something by which a face can be too poor to read.

    Attributes:
        name: name of the measure, with its unit.
        setting: the setting of the section `smooth` that it is compared with; None where there is none.
        series: the faces that it is measured on.
        value: gives the measure of one face; more is worse, or less where `edges` fall.
        edges: boundaries of the bins, from good to poor.
    """

    name: str
    setting: Literal["min_eye_distance_px", "max_blur", "max_head_angle_deg"] | None
    series: SeriesName
    value: Callable[[Observation], float]
    edges: tuple[float, ...]

    @property
    def falls(self) -> bool:
        """Whether less is worse."""
        return self.edges[0] > self.edges[-1]


MEASURES: tuple[Measure, ...] = (
    Measure(
        "eye distance, pixels",
        "min_eye_distance_px",
        "smaller",
        lambda face: face.quality.eye_distance,
        (40, 30, 25, 20, 17, 15, 13, 12, 11, 10, 9, 8, 7, 6, 5),
    ),
    Measure(
        "blur, part of the side",
        "max_blur",
        "blurred",
        lambda face: face.quality.blur,
        (0.020, 0.022, 0.024, 0.026, 0.028, 0.030, 0.032, 0.034, 0.036, 0.038, 0.040, 0.045, 0.050),
    ),
    Measure(
        "turn, the larger of yaw and pitch, degrees",
        "max_head_angle_deg",
        "as they are",
        lambda face: max(abs(face.quality.yaw), abs(face.quality.pitch)),
        (5, 10, 15, 20, 25, 30, 35, 40, 45, 50),
    ),
    Measure("yaw, degrees", None, "as they are", lambda face: abs(face.quality.yaw), (5, 10, 15, 20, 25, 30, 35, 40)),
    Measure(
        "pitch, degrees", None, "as they are", lambda face: abs(face.quality.pitch), (5, 10, 15, 20, 25, 30, 35, 40)
    ),
    Measure(
        "roll, degrees", None, "turned in the plane", lambda face: abs(face.roll), (5, 10, 15, 20, 25, 30, 35, 40, 50)
    ),
)
"""What is measured, each by the faces that vary in it."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Faces about equally good.

    Attributes:
        good: boundary towards the better faces; None for the best bin.
        poor: boundary towards the poorer ones; None for the last bin.
        faces: how many faces.
        right: how many of them got the annotators' label.
    """

    good: float | None
    poor: float | None
    faces: int
    right: int

    @property
    def accuracy(self) -> float | None:
        """0..1; None without faces."""
        return self.right / self.faces if self.faces else None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the accuracy; None without faces."""
        return wilson(self.right, self.faces) if self.faces else None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What follows from the bins of a measure.

    Attributes:
        threshold: labels beyond it should be withheld; None where accuracy never falls so far.
        tail: the poorest faces, which are too few for a bin of their own; None where there are enough in every bin.
    """

    threshold: float | None
    tail: Bin | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found by one measure.

    Attributes:
        measure: the measure that the faces are sorted by.
        bins: best first.
        proposal: the proposal that follows from the bins.
        now: the setting as it is; None where there is none, or it is switched off.
    """

    measure: Measure
    bins: tuple[Bin, ...]
    proposal: Proposal
    now: float | None


def examine(series: Mapping[SeriesName, Series], settings: SmoothSettings) -> tuple[Finding, ...]:
    """All measures by turns, against the accuracy of the faces as they are.

    Raises:
        SourceError: when none of these was found.
    """
    reference = series["as they are"].accuracy
    if reference is None:
        raise SourceError("expected faces in the pictures, the detector found none; see `edge-fer lab faces`")
    findings = []
    for measure in MEASURES:
        found = bins(measure, series[measure.series].observations)
        now = None if measure.setting is None else getattr(settings, measure.setting)
        findings.append(Finding(measure, found, propose(found, reference), now))
    return tuple(findings)


def bins(measure: Measure, observations: Sequence[Observation]) -> tuple[Bin, ...]:
    """Faces by how good they are, best first; a face on a boundary belongs to the better side, as in `smooth`."""
    sign = -1 if measure.falls else 1
    boundaries = sign * np.array(measure.edges)
    places = np.searchsorted(boundaries, [sign * measure.value(observation) for observation in observations])
    right = [observation.right for observation in observations]
    length = len(measure.edges) + 1
    counts, hits = np.bincount(places, minlength=length), np.bincount(places, right, minlength=length)
    ends = (None, *measure.edges, None)
    return tuple(Bin(ends[n], ends[n + 1], int(counts[n]), int(hits[n])) for n in range(length))


def propose(found: Sequence[Bin], reference: float) -> Proposal:
    """The boundary beyond which faces are too poor.

    Args:
        found: best first.
        reference: accuracy on faces as they are, 0..1.
    """
    groups = _grouped(found)
    threshold = None
    for group in reversed(groups):
        if group.right / group.faces >= reference - DROP:
            break
        threshold = group.good
    tail = groups[-1] if groups else _together(found)
    return Proposal(threshold, None if tail == found[-1] else tail)


def _grouped(found: Sequence[Bin]) -> list[Bin]:
    """Bins of at least `LEAST` faces, best first; none where there are fewer faces in all."""
    groups: list[Bin] = []
    waiting: list[Bin] = []
    for one in reversed(found):
        waiting.insert(0, one)
        group = _together(waiting)
        if group.faces >= LEAST:
            groups.insert(0, group)
            waiting.clear()
    if waiting and groups:
        groups[0] = _together([*waiting, groups[0]])
    return groups


def _together(found: Sequence[Bin]) -> Bin:
    """Neighbouring bins as one."""
    return Bin(found[0].good, found[-1].poor, sum(one.faces for one in found), sum(one.right for one in found))
