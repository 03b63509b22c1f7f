"""Whether two runs over the same frames read the same, with other kernels or on another processor.

Rounding differs, and a face is followed from where it was found in the frame before, so that small differences grow
until the next search. Two sets of libraries on one processor differ as much as two processors do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_fer.faces.boxes import corners_of, overlap
from edge_fer.types import Box

OVERLAP = 0.8
"""Boxes of the same face overlap (IoU) by this much at least."""

LANDMARK = 0.1
"""Landmarks may differ by this part of the face's width, in x and y."""

GAP = 0.2
"""Labels must be the same where the two most probable expressions are further apart than this."""


@dataclass(slots=True)
class Comparison:
    """What was found.

    Attributes:
        frames: that were compared.
        faces: that were compared.
        labels: how many of these have another label, or one has none.
        overlap: smallest overlap of a box (IoU).
        box: largest difference of a box, pixels.
        landmark: largest difference of a landmark, part of the face's width.
        probability: largest difference of a probability.
        beyond: a line for each difference beyond the tolerances.
        ids: of each face in the one run, its id in the other.
    """

    frames: int = 0
    faces: int = 0
    labels: int = 0
    overlap: float = 1.0
    box: float = 0.0
    landmark: float = 0.0
    probability: float = 0.0
    beyond: list[str] = field(default_factory=list)
    ids: dict[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"{self.frames} frames, {self.faces} faces; least overlap of a box {self.overlap:.3f} "
            f"(allowed {OVERLAP:g}), at most {self.box:.1f} px; largest difference of a landmark {self.landmark:.1%} "
            f"of the face's width ({LANDMARK:.0%}), of a probability {self.probability:.3f}; "
            f"{self.labels} other labels; {len(self.beyond)} beyond what is allowed"
        )


def readings_of(lines: str) -> list[dict[str, Any]]:
    """The readings among JSON lines; statuses are left out."""
    records = (json.loads(line) for line in lines.splitlines())
    return [record for record in records if record["schema"].startswith("edge-fer/reading/")]


def compare(expected: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]) -> Comparison:
    """Compare reading by reading, face by face; faces belong together where they overlap most.

    Ids may be others, as faces that come into view in the same frame are numbered by score, but stay with their face.

    Args:
        expected: readings of the reference, as in JSON.
        found: those of the other run.
    """
    comparison = Comparison()
    frames, others = ([reading["frame"] for reading in readings] for readings in (expected, found))
    if not frames or frames != others:
        comparison.beyond.append(f"expected readings of the frames {frames or 'of a run'}, found {others}")
        return comparison
    for here, there in zip(expected, found, strict=True):
        comparison.frames += 1
        where = f"frame {here['frame']}"
        if len(here["faces"]) != len(there["faces"]):
            comparison.beyond.append(f"{where}: expected {len(here['faces'])} faces, found {len(there['faces'])}")
            continue
        for face in here["faces"]:
            comparison.faces += 1
            other = max(there["faces"], key=lambda one: _overlap(face, one))
            comparison.beyond += (
                f"{where}, face {face['id']}: {what}" for what in _compare_faces(face, other, comparison)
            )
    return comparison


def _compare_faces(face: dict[str, Any], other: dict[str, Any], comparison: Comparison) -> Iterator[str]:
    """Note the differences of one face; yields those beyond the tolerances."""
    common, width = _overlap(face, other), face["box"][2]
    landmark = max(_largest(point, other["landmarks"][name]) for name, point in face["landmarks"].items()) / width
    probability = _largest([*face["probabilities"].values()], [*other["probabilities"].values()])
    comparison.overlap = min(comparison.overlap, common)
    comparison.box = max(comparison.box, _largest(face["box"], other["box"]))
    comparison.landmark = max(comparison.landmark, landmark)
    comparison.probability = max(comparison.probability, probability)
    if common < OVERLAP:
        yield f"expected the box {face['box']}, found {other['box']}"
    if landmark > LANDMARK:
        yield f"landmarks differ by {landmark:.1%} of its width"
    if comparison.ids.setdefault(face["id"], other["id"]) != other["id"]:
        yield f"expected to be {comparison.ids[face['id']]} as before, found {other['id']}"
    if face["label"] != other["label"]:
        comparison.labels += 1
        gap = _gap(face)
        if gap > GAP:
            yield f"expected {face['label']}, found {other['label']}, {gap:.2f} before the next"


def _overlap(face: dict[str, Any], other: dict[str, Any]) -> float:
    return float(overlap(*(corners_of([Box(*one["box"])]) for one in (face, other)))[0, 0])


def _largest(some: Sequence[float], others: Sequence[float]) -> float:
    """The largest difference; infinite where there are not as many."""
    if len(some) != len(others):
        return float("inf")
    return max((abs(a - b) for a, b in zip(some, others, strict=True)), default=0.0)


def _gap(face: dict[str, Any]) -> float:
    """By how much the most probable expression leads, by what labels go by; infinite for a face that is not read."""
    probabilities = sorted((face["smoothed"] or face["probabilities"]).values())
    return probabilities[-1] - probabilities[-2] if probabilities else float("inf")
