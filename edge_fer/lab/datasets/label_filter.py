"""Labels that a teacher finds improbable: faces are kept where it gives their label more than a least probability.

Labels that a network or a search engine made are wrong for many faces. A trained classifier, or an ensemble, reads each
face once; what it finds improbable is left out, counted and listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from edge_fer.errors import ConfigError, SourceError
from edge_fer.expression import ExpressionModel
from edge_fer.lab.console import Progress
from edge_fer.lab.datasets.affectnet import write_automatic_list
from edge_fer.lab.datasets.dataset import Dataset, FileImages, name_of, read_picture
from edge_fer.lab.datasets.pictures import resize
from edge_fer.lab.files import Record, replacing, write_record
from edge_fer.types import LABELS, AlignedFace, Label


class FilterRecord(Record):
    """The record `edge-fer/label-filter/1`: what a filter left.

    Attributes:
        dataset: name of the data set.
        teacher: name of the model that read the faces.
        above: probability of their label that faces were kept above, 0..1.
        faces: faces that there were.
        kept: faces that were kept, by label.
        dropped: faces whose label the teacher finds improbable, by label.
        unreadable: pictures that could not be read; they are dropped, too.
    """

    schema_: Literal["edge-fer/label-filter/1"] = Field("edge-fer/label-filter/1", alias="schema")
    dataset: str
    teacher: str
    above: float
    faces: int
    kept: dict[Label, int]
    dropped: dict[Label, int]
    unreadable: int


def filter_labels(
    dataset: Dataset, teacher: ExpressionModel, above: float, out: Path, progress: Progress
) -> FilterRecord:
    """Keep the faces whose labels a teacher finds probable, as a list of AffectNet's kind.

    Args:
        dataset: faces in files, cut out by their owner.
        teacher: reads each of them.
        above: least probability of a face's label, not included, 0..1.
        out: folder that gets the list, `filter.json`, and `dropped.txt` with a line for each face that was dropped.
        progress: called with the faces done.

    Raises:
        ConfigError: when the faces are no files of their own.
        SourceError: when nothing is left.
        OutputError: when the folder cannot be written.
    """
    images = dataset.images
    if not isinstance(images, FileImages) or images.boxes is not None:
        raise ConfigError(f"expected faces in files of their own, found {dataset.name}; filter AffectNet's list")
    kept: list[tuple[Path, Label, float]] = []
    dropped: list[str] = []
    counts: dict[bool, Counter[Label]] = {True: Counter(), False: Counter()}
    for index, share in _shares(dataset, teacher):
        label = LABELS[dataset.labels[index]]
        if isinstance(share, float):
            counts[share > above][label] += 1
        if isinstance(share, float) and share > above:
            kept.append((images.paths[index], label, share))
        else:
            dropped.append(f"{name_of(images, index)}: {share if isinstance(share, str) else f'{label} {share:.4f}'}")
        progress(index + 1, len(dataset))
    if not kept:
        raise SourceError(f"expected faces whose label has a probability above {above:g}, found none; lower --above")
    record = FilterRecord(
        dataset=dataset.name,
        teacher=teacher.origin.model,
        above=above,
        faces=len(dataset),
        kept={label: counts[True][label] for label in LABELS},
        dropped={label: counts[False][label] for label in LABELS},
        unreadable=len(dataset) - counts[True].total() - counts[False].total(),
    )
    write_automatic_list(out, kept)
    with replacing(out / "dropped.txt") as file:
        file.write("".join(f"{line}\n" for line in dropped).encode(errors="surrogateescape"))
    write_record(out / "filter.json", record)
    return record


def _shares(dataset: Dataset, teacher: ExpressionModel) -> Iterator[tuple[int, float | str]]:
    """Of each face the probability of its label, or why it could not be read."""
    for index, label in enumerate(dataset.labels.tolist()):
        try:
            picture = read_picture(dataset.images, index, colour=teacher.colour)
        except SourceError as error:
            yield index, str(error)
            continue
        face = AlignedFace.of_crop(np.ascontiguousarray(resize(picture, teacher.size)))
        yield index, teacher.classify(face).probabilities[label]
