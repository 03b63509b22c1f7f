"""Expressions that the detector reads itself, in the pass that finds the faces: no classifier runs.

A face has one in the frames that were searched; in those between, its track keeps the last one, with its age.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge_fer.errors import BackendError
from edge_fer.expression import ExpressionModel
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.types import LABELS, AlignedFace, Expression, Origin


class DetectedExpressions(ExpressionModel):
    """Hands on what the detector says of a face.

    Faces are cut out all the same, since that shows how good their pictures are: as for the shipped classifier, whose
    faces the limits of `smooth` were chosen with.

    Args:
        detector: what found the last faces, and why it was not what should, if so.
    """

    size = 80
    crop = CropSpec(eye_distance=0.33, eye_y=0.37, detail=80)

    def __init__(self, detector: Callable[[], Origin]) -> None:
        self._detector = detector

    @property
    def origin(self) -> Origin:
        """The detector; see `ExpressionModel.origin`."""
        return self._detector()

    def can_read(self, face: AlignedFace) -> bool:
        """Whether the detector has read this face; see `ExpressionModel.can_read`."""
        return face.track.face.expression is not None

    def classify(self, face: AlignedFace) -> Expression:
        """What the detector says of a face that it has read; see `ExpressionModel.classify`."""
        expression = face.track.face.expression
        if expression is None:
            raise BackendError("expected a face that the detector has read, found one that was followed")
        return expression

    @property
    def blank_face(self) -> AlignedFace:
        """A black face of which the detector says nothing in particular; see `ExpressionModel.blank_face`."""
        blank = super().blank_face
        even = Expression((1 / len(LABELS),) * len(LABELS))
        return replace(blank, track=replace(blank.track, face=replace(blank.track.face, expression=even)))

    def close(self) -> None:
        """Nothing is open."""
