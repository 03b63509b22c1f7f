"""Whether two runs over the same frames read the same: positions in pixels, probabilities, ids and labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

BOX_PX = 1.0
"""Boxes of the same face may differ by this much, in x, y, width and height; pixels of the frame."""

LANDMARK_PX = 1.0
"""Landmarks may differ by this much, in x and y; pixels of the frame."""

PROBABILITY = 0.05
"""Probabilities may differ by this much."""

GAP = 0.1
"""Labels must be the same where the two most probable expressions are further apart than this."""


@dataclass(slots=True)
class Comparison:
    """What was found.

    Attributes:
        frames: that were compared.
        faces: that were compared.
        labels: how many of these have another label, or one has none.
        box: largest difference of a box, pixels.
        landmark: largest difference of a landmark, pixels.
        probability: largest difference of a probability.
        beyond: a line for each difference beyond the tolerances.
    """

    frames: int = 0
    faces: int = 0
    labels: int = 0
    box: float = 0.0
    landmark: float = 0.0
    probability: float = 0.0
    beyond: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.frames} frames, {self.faces} faces; largest difference of a box {self.box:.1f} px "
            f"(allowed {BOX_PX:g}), of a landmark {self.landmark:.1f} px ({LANDMARK_PX:g}), of a probability "
            f"{self.probability:.4f} ({PROBABILITY:g}); {self.labels} labels differ; {len(self.beyond)} beyond that"
        )


def readings_of(lines: str) -> list[dict[str, Any]]:
    """The readings among JSON lines; statuses are left out."""
    records = (json.loads(line) for line in lines.splitlines())
    return [record for record in records if record["schema"].startswith("edge-fer/reading/")]


def compare(expected: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]) -> Comparison:
    """Compare reading by reading, face by face.

    Args:
        expected: readings of the reference, as in JSON.
        found: those of the other run.
    """
    comparison = Comparison()
    if [reading["frame"] for reading in expected] != [reading["frame"] for reading in found] or not expected:
        comparison.beyond.append(
            f"expected {len(expected)} readings, more than none, of the same frames, found {len(found)}"
        )
        return comparison
    for here, there in zip(expected, found, strict=True):
        comparison.frames += 1
        ids = [[face["id"] for face in reading["faces"]] for reading in (here, there)]
        if ids[0] != ids[1]:
            comparison.beyond.append(f"frame {here['frame']}: expected the faces {ids[0]}, found {ids[1]}")
            continue
        for face, other in zip(here["faces"], there["faces"], strict=True):
            comparison.faces += 1
            where = f"frame {here['frame']}, face {face['id']}"
            comparison.beyond += (f"{where}: {what}" for what in _compare_faces(face, other, comparison))
    return comparison


def _compare_faces(face: dict[str, Any], other: dict[str, Any], comparison: Comparison) -> Iterator[str]:
    """Note the differences of one face; yields those beyond the tolerances."""
    box = _largest(face["box"], other["box"])
    landmark = _largest(*(list(chain.from_iterable(one["landmarks"].values())) for one in (face, other)))
    probability = _largest(*(list(one["probabilities"].values()) for one in (face, other)))
    comparison.box = max(comparison.box, box)
    comparison.landmark = max(comparison.landmark, landmark)
    comparison.probability = max(comparison.probability, probability)
    if box > BOX_PX:
        yield f"expected the box {face['box']}, found {other['box']}"
    if landmark > LANDMARK_PX:
        yield f"landmarks differ by {landmark:.1f} px"
    if probability > PROBABILITY:
        yield f"probabilities differ by {probability:.3f}"
    if face["label"] != other["label"]:
        comparison.labels += 1
        gap = _gap(face)
        if gap > GAP:
            yield f"expected {face['label']}, found {other['label']}, {gap:.2f} before the next"


def _largest(some: Sequence[float], others: Sequence[float]) -> float:
    """The largest difference; infinite where there are not as many."""
    if len(some) != len(others):
        return float("inf")
    return max((abs(a - b) for a, b in zip(some, others, strict=True)), default=0.0)


def _gap(face: dict[str, Any]) -> float:
    """By how much the most probable expression leads, by what the label goes by."""
    second, first = sorted((face["smoothed"] or face["probabilities"]).values())[-2:]
    return first - second
