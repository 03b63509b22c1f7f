"""The truth of a synthetic clip: written beside it, read back, and held against detections."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_fer.errors import OutputError, SourceError
from edge_fer.faces import boxes
from edge_fer.synthetic.portraits import Part, Scene, TrueFace
from edge_fer.types import Box, Face, Landmarks, Point

TrueFrames = tuple[tuple[TrueFace, ...], ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """What a clip shows.

    Attributes:
        version: version of the story; a higher one means other pictures for the same seed.
        seed: seed that the scene was made from.
        size: width and height, pixels.
        fps: frames a second.
        sha256: hash of the clip.
        parts: stretches whose number of visible faces is known.
        frames: the faces of each frame.
    """

    version: int
    seed: int
    size: tuple[int, int]
    fps: float
    sha256: str
    parts: tuple[Part, ...]
    frames: TrueFrames


@dataclass(frozen=True, slots=True)
class Score:
    """How detections compare with the truth.

    Attributes:
        visible: faces that had to be found.
        found: how many of them were.
        false_positives: detections that are no face, visible or not.
        eye_line_errors: error of the eye line of each visible face found, degrees, in order.
    """

    visible: int
    found: int
    false_positives: int
    eye_line_errors: tuple[float, ...]

    @property
    def recall(self) -> float:
        """Share of the visible faces that were found, 0..1; 1 where there was none."""
        return self.found / self.visible if self.visible else 1.0

    def eye_line_error(self, percentile: float) -> float:
        """Percentile (0..100) of the eye-line error, degrees; not a number where no face was found."""
        return float(np.percentile(self.eye_line_errors, percentile)) if self.eye_line_errors else math.nan


def true_frames(scene: Scene) -> TrueFrames:
    """The truth of every frame, to the precision that is written: 0.1 pixel, 0.1 degree."""
    return tuple(tuple(map(_rounded, scene.truth(index))) for index in range(scene.frames))


def write_truth(path: Path, truth: Truth) -> None:
    """Write a truth as JSON, one frame a line.

    Raises:
        OutputError: when the file cannot be written.
    """
    head = {
        "schema": "edge-fer/truth/1",
        "version": truth.version,
        "seed": truth.seed,
        "size": truth.size,
        "fps": truth.fps,
        "sha256": truth.sha256,
        "parts": [part._asdict() for part in truth.parts],
    }
    frames = ",\n".join(json.dumps([_to_json(face) for face in faces], separators=(",", ":")) for faces in truth.frames)
    try:
        path.write_text(json.dumps(head)[:-1] + f', "frames": [\n{frames}\n]}}\n')
    except OSError as error:
        raise OutputError(f"expected to write {path}, found: {error.strerror}; choose another folder") from error


def read_truth(path: Path) -> Truth:
    """Read what `write_truth` wrote.

    Raises:
        SourceError: when the file is missing or is not a truth.
    """
    try:
        record = json.loads(path.read_text())
        return Truth(
            record["version"],
            record["seed"],
            (record["size"][0], record["size"][1]),
            record["fps"],
            record["sha256"],
            tuple(Part(**part) for part in record["parts"]),
            tuple(tuple(map(_from_json, faces)) for faces in record["frames"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"expected the truth of a clip in {path}, found: {error!r}; make it again") from error


def evaluate(
    detections: Iterable[Sequence[Face]], truth: Iterable[Sequence[TrueFace]], score: float = 0.9, overlap: float = 0.4
) -> Score:
    """Hold detections against the truth of the same frames.

    In each frame the best overlapping pairs are matched first, every face and detection once. A face that
    is partly out of view or covered need not be found; a detection that lies on one is no false positive.

    Args:
        detections: detections in each frame.
        truth: true faces in each frame.
        score: detections below it do not count.
        overlap: intersection over union from which a detection is this face. Lower than between two
            detectors: the true box is upright and of fixed shape, MTCNN's changes with the angle.
    """
    visible = found = false_positives = 0
    errors: list[float] = []
    for detected, true_faces in zip(detections, truth, strict=True):
        faces = [face for face in detected if face.score >= score]
        to_find = [true for true in true_faces if true.visible]
        hidden = _corners([true.box for true in true_faces if not true.visible])
        pairs = match([face.box for face in faces], [true.box for true in to_find], overlap)
        left_over = [face.box for i, face in enumerate(faces) if i not in pairs]
        on_hidden = boxes.overlap(_corners(left_over), hidden, "smaller").max(axis=1, initial=0) >= overlap
        visible += len(to_find)
        found += len(pairs)
        false_positives += len(left_over) - int(on_hidden.sum())
        errors += [abs(eye_line_angle(faces[i].landmarks) - to_find[j].angle) for i, j in pairs.items()]
    return Score(visible, found, false_positives, tuple(errors))


def eye_line_angle(landmarks: Landmarks) -> float:
    """Angle of the line from the left to the right eye, degrees, clockwise in the picture."""
    left, right = landmarks.left_eye, landmarks.right_eye
    return math.degrees(math.atan2(right.y - left.y, right.x - left.x))


def match(found: Sequence[Box], true: Sequence[Box], overlap: float) -> dict[int, int]:
    """Which box is which true one, by their places; the best pairs first.

    Args:
        found: boxes.
        true: boxes.
        overlap: intersection over union that a pair has at least.
    """
    union = boxes.overlap(_corners(found), _corners(true))
    best_first = np.argsort(-union, axis=None, kind="stable")
    pairs: dict[int, int] = {}
    for i, j in zip(*(axis.tolist() for axis in np.unravel_index(best_first, union.shape)), strict=True):
        if union[i, j] >= overlap and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def _corners(rectangles: Sequence[Box]) -> boxes.Boxes:
    corners = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in rectangles]
    return np.array(corners, dtype=np.float32).reshape(-1, 4)


def _rounded(face: TrueFace) -> TrueFace:
    return _from_json(_to_json(face))


def _to_json(face: TrueFace) -> dict[str, Any]:
    marks = face.landmarks
    points = (marks.left_eye, marks.right_eye, marks.nose, marks.mouth_left, marks.mouth_right)
    return {
        "entry": face.entry,
        "name": face.name,
        "box": [round(value, 1) for value in face.box],
        "landmarks": [[round(x, 1), round(y, 1)] for x, y in points],
        "angle": round(face.angle, 1),
        "visible": face.visible,
    }


def _from_json(record: dict[str, Any]) -> TrueFace:
    return TrueFace(
        record["entry"],
        record["name"],
        Box(*record["box"]),
        Landmarks(*(Point(*point) for point in record["landmarks"])),
        record["angle"],
        record["visible"],
    )
