"""RAF-DB's basic expressions.

Li and Deng, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Unconstrained Facial
Expression Recognition", 2019. It comes with training and test faces; validation is drawn from the former.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import Dataset, FileImages, Split, hard, reading, with_splits
from edge_fer.lab.datasets.labels import RAFDB, index_of
from edge_fer.types import Box

LIST = "list_patition_label.txt"  # so spelt by its owners

_LIST_FOLDERS = ("EmoLabel", "basic/EmoLabel", "")
_IMAGE_FOLDERS = ("Image", "basic/Image", "")
_BOX_FOLDERS = ("Annotation/boundingbox", "basic/Annotation/boundingbox")
_USAGES = {"train": Split.TRAINING, "test": Split.TEST}
_MARGIN = 0.25  # of the box's sides, around it: what FER2013's crops show


def find_list(folder: Path) -> Path | None:
    """RAF-DB's list of labels, where there is one."""
    return next((path for inner in _LIST_FOLDERS if (path := folder / inner / LIST).is_file()), None)


def load_rafdb(folder: Path) -> Dataset:
    """Faces of `list_patition_label.txt`: aligned where `Image/aligned` is there, else cut from `Image/original`.

    Raises:
        SourceError: when the list is malformed, or the pictures or boxes are not where they should be.
    """
    listed = find_list(folder)
    if listed is None:
        raise SourceError(f"expected {LIST} in {folder} or its EmoLabel folder, found none; check the path")
    with reading(listed, "RAF-DB's list of labels"):
        lines = listed.read_text(encoding="utf-8").splitlines()
    faces = [_face(line, f"{listed}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not faces:
        raise SourceError(f"expected lines such as `train_00001.jpg 5` in {listed}, found none; get the whole file")
    labels = np.array([label for _, label, _ in faces], np.int64)
    split = np.array([split for _, _, split in faces], np.uint8)
    names = [name for name, _, _ in faces]
    return with_splits(hard("rafdb", _images(folder, names), labels, split, {}), (Split.VALIDATION,), names=names)


def _face(line: str, where: str) -> tuple[str, int, Split]:
    name, _, code = line.strip().rpartition(" ")
    split = name.split("_")[0]
    if split not in _USAGES or not code.isdigit() or int(code) not in RAFDB:
        raise SourceError(
            f"expected a name that begins with train_ or test_ and a number from 1 to 7 in {where}, found {line!r}"
        )
    return name, index_of(RAFDB[int(code)]), _USAGES[split]


def _images(folder: Path, names: list[str]) -> FileImages:
    stems = [name.rpartition(".")[0] for name in names]
    for inner in _IMAGE_FOLDERS:
        aligned, original = folder / inner / "aligned", folder / inner / "original"
        if aligned.is_dir():
            return _existing(FileImages(tuple(aligned / f"{stem}_aligned.jpg" for stem in stems)))
        if original.is_dir():
            boxes = tuple(_box(folder, stem) for stem in stems)
            return _existing(FileImages(tuple(original / name for name in names), boxes))
    raise SourceError(f"expected RAF-DB's pictures in {folder / 'Image'}/aligned or /original, found none; unpack them")


def _existing(images: FileImages) -> FileImages:
    if not images.paths[0].is_file():
        raise SourceError(f"expected a picture at {images.paths[0]}, found none; unpack all of RAF-DB's pictures")
    return images


def _box(folder: Path, stem: str) -> Box:
    """The face in an original picture, with a margin."""
    name = f"{stem}_boundingbox.txt"
    path = next((path for inner in _BOX_FOLDERS if (path := folder / inner / name).is_file()), None)
    if path is None:
        raise SourceError(
            f"expected {name} in {folder / _BOX_FOLDERS[0]} to cut faces out of original pictures, found none; "
            "unpack RAF-DB's annotations, or its aligned pictures"
        )
    words = path.read_text(encoding="utf-8", errors="replace").split()
    try:
        left, top, right, bottom = (float(word) for word in words)
    except ValueError as error:
        raise SourceError(f"expected four numbers (left, top, right, bottom) in {path}, found {words[:5]}") from error
    width, height = right - left, bottom - top
    return Box(left - _MARGIN * width, top - _MARGIN * height, width * (1 + 2 * _MARGIN), height * (1 + 2 * _MARGIN))
