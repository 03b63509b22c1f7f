"""Aff-Wild2: videos, and for each a file with the expression of every frame; brought into Darknet's layout.

Kollias and Zafeiriou, "Expression, Affect, Action Unit Recognition: Aff-Wild2, Multi-Task Learning and ArcFace", 2019.
A file of annotations has a line of names and then a line for each frame: a number of `AFFWILD2`, or -1 where there is
none. It comes without boxes: the runtime's detector finds them. A video that shows two people has files for the
`_left` and the `_right` one.

The videos of its training and validation folders never meet: Aljaz (2020) draws test frames out of the videos that were
trained on, where the next frame shows the same face with the same expression.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from edge_fer.capture.sources.film import FILM_SUFFIXES
from edge_fer.capture.sources.video import Video
from edge_fer.errors import OutputError, SourceError
from edge_fer.faces.detectors import Detector
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.datasets.dataset import reading
from edge_fer.lab.datasets.labels import AFFWILD2, index_of
from edge_fer.lab.files import writing
from edge_fer.types import LABELS, Face, Image

_FOLDERS = {"train": "Train_Set", "valid": "Validation_Set"}
_PEOPLE = ("_left", "_right")
_NONE = -1
_QUALITY = 92  # of the JPEG, percent


@dataclass(slots=True)
class Converted:
    """What became of the videos.

    Attributes:
        pictures: how many were written, by split.
        faces: labelled faces in them, by expression.
        without_face: frames in which the detector found no face.
        left_out: one line for each file that could not be used.
    """

    pictures: Counter[str] = field(default_factory=Counter)
    faces: Counter[str] = field(default_factory=Counter)
    without_face: int = 0
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Annotated:
    """A video and its annotations: of the only face under an empty name, or of `_left` and `_right`."""

    name: str
    split: str
    people: Mapping[str, Sequence[int]]


def convert(folder: Path, out: Path, detector: Detector, every: int, progress: Progress = silent) -> Converted:
    """Write pictures with boxes for `edge-fer lab train-detector`.

    Faces that no annotation is of, and frames of -1, become faces without label.

    Args:
        folder: Aff-Wild2's, with `Train_Set/` and `Validation_Set/` of annotations and the videos anywhere in it.
        out: a new folder, which gets `images/`, `labels/`, lists, names, and `affwild2.data`.
        detector: the runtime's.
        every: one frame of so many is taken.
        progress: called after each video.

    Raises:
        SourceError: when there are no annotations, or one video is of both splits.
        OutputError: when `out` is not empty, or cannot be written.
    """
    if out.exists() and any(out.iterdir()):
        raise OutputError(f"expected an empty folder for the pictures, found files in {out}; choose another")
    result = Converted()
    annotated = _annotations(folder, result.left_out)
    videos = {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in FILM_SUFFIXES}
    lists: dict[str, list[str]] = {split: [] for split in _FOLDERS}
    with writing(out / "affwild2.data"):
        for name in ("images", "labels"):
            (out / name).mkdir(parents=True)
        for number, each in enumerate(annotated, 1):
            if each.name in videos:
                lists[each.split] += _write_frames(each, videos[each.name], out, detector, every, result)
            else:
                result.left_out.append(f"expected the video {each.name} below {folder}, found none")
            progress(number, len(annotated))
        for split, names in lists.items():
            (out / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        (out / "affwild2.names").write_text("".join(f"{label}\n" for label in LABELS), encoding="utf-8")
        said = f"classes = {len(LABELS)}\ntrain = train.txt\nvalid = valid.txt\nnames = affwild2.names\n"
        (out / "affwild2.data").write_text(said, encoding="utf-8")
    return result


def read_annotations(path: Path) -> tuple[int, ...]:
    """The label of each frame: an index into `LABELS`, or -1.

    Raises:
        SourceError: when a line is no label, with its number.
    """
    with reading(path, "Aff-Wild2's annotations"):
        lines = path.read_text(encoding="utf-8").splitlines()
    first = lines[0].lower().replace(" ", "").split(",") if lines else []
    if first[: len(AFFWILD2)] != [AFFWILD2[number] for number in AFFWILD2]:
        raise SourceError(
            f"expected a first line of {', '.join(AFFWILD2.values())} in {path}, found {(lines or [''])[0][:80]!r}"
        )
    return tuple(_label(line, f"{path}, line {number}") for number, line in enumerate(lines[1:], 2) if line.strip())


def _label(line: str, where: str) -> int:
    text = line.strip()
    if text == str(_NONE):
        return _NONE
    if not (text.isascii() and text.isdigit() and int(text) in AFFWILD2):
        raise SourceError(f"expected a number of -1 to {max(AFFWILD2)} in {where}, found {text[:40]!r}")
    return index_of(AFFWILD2[int(text)])


def _annotations(folder: Path, left_out: list[str]) -> list[_Annotated]:
    """The annotated videos of both splits."""
    found: dict[str, tuple[str, dict[str, Sequence[int]]]] = {}
    for split, name in _FOLDERS.items():
        for path in sorted(folder.rglob(f"{name}/*.txt")):
            person = next((person for person in _PEOPLE if path.stem.endswith(person)), "")
            video = path.stem.removesuffix(person)
            if found.setdefault(video, (split, {}))[0] != split:
                raise SourceError(
                    f"expected each video in one of {' and '.join(_FOLDERS.values())} of {folder}, found {video} in "
                    "both; a network would be measured on faces that it has learned"
                )
            try:
                found[video][1][person] = read_annotations(path)
            except SourceError as error:
                left_out.append(str(error))
    if not any(people for _, people in found.values()):
        raise SourceError(f"expected annotations in {' and '.join(_FOLDERS.values())} below {folder}, found none")
    return [_Annotated(video, split, people) for video, (split, people) in sorted(found.items()) if people]


def _write_frames(
    each: _Annotated, path: Path, out: Path, detector: Detector, every: int, result: Converted
) -> Iterator[str]:
    """Write some frames of a video with their faces; gives the paths of the pictures."""
    try:
        with closing(Video(path)) as video:
            for number, image in _every(video, every):
                faces = sorted(detector.find(image), key=lambda face: face.box.x)
                result.without_face += not faces
                if faces:
                    labels = _labels(each, faces, number)
                    name = f"{each.name}-{number:06d}"
                    _write_picture(out, name, image, faces, labels)
                    result.pictures[each.split] += 1
                    result.faces.update(LABELS[label] for label in labels if label != _NONE)
                    yield f"images/{name}.jpg"
    except SourceError as error:
        result.left_out.append(str(error))


def _every(video: Video, every: int) -> Iterator[tuple[int, Image]]:
    """One frame of so many, with its number from 0."""
    number = 0
    while (frame := video.read()) is not None:
        if number % every == 0:
            yield number, frame.image
        number += 1


def _write_picture(out: Path, name: str, image: Image, faces: Sequence[Face], labels: Sequence[int]) -> None:
    written = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    (out / "images" / f"{name}.jpg").write_bytes(written)
    lines = "".join(_line(face, label, image) for face, label in zip(faces, labels, strict=True))
    (out / "labels" / f"{name}.txt").write_text(lines, encoding="utf-8")


def _labels(each: _Annotated, faces: Sequence[Face], frame: int) -> list[int]:
    """The label of each face, from left to right; -1 where no annotation is surely of it."""

    def of(person: str) -> int:
        labels = each.people.get(person, ())
        return labels[frame] if frame < len(labels) else _NONE

    if set(each.people) == {""}:
        return [of("")] if len(faces) == 1 else [_NONE] * len(faces)
    if len(faces) != len(_PEOPLE):
        return [_NONE] * len(faces)
    return [of(person) for person in _PEOPLE]


def _line(face: Face, label: int, image: Image) -> str:
    """A face as a line of Darknet, cut at the picture's edge."""
    height, width = image.shape[:2]
    left, right = (min(max(x, 0.0), width) / width for x in (face.box.x, face.box.x + face.box.width))
    top, bottom = (min(max(y, 0.0), height) / height for y in (face.box.y, face.box.y + face.box.height))
    values = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
    return f"{label} {' '.join(f'{value:.6f}' for value in values)}\n"
