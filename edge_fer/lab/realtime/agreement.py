"""Whether the quick way reads what the plain one reads: the same faces, moving, through both pipelines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from edge_fer.lab.console import Progress
from edge_fer.lab.datasets.dataset import Dataset
from edge_fer.lab.datasets.pasting import FRAME, LARGEST, SMALLEST
from edge_fer.lab.realtime.baseline import Plain
from edge_fer.recognizer import RecognizedFaces, Recognizer
from edge_fer.settings import Settings
from edge_fer.status.monitor import Monitor
from edge_fer.types import LABELS, Expression, Face, Frame, Image, Label

_FPS = 30.0
_MOST = 4.0, 4.0, 0.01  # pixels a frame to the right and down, and part of the side a frame
_NOISE = 3.0  # standard deviation, grey levels
_APART_NS = 10**10  # in the scene's time between two faces: nothing of the one is known of the other


@dataclass(frozen=True, slots=True)
class Agreement:
    """One expression's faces, as annotated.

    Attributes:
        label: the expression.
        faces: how many faces.
        frames: frames in which they were shown.
        both: those in which both pipelines found the face.
        agreed: those of `both` in which they gave it the same label.
        plain_right: those of `both` in which the plain pipeline's label was the annotators'.
        right: those of `both` in which the runtime's was.
        pairs: frames in which the plain pipeline found the face, as in the frame before.
        kept: those of `pairs` in which the plain pipeline gave it the label of the frame before: how far a label
            hangs on a pixel.
        own_pairs: the same of the runtime as `pairs`.
        own_kept: the same of the runtime as `kept`, before smoothing.
    """

    label: Label
    faces: int
    frames: int
    both: int
    agreed: int
    plain_right: int
    right: int
    pairs: int
    kept: int
    own_pairs: int
    own_kept: int


def compare(
    settings: Settings, faces: Dataset, each: int, frames: int, progress: Progress, *, still: bool = False
) -> tuple[Agreement, ...]:
    """Show faces in motion to the plain pipeline and to the runtime; labels are those before smoothing.

    Args:
        settings: the runtime's settings.
        faces: crops and their labels.
        each: faces of each expression, at most.
        frames: frames that each face is shown in.
        progress: called after each face.
        still: whether the faces stand still instead, before a camera that has noise.

    Returns:
        One row an expression that there are faces of.
    """
    chosen = {label: np.flatnonzero(faces.labels == index)[:each] for index, label in enumerate(LABELS)}
    total, done = sum(map(len, chosen.values())), 0
    rows = []
    with Plain() as plain, Recognizer(settings, Monitor(1.0).stage) as recognizer:
        clock = _Clock()
        for label, indices in chosen.items():
            counts: Counter[str] = Counter()
            for index in indices.tolist():
                images = list((standing if still else moving)(faces.images[index], index, frames))
                theirs = [_largest(plain.process(image)) for image in images]
                ours = [_likeliest(found) for found in recognizer.read(clock.frames(images))]
                counts += _counted(theirs, ours, label)
                done += 1
                progress(done, total)
            if len(indices):
                rows.append(_row(label, len(indices), frames, counts))
    return tuple(rows)


def moving(face: Image, seed: int, count: int) -> Iterator[Image]:
    """A crop that moves and grows evenly before a plain wall.

    Args:
        face: `(height, width)` uint8, grey, about square.
        seed: seed of its first place, size and motion.
        count: how many frames.

    Yields:
        `(600, 600, 3)` uint8, BGR.
    """
    rng = np.random.default_rng(seed)
    side = rng.uniform(SMALLEST, LARGEST)
    right, down, growth = rng.uniform(-1, 1, 3) * _MOST
    way = np.array([right, down]) * (count - 1)
    room = FRAME - side * (1 + max(growth, 0) * (count - 1))
    left, top = np.clip(rng.uniform(0, room, 2), np.maximum(-way, 0), room - np.maximum(way, 0))
    wall = np.full((FRAME, FRAME), int(face.mean()), np.uint8)
    for number in range(count):
        scale = side * (1 + growth * number) / face.shape[0]
        place = np.array([[scale, 0, left + right * number], [0, scale, top + down * number]])
        grey = cv2.warpAffine(
            face, place, (FRAME, FRAME), wall.copy(), cv2.INTER_CUBIC, borderMode=cv2.BORDER_TRANSPARENT
        )
        yield np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)


def standing(face: Image, seed: int, count: int) -> Iterator[Image]:
    """A crop that stands still where `moving` shows it first, with noise of 3 grey levels that is new in each frame.

    Args:
        face: `(height, width)` uint8, grey, about square.
        seed: seed of its place and size, and of the noise.
        count: how many frames.

    Yields:
        `(600, 600, 3)` uint8, BGR.
    """
    rng = np.random.default_rng(seed)
    first = next(moving(face, seed, count))
    for _ in range(count):
        yield np.clip(first + rng.normal(0, _NOISE, first.shape), 0, 255).astype(np.uint8)


class _Clock:
    """Frame numbers and times of the scene, with a long gap between faces."""

    def __init__(self) -> None:
        self._number, self._scene_ns = 0, 0

    def frames(self, images: Sequence[Image]) -> Iterator[Frame]:
        """The pictures as frames of one scene."""
        self._scene_ns += _APART_NS
        for image in images:
            self._number += 1
            self._scene_ns += round(1e9 / _FPS)
            yield Frame(self._number, image, time.monotonic_ns(), time.time(), self._scene_ns)


def _row(label: Label, faces: int, frames: int, counts: Counter[str]) -> Agreement:
    counted = ("both", "agreed", "plain_right", "right", "pairs", "kept", "own_pairs", "own_kept")
    return Agreement(label, faces, faces * frames, **{name: counts[name] for name in counted})


def _counted(theirs: Sequence[Label | None], ours: Sequence[Label | None], label: Label) -> Counter[str]:
    """What the frames of one face add to the fields of `Agreement`."""
    counts: Counter[str] = Counter()
    for plain, runtime in zip(theirs, ours, strict=True):
        if plain is not None and runtime is not None:
            counts.update(both=1, agreed=plain == runtime, plain_right=plain == label, right=runtime == label)
    for before, now in _pairs(theirs):
        counts.update(pairs=1, kept=before == now)
    for before, now in _pairs(ours):
        counts.update(own_pairs=1, own_kept=before == now)
    return counts


def _pairs(labels: Sequence[Label | None]) -> list[tuple[Label, Label]]:
    """Labels of a frame and of the one before it, where both have one."""
    return [(before, now) for before, now in pairwise(labels) if before is not None and now is not None]


def _largest(readings: Sequence[tuple[Face, Expression]]) -> Label | None:
    """The label of the largest face; None where there is none."""
    largest = max(readings, key=lambda read: read[0].box.width * read[0].box.height, default=None)
    return None if largest is None else largest[1].label


def _likeliest(found: RecognizedFaces) -> Label | None:
    """The same of the runtime's, before smoothing and whether it abstains or not."""
    face = max(found.faces, key=lambda face: face.box.width * face.box.height, default=None)
    if face is None:
        return None
    return max(LABELS, key=face.probabilities.__getitem__)
