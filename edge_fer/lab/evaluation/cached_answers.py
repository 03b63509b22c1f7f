"""What the members of an ensemble said of a set of faces, kept in a folder: thousands of faces take minutes.

Members see a face as in a run: cut out at the size of the largest of them, in colour where one takes colour, and
brought from there to what each takes.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from edge_fer.expression.preprocessing import fit
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.dataset import Dataset
from edge_fer.lab.datasets.pictures import resize
from edge_fer.lab.evaluation.contenders import Answers, Artefact, classify_all, open_contender
from edge_fer.lab.evaluation.faces import pictures
from edge_fer.lab.evaluation.record import Data
from edge_fer.lab.files import replacing
from edge_fer.types import LABELS, AlignedFace

_READ_AS = {"input", "output", "labels", "label_map", "temperature"}
"""The fields of a manifest entry that change what a classifier says of a face, beside its files."""


def answers_of(
    members: Sequence[Artefact], faces: Dataset, data: Data, cache: Path, threads: int, report: Reporter
) -> list[Answers]:
    """What each member says of the faces, which are read only where that is not known yet.

    Args:
        members: all members; those whose answers are not known read the faces in turns.
        faces: the faces, as the data set cuts them.
        data: which they are.
        cache: the folder; files of other classifiers, manifest entries, faces or numbers of threads are not taken.
        threads: processor threads of a classification.
        report: receives a line and progress.

    Raises:
        OutputError: when the folder cannot be written.
    """
    size, colour = max(one.size for one in members), any(one.spec.input.colour != "grey" for one in members)
    keys = [_key(member, f"{data.sha256} {size} {colour} {threads}") for member in members]
    paths = [cache / f"{member.name}-{key}.npz" for member, key in zip(members, keys, strict=True)]
    found = [_read(path, len(faces)) for path in paths]
    missing = [member for member, known in zip(members, found, strict=True) if known is None]
    if len(missing) < len(members):
        known_names = ", ".join(member.name for member in members if member not in missing)
        report.say(f"{known_names}: what was said of these {data.split} faces is known ({cache})")
    if missing:
        with report.step(f"{len(missing)} models on {len(faces)} {data.split} faces") as progress, ExitStack() as stack:
            contenders = [open_contender(member, threads, stack) for member in missing]
            models = [one.classifier for one in contenders]
            whole = (resize(picture, size) for picture in pictures(faces.images, colour=colour))
            views = (
                [fit(AlignedFace.of_crop(picture), one.size, colour=one.colour).image for one in models]
                for picture in whole
            )
            fresh = iter(classify_all(views, contenders, len(faces), progress))
    for place, (path, known) in enumerate(zip(paths, found, strict=True)):
        if known is None:
            found[place] = answers = next(fresh)
            with replacing(path) as file:
                np.savez(file, logits=answers.logits, seconds=answers.seconds)
    return [one for one in found if one is not None]


def _key(member: Artefact, how: str) -> str:
    entry = member.spec.model_dump_json(include=_READ_AS)
    return hashlib.sha256(f"{entry} {member.fingerprint} {how}".encode()).hexdigest()[:16]


def _read(path: Path, faces: int) -> Answers | None:
    """What is kept in a file; None where it is not there or not whole."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as arrays:
            answers = Answers(arrays["logits"], arrays["seconds"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    fits = answers.logits.shape == (faces, len(LABELS)) and answers.seconds.shape == (faces,)
    return answers if fits and np.isfinite(answers.logits).all() else None
