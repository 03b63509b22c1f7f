"""Pictures with boxes as Darknet and YOLO take them.

A .data file names lists of pictures (`train`, `valid`) and the file of the names of classes (`names`). Beside each
picture, or in `labels/` where it is in `images/`, lies a .txt file with a line for each face:

    class cx cy width height

class counts from 0 in the file of names; the rest are parts of the picture's width and height. A class of -1, which
Darknet does not know, is a face without label.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import reading
from edge_fer.lab.datasets.detection.pictures import UNLABELLED, DetectionSet, FilePictures, ListedFace
from edge_fer.lab.datasets.labels import NOT_OURS, index_of


def find_data_file(folder: Path) -> Path | None:
    """The .data file of a folder; None where there is none, or more than one."""
    found = sorted(folder.glob("*.data"))
    return found[0] if len(found) == 1 else None


def load_darknet(path: Path) -> DetectionSet:
    """Read the set of a .data file.

    A picture that is missing, or whose boxes cannot be read, is left out with a line that says so.

    Args:
        path: the .data file; what it names lies where it says, from the folder of the file.

    Raises:
        SourceError: when the file, its lists or its names cannot be read, or a split has no picture.
    """
    said = dict(_settings(path))
    missing = [key for key in ("train", "valid", "names") if key not in said]
    if missing:
        raise SourceError(f"expected `train`, `valid` and `names` in {path}, found no `{missing[0]}`")
    labels = _labels(path.parent / said["names"])
    left_out: list[str] = []
    splits = [_pictures(path.parent / said[key], labels, left_out) for key in ("train", "valid")]
    test = _pictures(path.parent / said["test"], labels, left_out) if "test" in said else None
    return DetectionSet(splits[0], splits[1], test, tuple(left_out))


def read_boxes(path: Path, labels: tuple[int, ...]) -> tuple[ListedFace, ...]:
    """The faces of one picture, in parts of its sides.

    Args:
        path: its .txt file.
        labels: what each class is, an index into `LABELS` or `UNLABELLED`.

    Raises:
        SourceError: when a line is no box, with its number.
    """
    with reading(path, "boxes of a picture"):
        lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(
        parse_face(line, labels, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()
    )


def parse_face(line: str, labels: tuple[int, ...], where: str) -> ListedFace:
    """One line of a .txt file; see `read_boxes`.

    Args:
        line: the line.
        labels: what each class is.
        where: which line it is, for the message.

    Raises:
        SourceError: when it is no box.
    """
    try:
        number, x, y, width, height = map(float, line.split())
    except ValueError:
        raise SourceError(f"expected `class cx cy width height` in {where}, found {line[:60]!r}") from None
    if number not in range(-1, len(labels)):
        raise SourceError(f"expected a class of -1 to {len(labels) - 1} in {where}, found {number:g}")
    if not all(math.isfinite(value) for value in (x, y, width, height)) or not (0 < width <= 1 and 0 < height <= 1):
        raise SourceError(f"expected a box in parts of the picture in {where}, found {line[:60]!r}")
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return ListedFace(box, labels[int(number)] if number >= 0 else UNLABELLED)


def _settings(path: Path) -> Iterator[tuple[str, str]]:
    with reading(path, "a .data file of Darknet"):
        lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        key, equals, value = line.partition("=")
        if equals:
            yield key.strip(), value.strip()


def _labels(path: Path) -> tuple[int, ...]:
    """What each class is; one that is none of the seven is a face without label."""
    with reading(path, "the names of classes"):
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    try:
        found = tuple(index_of(name) for name in names)
    except KeyError as error:
        raise SourceError(f"expected names of expressions in {path}, found {error}") from error
    if not found:
        raise SourceError(f"expected a name of an expression a line in {path}, found none")
    return tuple(UNLABELLED if label == NOT_OURS else label for label in found)


def _pictures(path: Path, labels: tuple[int, ...], left_out: list[str]) -> FilePictures:
    with reading(path, "a list of pictures"):
        lines = path.read_text(encoding="utf-8").splitlines()
    paths, faces = [], []
    for picture in (path.parent / line.strip() for line in lines if line.strip()):
        if not picture.is_file():
            left_out.append(f"expected a picture at {picture}, found none")
            continue
        try:
            faces.append(read_boxes(_boxes_of(picture), labels))
        except SourceError as error:
            left_out.append(str(error))
        else:
            paths.append(picture)
    if not paths:
        raise SourceError(f"expected pictures in {path}, found none that can be used; check the paths in it")
    return FilePictures(f"{path.parent.name}, {path.name}", tuple(paths), tuple(faces), in_parts=True)


def _boxes_of(picture: Path) -> Path:
    beside = picture.with_suffix(".txt")
    parts = list(beside.parts)
    if "images" in parts:
        place = len(parts) - 1 - parts[::-1].index("images")
        parts[place] = "labels"
        apart = Path(*parts)
        return apart if apart.is_file() else beside
    return beside
