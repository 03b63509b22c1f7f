"""Tracks of a data set, and a classifier that reads them: what training and measurement of an attention begin with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from edge_fer.common.machine import machine
from edge_fer.errors import ModelError, SourceError
from edge_fer.expression.attention import Attention, open_attention
from edge_fer.inference.manifest_aggregate import AggregateSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.dataset import SPLITS, Dataset, Split
from edge_fer.lab.datasets.tracks import FRAMES, SyntheticTrack, are_tracks, read_track, synthetic_tracks
from edge_fer.lab.evaluation.contenders import Artefact, find_artefact
from edge_fer.lab.evaluation.faces import SPLIT_NAMES
from edge_fer.lab.evaluation.feature_reader import FeatureReader
from edge_fer.lab.evaluation.over_time import Reader, measure_tracks, read_by
from edge_fer.lab.evaluation.strips import draw_strip
from edge_fer.lab.evaluation.track_answers import TrackAnswers, answers_of_tracks, evenly
from edge_fer.lab.evaluation.tracks_record import MethodName, TrackData, TracksEvaluation, TracksRecord
from edge_fer.lab.files import writing
from edge_fer.types import LABELS

_PACKAGES = ("edge-fer", "ai-edge-litert", "numpy")
_TIMED = 500  # answers of the attention


@dataclass(frozen=True, slots=True)
class TrackSource:
    """Where tracks come from.

    Attributes:
        dataset: tracks, or single faces of which synthetic tracks are made.
        seed: seed of the draw, and of all that is drawn for synthetic tracks.
        cache: folder of what classifiers said, so that each track is read once.
    """

    dataset: Dataset
    seed: int
    cache: Path

    def of(self, split: Split, count: int, frames: int = FRAMES) -> tuple[Dataset, TrackData]:
        """Some tracks of a split, drawn, and which they are.

        Args:
            split: the split.
            count: at most so many; 0: all.
            frames: of each.

        Raises:
            SourceError: when the split has none.
        """
        films = are_tracks(self.dataset.images)
        tracks = (self.dataset if films else synthetic_tracks(self.dataset, self.seed, frames)).only(split)
        if not len(tracks):
            raise SourceError(f"expected {SPLITS[split]} tracks in {self.dataset.name}, found none; check its splits")
        of = len(tracks)
        if 0 < count < of:
            tracks = tracks.take(np.sort(np.random.default_rng(self.seed).permutation(of)[:count]))
        data = TrackData(
            name=self.dataset.name,
            split=SPLIT_NAMES[split],
            tracks=len(tracks),
            of=of,
            frames=frames,
            synthetic=not films,
            seed=self.seed,
        )
        return tracks, data

    def answers(self, artefact: Artefact, tracks: Dataset, data: TrackData, report: Reporter) -> TrackAnswers:
        """What a classifier says of tracks; see `answers_of_tracks`."""
        with FeatureReader(artefact.name, artefact.spec, artefact.content) as reader:
            return answers_of_tracks(reader, tracks, self.cache, report, data.frames)


def evaluate_tracks(
    source: TrackSource,
    store: ModelStore,
    model: str,
    split: Split,
    count: int,
    report: Reporter,
    folder: Path,
    strips: int = 0,
) -> TracksRecord:
    """Measure a classifier of a folder, with its attention where it has one, on the tracks of a split.

    Args:
        source: where tracks come from.
        store: the folder of models.
        model: the classifier's name.
        split: whose tracks.
        count: how many, at most; 0: all.
        report: receives progress.
        folder: where pictures of tracks go.
        strips: of how many.

    Raises:
        ModelError: when a model is missing, corrupt, or gives no logits of the seven labels; or pictures are wanted
            and there is no attention.
        SourceError: when there are no tracks, or a frame cannot be read.
        OutputError: when a folder cannot be written.
    """
    artefact, attention = find_artefact(store, model), open_attention(store, model)
    if strips and attention is None:
        raise ModelError(
            f"expected an attention of `{model}` for --strips, found none; make it: edge-fer lab attention"
        )
    tracks, data = source.of(split, count)
    answers = source.answers(artefact, tracks, data, report)
    readers: dict[MethodName, Reader] = {} if attention is None else {"attention": read_by(attention)}
    shares = measure_tracks(answers, artefact.spec.temperature, readers)
    if attention is not None:
        write_strips(folder, tracks, answers, attention, strips)
    record = describe(artefact, attention, {}, TracksEvaluation(data=data, shares=shares))
    aggregates = (spec for spec in store.specs.values() if isinstance(spec, AggregateSpec))
    digest = next((spec.sha256 for spec in aggregates if spec.of == model), None)
    return record.model_copy(update={"attention": digest})


def describe(
    artefact: Artefact,
    attention: Attention | None,
    training: Mapping[str, str | int | float],
    *evaluations: TracksEvaluation,
) -> TracksRecord:
    """The record of what was measured."""
    return TracksRecord(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions={name: version(name) for name in _PACKAGES},
        machine=machine(),
        model=artefact.identity,
        attend_us=None if attention is None else duration_us(attention),
        training=dict(training),
        evaluations=evaluations,
    )


def duration_us(attention: Attention) -> float:
    """Median duration of one answer over all frames that the runtime remembers, microseconds."""
    frames = np.random.default_rng(0).normal(0, 1, (FRAMES, attention.width)).astype(np.float32)
    times = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        attention.attend(frames)
        times.append(time.perf_counter() - start)
    return round(float(np.median(times)) * 1e6, 1)


def write_strips(folder: Path, tracks: Dataset, answers: TrackAnswers, attention: Attention, count: int) -> None:
    """Draw the first tracks with the weights of their frames: `track_NUMBER.png`; they show faces.

    Raises:
        OutputError: when the folder cannot be written.
    """
    for number in range(min(count, len(tracks))):
        film = read_track(tracks.images, number)
        spoiled = film.spoiled if isinstance(film, SyntheticTrack) else np.zeros(answers.frames, bool)
        frames = [film[frame] for frame in evenly(len(film), answers.frames)]
        at = (np.array(number), spoiled.astype(np.int64), np.arange(answers.frames))
        found = attention.attend(answers.real(at))
        named = LABELS[int(found.probabilities.argmax())]
        caption = f"{LABELS[tracks.labels[number]]}, named {named} ({found.probabilities.max():.0%})"
        with writing(folder / f"track_{number:03}.png") as path:
            cv2.imwrite(str(path), draw_strip(frames, found.weights, spoiled, caption))
