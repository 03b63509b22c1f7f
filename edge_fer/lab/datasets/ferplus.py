"""FER2013's pictures with FER+'s votes, in one .npz file, or as FER+ gives them out beside FER2013.

Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced
Label Distribution", 2016.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import Dataset, Split, reading
from edge_fer.lab.datasets.labels import FERPLUS, index_of
from edge_fer.lab.datasets.npz import read_npz
from edge_fer.types import LABELS

VOTES_FILE = "fer2013new.csv"

_TO_LABEL = np.array([index_of(name) for name in FERPLUS])
_COLUMNS = [FERPLUS.index(label) for label in LABELS]
_LEADING_COLUMNS = 2  # Usage and Image name, before the votes


def load_npz(path: Path) -> Dataset:
    """Faces of an .npz file that count under FER+'s convention.

    Args:
        path: see `read_arrays`.

    Raises:
        SourceError: when the file cannot be read or lacks an array.
    """
    arrays = read_arrays(path)
    second = arrays["fer2013"].astype(np.int64)
    second = np.where(second < len(LABELS), second, -1)
    return from_votes("ferplus", arrays["x"], arrays["votes"], arrays["usage"], second)


def read_arrays(path: Path) -> dict[str, NDArray[np.uint8]]:
    """The arrays of an .npz file of FER+'s faces, whether they count or not.

    Args:
        path: a file with `x` `(n, height, width)` uint8, `votes` `(n, 10)` uint8 in FER+'s order, `usage` `(n,)`, and
            perhaps `fer2013` `(n,)`: FER2013's own label, 255 where it is not known.

    Returns:
        These four.

    Raises:
        SourceError: when the file cannot be read or lacks an array.
    """
    arrays = read_npz(path, "FER+ faces (.npz with x, votes, usage)", ("x", "votes", "usage"), ("fer2013",))
    images, votes, usage = arrays["x"], arrays["votes"], arrays["usage"]
    second = arrays.get("fer2013", np.full(usage.shape, 255, np.uint8))
    if images.ndim != 3 or votes.shape != (len(images), len(FERPLUS)) or len(usage) != len(images):
        raise SourceError(
            f"expected x (n, height, width), votes (n, {len(FERPLUS)}) and usage (n,) in {path}, "
            f"found {images.shape}, {votes.shape} and {usage.shape}"
        )
    return {"x": images, "votes": votes, "usage": usage.astype(np.uint8), "fer2013": second}


def from_votes(
    name: str,
    images: NDArray[np.uint8],
    votes: NDArray[np.integer],
    usage: NDArray[np.uint8],
    second: NDArray[np.int64],
) -> Dataset:
    """The faces whose leading vote is one of the seven.

    Single votes are dropped as outliers. The first of equal votes in FER+'s order leads. Targets are
    the remaining votes on the seven, normalised.
    """
    votes = np.where(votes > 1, votes, 0)
    leading = votes.argmax(axis=1)
    any_vote = votes.any(axis=1)
    counts = (_TO_LABEL[leading] >= 0) & any_vote
    reasons = Counter(FERPLUS[column] for column in leading[~counts & any_vote])
    reasons["no two votes agree"] += int((~any_vote).sum())
    by_contempt = usage[any_vote & (leading == FERPLUS.index("contempt"))]
    ours = votes[counts][:, _COLUMNS].astype(np.float32)
    return Dataset(
        name,
        images[counts],
        _TO_LABEL[leading[counts]],
        ours / ours.sum(axis=1, keepdims=True),
        usage[counts],
        second[counts],
        {reason: count for reason, count in reasons.items() if count},
        tuple(int((by_contempt == split).sum()) for split in Split),
    )


def read_votes(path: Path) -> NDArray[np.int64]:
    """The votes of `fer2013new.csv`.

    Returns:
        `(n, 10)`, one row for each row of `fer2013.csv`.

    Raises:
        SourceError: when the file cannot be read or a line is not what FER+ gives out.
    """
    rows = []
    with reading(path, f"FER+'s votes ({VOTES_FILE})"), path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if len(header) != _LEADING_COLUMNS + len(FERPLUS) or header[_LEADING_COLUMNS].strip().lower() != FERPLUS[0]:
            raise SourceError(
                f"expected the columns Usage, Image name, neutral ... NF in {path}, line 1, found {header[:3]}"
            )
        for row in reader:
            votes = row[_LEADING_COLUMNS:]
            if len(votes) != len(FERPLUS) or not all(vote.strip().isdigit() for vote in votes):
                raise SourceError(
                    f"expected {len(FERPLUS)} numbers of votes in {path}, line {reader.line_num}, found {votes}"
                )
            rows.append([int(vote) for vote in votes])
    return np.array(rows, np.int64).reshape(-1, len(FERPLUS))
