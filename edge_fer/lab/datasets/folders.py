"""Any folder of class folders: `happy/1.png`, or `train/happy/1.png` and `test/happy/2.png`.

What `edge-fer lab faces` writes is one, too: its record beside the folders states how the faces were cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.crops import read_crops
from edge_fer.lab.datasets.dataset import Dataset, FileImages, Split, find_split, hard, pictures_below, with_splits
from edge_fer.lab.datasets.labels import NOT_OURS, NUMBERINGS, index_of
from edge_fer.types import LABELS


def load_folders(folder: Path, numbering: str | None = None, seed: int = 0) -> Dataset:
    """Faces whose folder is named by their label, in splits where there are folders for these.

    Without a folder of validation (or test) faces, a tenth of each label's training faces is drawn for
    them, always the same ones. A data set that has only folders of training and test faces gets validation
    faces alone.

    Args:
        folder: a folder of class folders, or of `train`, `valid` and `test` with class folders in them.
        numbering: whose numbers the class folders are named by, a key of `NUMBERINGS`; None: they have names.
        seed: seed of the draw.

    Raises:
        SourceError: when there is no such folder, pictures lie beside the splits, a class folder's name is not known,
            or the record of how the faces were cut is damaged.
    """
    if not folder.is_dir():
        raise SourceError(f"expected a folder of class folders at {folder}, found none; check the path")
    splits = {path: split for path in _folders(folder) if (split := find_split(path.name)) is not None}
    if splits:
        _check_beside(folder, splits)
    faces: list[tuple[Path, str, Split]] = []
    for part, split in (splits or {folder: Split.TRAINING}).items():
        for inner in _folders(part):
            name = _class(inner, numbering)
            faces += [(path, name, split) for path in pictures_below(inner)]
    ours = [face for face in faces if index_of(face[1]) != NOT_OURS]
    if not ours:
        raise SourceError(f"expected class folders ({', '.join(LABELS)}) with pictures in {folder}, found none")
    crops = read_crops(folder)
    dataset = hard(
        folder.resolve().name,
        FileImages(tuple(path for path, _, _ in ours)),
        np.array([index_of(name) for _, name, _ in ours], np.int64),
        np.array([split for _, _, split in ours], np.uint8),
        Counter(name for _, name, _ in faces if index_of(name) == NOT_OURS),
    )
    wanted = (Split.VALIDATION, Split.TEST) if len(set(splits.values())) < 2 else (Split.VALIDATION,)
    missing = tuple(split for split in wanted if split not in splits.values())
    names = [path.relative_to(folder).as_posix() for path, _, _ in ours]
    return replace(with_splits(dataset, missing, seed=seed, names=names), crop=crops.crop if crops else None)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _check_beside(folder: Path, splits: Collection[Path]) -> None:
    """Whether every folder of pictures is one of the splits; others would be left out."""
    beside = [path.name for path in _folders(folder) if path not in splits and pictures_below(path)]
    if beside:
        raise SourceError(
            f"expected every class folder in {folder} inside {', '.join(path.name for path in splits)}, found "
            f"{', '.join(beside)} beside; move them into a split, or elsewhere"
        )


def _class(folder: Path, numbering: str | None) -> str:
    """The name of the expression that a class folder holds."""
    name = folder.name
    if name.isdigit():
        if numbering is None:
            raise SourceError(
                f"expected class folders with names such as {LABELS[0]}, found the number {folder}; "
                f"state whose numbers these are with --layout {', '.join(NUMBERINGS)}"
            )
        numbers: Mapping[int, str] = NUMBERINGS[numbering]
        if int(name) not in numbers:
            raise SourceError(
                f"expected {numbering}'s numbers {min(numbers)}-{max(numbers)}, found the folder {folder}"
            )
        return numbers[int(name)]
    try:
        index_of(name)
    except KeyError as error:
        raise SourceError(
            f"expected a class folder named by an expression ({', '.join(LABELS)}), found {folder}; rename or move it"
        ) from error
    return name
