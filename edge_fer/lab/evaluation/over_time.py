"""Ways to make one label of a track out of what a classifier says of each frame, measured on the same tracks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from edge_fer.expression.attention import Attention
from edge_fer.expression.smoother import Smoother
from edge_fer.lab.datasets.tracks import FPS, SHARES
from edge_fer.lab.evaluation.metrics import Labels, Logits
from edge_fer.lab.evaluation.summary import paired_estimate, share
from edge_fer.lab.evaluation.track_answers import TrackAnswers
from edge_fer.lab.evaluation.tracks_record import BASELINE, MethodName, MethodResult, ShareResult
from edge_fer.settings import SmoothSettings
from edge_fer.types import LABELS, Expression, Quality

_ORDER: tuple[MethodName, ...] = get_args(MethodName)
_SEED = 0  # of which frames are spoiled
_DIGITS = 6
_SMALLEST = 1e-12  # of a probability
_EYES_PX = 60.0  # a distance between the eyes at which the smoother withholds nothing


@dataclass(frozen=True, slots=True)
class Frames:
    """What a classifier said of each frame of tracks, some of which are spoiled.

    Attributes:
        logits: `(n, frames, 7)`, divided by the classifier's temperature.
        edges: `(n, frames)`, width of the edges, part of the side.
    """

    logits: NDArray[np.float64]
    edges: NDArray[np.float64]

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """`(n, frames, 7)`."""
        return softmax(self.logits)

    @property
    def sharpness(self) -> NDArray[np.float64]:
        """`(n, frames)`: 0 for a frame without edges."""
        return np.where(self.edges > 0, 1 / np.maximum(self.edges, 1e-3), 0.0)


Reading = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Calibrated probabilities `(n, 7)` of tracks, and the weights of their frames, `(n, frames)`."""

Reader = Callable[[TrackAnswers, NDArray[np.bool_]], Reading]
"""An attention, which reads tracks some of whose frames are spoiled."""


def read_by(attention: Attention) -> Reader:
    """The attention as the runtime has it."""

    def read(tracks: TrackAnswers, spoiled: NDArray[np.bool_]) -> Reading:
        frames = np.arange(tracks.frames)
        found = [
            attention.attend(tracks.real((np.array(number), row.astype(np.int64), frames)))
            for number, row in enumerate(spoiled)
        ]
        return np.stack([one.probabilities for one in found]), np.stack([one.weights for one in found])

    return read


def measure_tracks(
    tracks: TrackAnswers, temperature: float, readers: Mapping[MethodName, Reader]
) -> tuple[ShareResult, ...]:
    """Every way on the same tracks, by how many of their frames are spoiled; of films as they are.

    Args:
        tracks: what the classifier said.
        temperature: the classifier's.
        readers: attentions; weights of the last one are held against what is spoiled.
    """
    shares: Sequence[float | None] = SHARES if tracks.faults else (None,)
    return tuple(_measure(tracks, temperature, readers, part) for part in shares)


def _measure(
    tracks: TrackAnswers, temperature: float, readers: Mapping[MethodName, Reader], part: float | None
) -> ShareResult:
    spoiled = tracks.spoiled(part or 0.0, _SEED)
    frames = frames_of(tracks, spoiled, temperature)
    chances = baselines(frames)
    if tracks.faults:
        # What a way could give that knew which frames are spoiled.
        chances["mean of the frames that are not spoiled"] = _mean_of(frames.probabilities, ~spoiled)
    auc = None
    for name, read in readers.items():
        chances[name], weights = read(tracks, spoiled)
        if name == "attention":
            chances["weighted by attention"] = (weights[..., None] * frames.probabilities).sum(axis=1)
        auc = round(float(roc_auc_score(spoiled.ravel(), -weights.ravel())), 4) if 0 < spoiled.mean() < 1 else None
    named = {name: values.argmax(axis=1) for name, values in chances.items()}
    named["smoother"] = smoothed(frames)
    return ShareResult(
        spoiled=part,
        results=tuple(
            MethodResult(
                method=name,
                accuracy=share(labels == tracks.labels),
                over_mean=paired_estimate(labels == tracks.labels, named[BASELINE] == tracks.labels),
                nll=_likelihood(chances[name], tracks.labels) if name in chances else None,
            )
            for name, labels in sorted(named.items(), key=lambda item: _ORDER.index(item[0]))
        ),
        auc=auc,
    )


def frames_of(tracks: TrackAnswers, spoiled: NDArray[np.bool_], temperature: float) -> Frames:
    """What the classifier said of the frames, of which some are spoiled."""
    at = np.arange(len(tracks))[:, None], spoiled.astype(np.int64), np.arange(tracks.frames)
    return Frames(tracks.logits[at].astype(np.float64) / temperature, tracks.edges[at].astype(np.float64))


def baselines(frames: Frames) -> dict[MethodName, Logits]:
    """Probabilities `(n, 7)` of tracks by each way that needs no training."""
    probabilities, sharpness = frames.probabilities, frames.sharpness
    weights = sharpness / np.maximum(sharpness.sum(axis=1, keepdims=True), 1e-12)
    sharpest = sharpness.argmax(axis=1)
    return {
        "mean of logits": softmax(frames.logits.mean(axis=1)),
        "mean of probabilities": probabilities.mean(axis=1),
        "mean of good frames": _mean_of(frames.probabilities, frames.edges <= (SmoothSettings().max_blur or np.inf)),
        "sharpest frame": probabilities[np.arange(len(sharpest)), sharpest],
        "weighted by sharpness": (weights[..., None] * probabilities).sum(axis=1),
    }


def _mean_of(probabilities: NDArray[np.float64], chosen: NDArray[np.bool_]) -> Logits:
    """The mean `(n, 7)` of the probabilities of chosen frames, `(n, frames)`; of all where a track has none."""
    weights = np.where(chosen.any(axis=1, keepdims=True), chosen, True)
    return np.asarray((weights[..., None] * probabilities).sum(axis=1) / weights.sum(axis=1, keepdims=True))


def smoothed(frames: Frames) -> Labels:
    """`(n,)`: what the runtime's smoother shows at the end of each track, ten frames a second, at its defaults."""
    labels = []
    for track, edges in zip(frames.probabilities.tolist(), frames.edges.tolist(), strict=True):
        smoother, label = Smoother(SmoothSettings(min_confidence=0)), 0
        for frame, (probabilities, edge) in enumerate(zip(track, edges, strict=True)):
            quality = Quality(_EYES_PX, edge, 0.0, 0.0)
            shown = smoother.smooth(0, Expression(tuple(probabilities)), frame * 10**9 // FPS, quality)
            # A frame too poor to be read leaves the label that was there, as a viewer sees it.
            label = label if shown.label is None and frame else _place(shown.label, probabilities)
        labels.append(label)
    return np.array(labels, np.int64)


def _place(label: str | None, probabilities: list[float]) -> int:
    return LABELS.index(label) if label in LABELS else int(np.argmax(probabilities))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _likelihood(probabilities: NDArray[np.float64], labels: Labels) -> float:
    chosen = probabilities[np.arange(len(labels)), labels]
    return round(float(-np.log(np.maximum(chosen, _SMALLEST)).mean()), _DIGITS)
