"""AffectNet, as given out in 2017 (lists of annotations) and since 2021 (a file for each annotation).

Mollahosseini et al., "AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in
the Wild", 2019. Its test split was never given out: its validation split plays both parts.

Besides faces that a person has labelled there are about as many that a network has (`automatically_annotated.csv`): a
noisy set to begin a training with, best after `edge-fer lab filter`.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import (
    SUFFIXES,
    Dataset,
    FileImages,
    Split,
    hard,
    name_of,
    pictures_below,
    reading,
    with_splits,
)
from edge_fer.lab.datasets.labels import AFFECTNET, NOT_OURS, index_of
from edge_fer.lab.files import replacing
from edge_fer.types import Label

_LISTS = {"training.csv": Split.TRAINING, "validation.csv": Split.VALIDATION}
_LIST_FOLDERS = ("", "Manually_Annotated_file_lists", "Manually_Annotated/Manually_Annotated_file_lists")
_IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "Manually_Annotated", "")
_AUTOMATIC = {"automatically_annotated.csv": Split.TRAINING}
_AUTOMATIC_LIST_FOLDERS = (
    "",
    "Automatically_annotated_file_lists",
    "Automatically_Annotated/Automatically_annotated_file_lists",
)
_AUTOMATIC_IMAGE_FOLDERS = (
    "Automatically_Annotated_Images",
    "Automatically_Annotated/Automatically_Annotated_Images",
    "Automatically_Annotated",
    "",
)
_DRAWN = 0.02  # share of the automatically labelled faces to validate on: there are 450,000
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
_SPLITS = {**_LISTS, **_AUTOMATIC}
_SETS = {"train_set": Split.TRAINING, "val_set": Split.VALIDATION}
_ANNOTATION = "_exp.npy"

_Face = tuple[Path, str, Split]


def find_loader(folder: Path, layout: str) -> Callable[[Path], Dataset] | None:
    """What reads the faces of a folder; None where it holds none of AffectNet's.

    Args:
        folder: the folder.
        layout: `affectnet`, `affectnet-automatic`, or `auto`, where labels that people made come first.
    """
    if layout == "affectnet-automatic":
        return load_automatic_list
    if layout in ("auto", "affectnet"):
        if _found(folder, _LIST_FOLDERS, _LISTS):
            return load_lists
        if any((folder / name / "annotations").is_dir() for name in _SETS):
            return load_annotation_files
    if layout == "auto" and _found(folder, _AUTOMATIC_LIST_FOLDERS, _AUTOMATIC):
        return load_automatic_list
    return None


def _found(folder: Path, inner: Sequence[str], names: Mapping[str, Split]) -> list[Path]:
    return [path for part in inner for name in names if (path := folder / part / name).is_file()]


def load_lists(folder: Path) -> Dataset:
    """Faces of `training.csv` and `validation.csv`; the pictures are read when they are needed.

    The pictures are cut to the face with a margin already; they are used whole, as in the thesis.

    Raises:
        SourceError: when a list is missing or malformed, or the pictures are not where they should be.
    """
    return _load(folder, _found(folder, _LIST_FOLDERS, _LISTS), _IMAGE_FOLDERS)


def load_automatic_list(folder: Path) -> Dataset:
    """Faces of `automatically_annotated.csv`, some of them drawn to validate on; pictures are read when needed.

    Raises:
        SourceError: when the list is missing or malformed, or the pictures are not where they should be.
    """
    lists = _found(folder, _AUTOMATIC_LIST_FOLDERS, _AUTOMATIC)
    if not lists:
        raise SourceError(f"expected {next(iter(_AUTOMATIC))} in {folder}, found none; unpack AffectNet's lists there")
    dataset = _load(folder, lists, _AUTOMATIC_IMAGE_FOLDERS)
    names = [name_of(dataset.images, index).rpartition("/")[2] for index in range(len(dataset))]
    drawn = with_splits(dataset, (Split.VALIDATION,), _DRAWN, names=names)
    return replace(drawn, name="affectnet, labelled automatically")


def _load(folder: Path, lists: Sequence[Path], image_folders: Sequence[str]) -> Dataset:
    images = next(path for inner in image_folders if (path := folder / inner).is_dir())
    faces = [face for path in lists for face in _listed(path, images)]
    if faces and not faces[0][0].is_file():
        raise SourceError(
            f"expected AffectNet's pictures below {images}, found no {faces[0][0]}; "
            f"unpack them into {image_folders[0]} beside the lists"
        )
    return _dataset(folder, faces)


def write_automatic_list(folder: Path, rows: Iterable[tuple[Path, Label, float]]) -> None:
    """Write a list that `load_automatic_list` reads.

    Args:
        folder: gets the list; the pictures may lie anywhere.
        rows: of each face its picture, its label, and the probability that a teacher gave it.

    Raises:
        OutputError: when it cannot be written; a list that is there stays as it is.
    """
    codes = {name: code for code, name in AFFECTNET.items()}
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([_COLUMNS[0], "expression", "probability"])
    writer.writerows([str(path.absolute()), codes[label], f"{share:.4f}"] for path, label, share in rows)
    with replacing(folder / next(iter(_AUTOMATIC))) as file:
        file.write(text.getvalue().encode())


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
            yield images / name, _expression(code, where), _SPLITS[path.name]


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
            with path.open("rb") as file:
                code = str(np.lib.format.read_array(file).item())
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
