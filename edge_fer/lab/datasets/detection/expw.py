"""ExpW, the set of "Expression in-the-Wild": `label.lst` with a line for each face, and the pictures.

Zhang et al., "From Facial Expression Recognition to Interpersonal Relation Prediction", 2018. A line is

    name face_id top left right bottom confidence label

with the sides of the box in pixels, and the labels of `EXPW`. The boxes were found by a detector whose confidence is
0..100; Aljaz (2020) keeps those above 50. A face below is one without label, not background. It comes without splits.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import Split, reading
from edge_fer.lab.datasets.detection.pictures import UNLABELLED, DetectionSet, FilePictures, ListedFace
from edge_fer.lab.datasets.labels import EXPW, index_of

LIST = "label.lst"

_CONFIDENT = 50.0
_IMAGES = ("image", "origin", "images", ".")
_SHARE = 10  # of 100 pictures so many are of validation, and as many of test


class _Line(NamedTuple):
    name: str
    face: ListedFace


def find_list(folder: Path) -> Path | None:
    """The list of a folder; None where there is none."""
    return next((path for path in (folder / LIST, folder / "label" / LIST) if path.is_file()), None)


def load_expw(path: Path) -> DetectionSet:
    """Read the set of a list.

    A tenth of the pictures each, drawn by a hash of their names, is of validation and of test. Lines that are no face
    and pictures that are missing are left out, with a line that says so.

    Args:
        path: `label.lst`; the pictures lie in `image/` or `origin/` beside it.

    Raises:
        SourceError: when the list cannot be read, or a split has no picture.
    """
    with reading(path, "ExpW's list of faces"):
        lines = path.read_text(encoding="utf-8").splitlines()
    left_out: list[str] = []
    faces: dict[str, list[ListedFace]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            name, face = _read_line(line, f"{path}, line {number}")
        except SourceError as error:
            left_out.append(str(error))
            continue
        faces.setdefault(name, []).append(face)
    folder = next(path.parent / name for name in _IMAGES if (path.parent / name).is_dir())
    there = {name: listed for name, listed in faces.items() if (folder / name).is_file()}
    left_out += [f"expected the picture {name} in {folder}, found none" for name in faces.keys() - there.keys()]
    splits = {split: _pictures(folder, there, split) for split in Split}
    empty = next((split.name.lower() for split, pictures in splits.items() if not len(pictures)), None)
    if empty:
        raise SourceError(f"expected pictures of {path} in {folder}, found none of {empty}; unpack them there")
    return DetectionSet(splits[Split.TRAINING], splits[Split.VALIDATION], splits[Split.TEST], tuple(sorted(left_out)))


def _read_line(line: str, where: str) -> _Line:
    try:
        name, _, *numbers = line.split()
        top, left, right, bottom, confidence, number = map(float, numbers)
        label = index_of(EXPW[int(number)])
    except (KeyError, OverflowError, ValueError):
        expected = "name face_id top left right bottom confidence label"
        raise SourceError(f"expected `{expected}` in {where}, found {line[:80]!r}") from None
    if not (left < right and top < bottom):
        raise SourceError(f"expected a box with top < bottom and left < right in {where}, found {line[:80]!r}")
    return _Line(name, ListedFace((left, top, right, bottom), label if confidence > _CONFIDENT else UNLABELLED))


def _pictures(folder: Path, faces: dict[str, list[ListedFace]], split: Split) -> FilePictures:
    names = [name for name in sorted(faces) if _split_of(name) == split]
    paths = tuple(folder / name for name in names)
    return FilePictures(f"ExpW, {split.name.lower()}", paths, tuple(tuple(faces[name]) for name in names))


def _split_of(name: str) -> Split:
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % 100
    if place < _SHARE:
        return Split.TEST
    return Split.VALIDATION if place < 2 * _SHARE else Split.TRAINING
