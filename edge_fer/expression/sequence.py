"""What the pictures of one face say together: the last of them in each reading, all of them once it has left.

    face -> model -> expression -> its track's last answers -> attention, or their mean -> expression.track

The mean takes each picture that is good enough to show a label, all alike (Kahou et al. 2013). An attention network
(Meng et al. 2019) takes all pictures: to give little weight to the poor ones is what it was trained for. Where neither
has seen a good picture, there is no label.

The mean of a whole track is the mean of all its pictures. For an attention network, up to 64 of them are kept, evenly
spread over the track, so that a face that stays for hours needs no more memory than one that passes by.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_fer.expression import ExpressionModel
from edge_fer.expression.abstention import is_guess, poor_picture
from edge_fer.settings import AttendSettings, SmoothSettings
from edge_fer.types import LABELS, AlignedFace, Expression, Label, Origin, TrackExpression

_MOST_KEPT = 64  # pictures of a whole track, for an attention network


class Attended(Protocol):
    """What an attention network makes of several pictures of one face."""

    @property
    def weights(self) -> NDArray[np.float32]:
        """How much each picture counts, `(n,)`, summing to 1."""

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Over `LABELS`, `(7,)`, calibrated, summing to 1."""


class AttentionNetwork(Protocol):
    """Weighs the pictures of one face, by what a classifier's features say of each; from any thread."""

    def attend(self, features: NDArray[np.float32]) -> Attended:
        """Make one answer of several pictures.

        Args:
            features: `(n, d)`, of each picture; their order does not matter.
        """


@dataclass(frozen=True, slots=True)
class WholeTrack:
    """What all pictures of a face say together.

    Attributes:
        label: the most probable one; None where it would be a guess.
        confidence: probability of `label`, or of the label that is withheld; 0 where no picture counts.
        probabilities: over `LABELS`, each 0..1, summing to 1; None where no picture counts.
        frames_read: how many pictures were read, those that do not count included.
    """

    label: Label | None = None
    confidence: float = 0.0
    probabilities: tuple[float, ...] | None = None
    frames_read: int = 0


class _Answer(NamedTuple):
    """What one picture was read as; see `AlignedFace` and `Expression`.

    Attributes:
        is_good: whether the picture is good enough to show a label.
    """

    frame: int
    scene_ns: int
    is_good: bool
    probabilities: tuple[float, ...]
    abstain_below: float
    features: NDArray[np.float32] | None


class _Memory:
    """What is remembered of one track.

    Args:
        most: so many of the last answers are kept at most.

    Attributes:
        last: the last answers, oldest first.
        frames_read: how many answers there were.
        kept: some of all answers, evenly spread, for an attention network.
        good: how many of all answers are of good pictures.
        sums: their probabilities, added up.
    """

    def __init__(self, most: int) -> None:
        self.last: deque[_Answer] = deque(maxlen=most)
        self.frames_read = self.good = 0
        self.kept: list[_Answer] = []
        self.sums = [0.0] * len(LABELS)
        self._stride = 1

    def add(self, answer: _Answer, span_ns: float) -> None:
        """Remember an answer, and forget the last ones that are older than `span_ns` before it."""
        self.last.append(answer)
        while self.last[0].scene_ns < answer.scene_ns - span_ns:
            self.last.popleft()
        if answer.is_good:
            self.good += 1
            self.sums = [total + one for total, one in zip(self.sums, answer.probabilities, strict=True)]
        if answer.features is not None:
            self._keep(answer)
        self.frames_read += 1

    def _keep(self, answer: _Answer) -> None:
        """Keep one answer in `_stride`; when these are too many, every other one of them."""
        if self.frames_read % self._stride == 0:
            self.kept.append(answer)
        if len(self.kept) >= _MOST_KEPT:
            del self.kept[1::2]
            self._stride *= 2


class SequenceModel(ExpressionModel):
    """Reads faces by another model, and puts together what it says of the pictures of a track; for any threads.

    Args:
        model: reads each picture; closed with this one.
        settings: how many of the last pictures count.
        limits: which pictures are good enough, and which labels would be guesses.
        attention: weighs the pictures of a track; None: those that are good enough count alike.
        attention_of: name of the classifier whose features it reads: those of another one, which may read while a
            device is away, mean something else.

    The attributes are those of the model.
    """

    def __init__(
        self,
        model: ExpressionModel,
        settings: AttendSettings,
        limits: SmoothSettings,
        attention: AttentionNetwork | None = None,
        attention_of: str | None = None,
    ) -> None:
        self.size, self.colour, self.crop = model.size, model.colour, model.crop
        self.parallel, self.devices = model.parallel, model.devices
        self._model, self._settings, self._limits = model, settings, limits
        self._attention = attention if settings.enabled else None
        self._attention_of = attention_of
        self._lock = threading.Lock()  # guards the memories
        self._tracks: dict[int, _Memory] = {}

    @property
    def origin(self) -> Origin:
        """What reads faces now; see `ExpressionModel.origin`."""
        return self._model.origin

    @property
    def blank_face(self) -> AlignedFace:
        """The model's; see `ExpressionModel.blank_face`."""
        return self._model.blank_face

    def classify(self, face: AlignedFace) -> Expression:
        """Read one face; see `ExpressionModel.classify`. `track` of the answer is of its track's last pictures.

        The same picture again, or an older one, changes nothing.
        """
        expression = self._model.classify(face)
        origin = expression.origin or self.origin
        answer = _Answer(
            face.frame,
            face.scene_ns,
            poor_picture(face.quality, self._limits) is None,
            expression.probabilities,
            expression.abstain_below,
            expression.features if self._attention is not None and origin.model == self._attention_of else None,
        )
        with self._lock:
            memory = self._tracks.setdefault(face.track.id, _Memory(self._settings.frames))
            if not memory.last or memory.last[-1].frame < answer.frame:
                memory.add(answer, self._settings.span_ms * 1e6)
            track = self._combine(memory.last) if self._settings.enabled else None
        return replace(expression, features=None, track=track)

    def whole(self, track_id: int) -> WholeTrack:
        """What all pictures of a track that were read so far say together; for a track that is not forgotten yet."""
        with self._lock:
            memory = self._tracks.get(track_id)
            if memory is None:
                return WholeTrack()
            if self._attention is not None and memory.kept:
                together = self._combine(memory.kept)
                assert together is not None  # an attention network takes all pictures
                chosen = together.label, together.confidence
                return WholeTrack(*chosen, together.probabilities, memory.frames_read)
            if not memory.good:
                return WholeTrack(frames_read=memory.frames_read)
            probabilities = tuple(total / memory.good for total in memory.sums)
            chosen = self._chosen(probabilities, memory.last[-1].abstain_below)
            return WholeTrack(*chosen, probabilities, memory.frames_read)

    def forget(self, ids: frozenset[int]) -> None:
        """Drop what is remembered of these tracks; see `ExpressionModel.forget`."""
        with self._lock:
            for key in ids:
                self._tracks.pop(key, None)
        self._model.forget(ids)

    def close(self) -> None:
        """Close the model."""
        self._model.close()

    def _combine(self, answers: Sequence[_Answer]) -> TrackExpression | None:
        """What several answers say together, one at least; None where none of them counts."""
        features = [answer.features for answer in answers if answer.features is not None]
        if self._attention is not None and len(features) == len(answers):
            attended = self._attention.attend(np.stack(features))
            weights, probabilities = attended.weights.tolist(), attended.probabilities.tolist()
        else:
            answers = [answer for answer in answers if answer.is_good]
            if not answers:
                return None
            weights = [1 / len(answers)] * len(answers)
            columns = zip(*[answer.probabilities for answer in answers], strict=True)
            probabilities = [sum(column) / len(answers) for column in columns]
        label, confidence = self._chosen(probabilities, answers[-1].abstain_below)
        return TrackExpression(
            label=label if any(answer.is_good for answer in answers) else None,
            confidence=confidence,
            probabilities=tuple(probabilities),
            frames=tuple(answer.frame for answer in answers),
            weights=tuple(weights),
            span_ns=answers[-1].scene_ns - answers[0].scene_ns,
        )

    def _chosen(self, probabilities: Sequence[float], abstain_below: float) -> tuple[Label | None, float]:
        """The most probable label, the first of equals, and its probability; None for one that would be a guess."""
        confidence = max(probabilities)
        is_shown = not is_guess(confidence, abstain_below, self._limits)
        return LABELS[probabilities.index(confidence)] if is_shown else None, confidence
