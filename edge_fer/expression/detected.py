"""Expressions that the detector reads itself, in the pass that finds the faces: no classifier runs, and no thread.

A face has one in the frames that were searched; in those between, its track keeps the last one, with its age.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from edge_fer.common.deadline import Deadline
from edge_fer.errors import BackendError
from edge_fer.expression import ExpressionModel
from edge_fer.expression.scheduler import Classification
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


class ImmediateScheduler:
    """Takes over what the detector has read as soon as faces are handed in; the verbs are `ClassificationScheduler`'s.

    Args:
        model: takes over one face at a time.
        stage: times that; see `Monitor.stage`.

    Attributes:
        deadline: of calls under way: there is none.
        done: whether every face was taken over.
    """

    done = True

    def __init__(self, model: ExpressionModel, stage: Callable[[str], AbstractContextManager[None]]) -> None:
        self._model, self._stage = model, stage
        self._last: dict[int, Classification] = {}
        self.deadline = Deadline()

    def offer(self, faces: Sequence[AlignedFace]) -> None:
        """Hand in the faces of a frame; one that was followed, or is out of view, keeps what was read last."""
        for face in faces:
            if face.track.face.expression is not None:
                with self._stage("classify"):
                    self._last[face.track.id] = Classification.of(face, self._model.classify(face))

    def keep(self, ids: frozenset[int]) -> None:
        """Forget all faces but these."""
        ended = frozenset(self._last) - ids
        for key in ended:
            del self._last[key]
        if ended:
            self._model.forget(ended)

    def classifications(self) -> Mapping[int, Classification]:
        """What was read last of each face, by track id."""
        return self._last

    def wait(self) -> None:
        """Nothing is under way."""

    def stop(self) -> None:
        """No thread runs."""
