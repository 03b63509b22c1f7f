"""What a classifier said of every frame of many tracks: features, logits and sharpness, kept in a folder.

Each frame of a synthetic track is read twice, as it is and spoiled. Any share of spoiled frames is then a choice
between the two, so that the same tracks are seen at each share, and nothing has to be read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.faces.quality import edge_width
from edge_fer.lab.arrays import read_npz
from edge_fer.lab.console import Progress, Reporter
from edge_fer.lab.datasets.dataset import Dataset, Images
from edge_fer.lab.datasets.faults import Fault, spoiled_frames
from edge_fer.lab.datasets.pictures import resize
from edge_fer.lab.datasets.tracks import FRAMES, SyntheticTrack, read_track
from edge_fer.lab.evaluation.feature_reader import FeatureReader
from edge_fer.lab.files import replacing
from edge_fer.types import LABELS, Image


@dataclass(frozen=True, slots=True)
class TrackAnswers:
    """What was said of tracks; the axis of 2 is frames as they are, and frames spoiled. Films have the first only.

    Attributes:
        features: `(n, 2, frames, d)` of the network's own type, int8 where it is quantized.
        scale: real features are (features - zero_point) * scale.
        zero_point: see `scale`.
        logits: `(n, 2, frames, 7)` float32, real, before the classifier's temperature.
        edges: `(n, 2, frames)` float32: width of the edges, a measure of blur, part of the side.
        labels: `(n,)`, indices into `LABELS`.
        targets: `(n, 7)`: the annotators' votes.
        faults: the faults of each track; empty for films.
    """

    features: NDArray[np.generic]
    scale: float
    zero_point: int
    logits: NDArray[np.float32]
    edges: NDArray[np.float32]
    labels: NDArray[np.int64]
    targets: NDArray[np.float32]
    faults: tuple[tuple[Fault, ...], ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def frames(self) -> int:
        """Frames of each track."""
        return self.features.shape[2]

    def real(self, places: tuple[NDArray[np.int64], ...]) -> NDArray[np.float32]:
        """Real features at some places of the first axes, `(..., d)` float32."""
        return ((self.features[places].astype(np.float32) - self.zero_point) * self.scale).astype(np.float32)

    def spoiled(self, share: float, seed: int) -> NDArray[np.bool_]:
        """`(n, frames)`: which frames are spoiled where a share of each track is; none of films."""
        if not self.faults:
            return np.zeros((len(self), self.frames), bool)
        return np.stack(
            [
                spoiled_frames(faults, share, np.random.default_rng([seed, number, round(100 * share)]))
                for number, faults in enumerate(self.faults)
            ]
        )


def answers_of_tracks(
    reader: FeatureReader, tracks: Dataset, cache: Path, report: Reporter, frames: int = FRAMES
) -> TrackAnswers:
    """What a classifier says of tracks, which are read only where that is not known yet.

    Args:
        reader: the classifier.
        tracks: the tracks.
        cache: the folder.
        report: receives progress.
        frames: frames of each track that are read: all of a synthetic one, and of films as many, evenly spread.

    Raises:
        ModelError: when a kept file is damaged.
        SourceError: when a frame cannot be read.
        OutputError: when the folder cannot be written.
    """
    films = [read_track(tracks.images, index) for index in range(len(tracks))]
    key = hashlib.sha256(f"{reader.fingerprint} {frames} {_fingerprint(films)}".encode()).hexdigest()[:16]
    path = cache / f"tracks-{reader.name}-{key}.npz"
    if path.is_file():
        arrays = read_npz(path)
    else:
        with report.step(f"{reader.name} on {len(tracks)} tracks") as progress:
            arrays = _read_all(reader, films, frames, progress)
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    return TrackAnswers(
        features=arrays["features"],
        scale=reader.features.scale or 1.0,
        zero_point=reader.features.zero_point,
        logits=arrays["logits"],
        edges=arrays["edges"],
        labels=tracks.labels,
        targets=tracks.targets,
        faults=tuple(film.faults for film in films if isinstance(film, SyntheticTrack)),
    )


def _fingerprint(films: Sequence[Images]) -> str:
    """A hash of the first and the last frame of each track as it is and spoiled, by which it is told from others."""
    digest = hashlib.sha256()
    for film in films:
        for frame in (0, len(film) - 1):
            digest.update(b"".join(np.ascontiguousarray(picture).tobytes() for picture in _variants(film, frame)))
    return digest.hexdigest()


def _variants(film: Images, frame: int) -> tuple[Image, ...]:
    """A frame as it is, and spoiled where the track is synthetic."""
    return (film.clean(frame), film.spoilt(frame)) if isinstance(film, SyntheticTrack) else (film[frame],)


def _read_all(
    reader: FeatureReader, films: Sequence[Images], frames: int, progress: Progress
) -> dict[str, NDArray[Any]]:
    shape = (len(films), len(_variants(films[0], 0)), frames)
    features = np.empty((*shape, reader.width), reader.features.dtype)
    logits, edges = np.empty((*shape, len(LABELS)), np.float32), np.empty(shape, np.float32)
    for number, film in enumerate(films):
        for place, frame in enumerate(evenly(len(film), frames)):
            for variant, picture in enumerate(_variants(film, frame)):
                at = (number, variant, place)
                face = resize(picture, reader.size)
                features[at], logits[at] = reader.read(np.repeat(face[..., None], 3, 2) if reader.colour else face)
                edges[at] = edge_width(face)
        progress(number + 1, len(films))
    return {"features": features, "logits": logits, "edges": edges}


def evenly(length: int, count: int) -> list[int]:
    """So many of a film's frames, evenly spread; some twice where the film is shorter."""
    return [int((place + 0.5) * length / count) for place in range(count)]
