"""AffectNet, as given out in 2017 (lists of annotations) and since 2021 (a file for each annotation).

Mollahosseini et al., "AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in
the Wild", 2019. Its test split was never given out: its validation split plays both parts.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import SUFFIXES, Dataset, FileImages, Split, hard, pictures_below, reading
from edge_fer.lab.datasets.labels import AFFECTNET, NOT_OURS, index_of

_LISTS = {"training.csv": Split.TRAINING, "validation.csv": Split.VALIDATION}
_LIST_FOLDERS = ("", "Manually_Annotated_file_lists", "Manually_Annotated/Manually_Annotated_file_lists")
_IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "Manually_Annotated", "")
_COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
_SETS = {"train_set": Split.TRAINING, "val_set": Split.VALIDATION}
_ANNOTATION = "_exp.npy"

_Face = tuple[Path, str, Split]


def has_lists(folder: Path) -> bool:
    """Whether there are AffectNet's lists of annotations."""
    return any((folder / inner / name).is_file() for inner in _LIST_FOLDERS for name in _LISTS)


def has_annotation_files(folder: Path) -> bool:
    """Whether there is AffectNet's file for each annotation."""
    return any((folder / name / "annotations").is_dir() for name in _SETS)


def load_lists(folder: Path) -> Dataset:
    """Faces of `training.csv` and `validation.csv`; the pictures are read when they are needed.

    The pictures are cut to the face with a margin already; they are used whole, as in the thesis.

    Raises:
        SourceError: when a list is missing or malformed, or the pictures are not where they should be.
    """
    lists = [path for inner in _LIST_FOLDERS for name in _LISTS if (path := folder / inner / name).is_file()]
    images = next(path for inner in _IMAGE_FOLDERS if (path := folder / inner).is_dir())
    faces = [face for path in lists for face in _listed(path, images)]
    if faces and not faces[0][0].is_file():
        raise SourceError(
            f"expected AffectNet's pictures below {images}, found no {faces[0][0]}; "
            "unpack them into Manually_Annotated_Images beside the lists"
        )
    return _dataset(folder, faces)


def _listed(path: Path, images: Path) -> Iterator[_Face]:
    """The faces of one list. Some copies begin without a line of column names."""
    with reading(path, "AffectNet's list of annotations"), path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        columns: list[str] = list(_COLUMNS)
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if reader.line_num == 1 and Path(row[0] if row else "").suffix.lower() not in SUFFIXES:
                columns = [name.strip() for name in row]
                if not {"subDirectory_filePath", "expression"} <= set(columns):
                    raise SourceError(f"expected the columns {', '.join(_COLUMNS)} in {where}, found {columns[:3]}")
                continue
            if len(row) != len(columns):
                raise SourceError(f"expected {len(columns)} columns in {where}, found {len(row)}")
            name, code = row[columns.index("subDirectory_filePath")], row[columns.index("expression")]
            yield images / name, _expression(code, where), _LISTS[path.name]


def load_annotation_files(folder: Path) -> Dataset:
    """Faces of `train_set` and `val_set`: `images/` (perhaps in class folders) and `annotations/N_exp.npy`.

    Raises:
        SourceError: when an annotation cannot be read or has no picture.
    """
    sets = [(folder / name, split) for name, split in _SETS.items() if (folder / name).is_dir()]
    return _dataset(folder, [face for path, split in sets for face in _annotated(path, split)])


def _annotated(folder: Path, split: Split) -> Iterator[_Face]:
    pictures = {path.stem: path for path in pictures_below(folder / "images")}
    for path in sorted((folder / "annotations").glob(f"*{_ANNOTATION}")):
        name = path.name.removesuffix(_ANNOTATION)
        if name not in pictures:
            raise SourceError(f"expected the picture {name} of {path} below {folder / 'images'}, found none")
        try:
            code = str(np.load(path).item())
        except (OSError, EOFError, ValueError) as error:
            raise SourceError(f"expected one number from 0 to 10 in {path}, found: {error}") from error
        yield pictures[name], _expression(code, str(path)), split


def _expression(code: str, where: str) -> str:
    if not code.strip().isdigit() or int(code) not in AFFECTNET:
        raise SourceError(f"expected an expression from 0 to {max(AFFECTNET)} in {where}, found {code!r}")
    return AFFECTNET[int(code)]


def _dataset(folder: Path, faces: list[_Face]) -> Dataset:
    ours = [face for face in faces if index_of(face[1]) != NOT_OURS]
    if not ours:
        raise SourceError(f"expected faces with one of the seven expressions in {folder}, found none; check the lists")
    return hard(
        "affectnet",
        FileImages(tuple(path for path, _, _ in ours)),
        np.array([index_of(name) for _, name, _ in ours], np.int64),
        np.array([split for _, _, split in ours], np.uint8),
        Counter(name for _, name, _ in faces if index_of(name) == NOT_OURS),
    )
