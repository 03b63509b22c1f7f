"""FER2013 as Kaggle gives it out in one table, with FER+'s votes where they lie beside it.

Goodfellow et al., "Challenges in Representation Learning: A report on three machine learning
contests", 2013. (Its layout of class folders is read by `folders`.)
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import Dataset, Split, hard, reading
from edge_fer.lab.datasets.ferplus import VOTES_FILE, from_votes, read_votes
from edge_fer.lab.datasets.labels import FER2013, index_of
from edge_fer.types import Image

TABLE = "fer2013.csv"
SIDE = 48

_USAGES = {"Training": Split.TRAINING, "PublicTest": Split.VALIDATION, "PrivateTest": Split.TEST}


def load_table(path: Path) -> Dataset:
    """Faces of `fer2013.csv`: by FER+'s votes where `fer2013new.csv` lies beside it, else by its own labels.

    With votes, FER2013's own labels are the second ones. Kaggle's `icml_face_data.csv` is taken too.

    Raises:
        SourceError: when a file cannot be read or a line is not what was expected.
    """
    with reading(path, f"FER2013's table ({TABLE})"):
        rows = list(_rows(path))
    if not rows:
        raise SourceError(f"expected faces in {path}, found none below line 1; get the whole file")
    images = np.stack([image for image, _, _ in rows])
    labels = np.array([label for _, label, _ in rows], np.int64)
    usage = np.array([usage for _, _, usage in rows], np.uint8)
    votes_path = path.with_name(VOTES_FILE)
    if not votes_path.exists():
        return hard("fer2013", images, labels, usage, {})
    votes = read_votes(votes_path)
    if len(votes) != len(rows):
        raise SourceError(
            f"expected {len(rows)} rows of votes in {votes_path}, as in {path.name}, found {len(votes)}; "
            "the two files must be whole and in their published order"
        )
    return from_votes("ferplus", images, votes, usage, labels)


def _rows(path: Path) -> Iterator[tuple[Image, int, Split]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        if set(header) != {"emotion", "pixels", "Usage"}:
            raise SourceError(f"expected the columns emotion, pixels, Usage in {path}, line 1, found {header[:3]}")
        emotion, pixels, usage = (header.index(name) for name in ("emotion", "pixels", "Usage"))
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if len(row) != len(header):
                raise SourceError(f"expected {len(header)} columns in {where}, found {len(row)}")
            if row[usage] not in _USAGES:
                raise SourceError(f"expected Usage to be {', '.join(_USAGES)} in {where}, found {row[usage]!r}")
            if not row[emotion].isdigit() or int(row[emotion]) not in FER2013:
                raise SourceError(f"expected an emotion from 0 to 6 in {where}, found {row[emotion]!r}")
            yield _pixels(row[pixels], where), index_of(FER2013[int(row[emotion])]), _USAGES[row[usage]]


def _pixels(text: str, where: str) -> Image:
    try:
        values = bytes(map(int, text.split()))
    except ValueError as error:
        raise SourceError(f"expected {SIDE * SIDE} numbers from 0 to 255 in {where}, found: {error}") from error
    if len(values) != SIDE * SIDE:
        raise SourceError(f"expected {SIDE * SIDE} numbers from 0 to 255 in {where}, found {len(values)} of them")
    return np.frombuffer(values, np.uint8).reshape(SIDE, SIDE)
