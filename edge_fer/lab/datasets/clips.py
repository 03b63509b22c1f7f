"""Labelled clips: a folder for each label, in it a folder for each clip, in it a picture for each frame.

    happiness/p017_003/000012.png        or train/happiness/..., valid/..., test/...

`edge-fer lab clips trim` writes such a folder, and beside it a record with the peaks. Without the record any other
folder of this shape can be read, too. Splits are by person: a network that is measured on the persons that it was
trained on recognises them, not their expressions.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.lab.datasets.clips_record import TrimmedClip, TrimmedClips, read_clips_record
from edge_fer.lab.datasets.dataset import SPLITS, FileImages, Images, Split, find_split, pictures_below
from edge_fer.lab.datasets.labels import NOT_OURS, index_of
from edge_fer.lab.datasets.subjects import SUBJECTS, person_finder, read_subjects
from edge_fer.types import LABELS, Image

SplitBy = Literal["person", "clip"]
"""What stays together when splits are drawn."""

_SHARES = {Split.VALIDATION: 0.1, Split.TEST: 0.2}  # of the clips, as in the paper: 70, 10 and 20 %


@dataclass(frozen=True, slots=True)
class Clip:
    """One face over time, and its label.

    Attributes:
        name: the clip's name.
        faces: `k` grey pictures, `(height, width)` uint8 each, in the order of time: files, or an array
            `(k, height, width)`.
        label: an index into `LABELS`.
        subject: who is seen.
        frames: `(k,)` int64, the number of each face's frame in the clip that it is from, growing.
        peak: the face in which the expression is strongest, an index into `faces`; None where that is not known.
    """

    name: str
    faces: Images
    label: int
    subject: str
    frames: NDArray[np.int64]
    peak: int | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: Sequence[int] | NDArray[np.int64] | None = None) -> Image:
        """Some of the faces, or all: `(k, height, width)` uint8.

        Raises:
            SourceError: when one cannot be read, or they differ in size.
        """
        chosen = range(len(self)) if indices is None else indices
        faces = [self.faces[int(index)] for index in chosen]
        sizes = {face.shape for face in faces}
        if len(sizes) > 1:
            raise SourceError(
                f"expected faces of one size in the clip {self.name}, found {sorted(sizes)}; trim it again"
            )
        return np.stack(faces)


@dataclass(frozen=True, slots=True)
class Clips:
    """Labelled clips.

    Attributes:
        name: name of the data set.
        clips: the clips, `n` of them.
        splits: `(n,)` uint8, the `Split` of each clip.
        left_out: how many clips were left out, by reason.
        crop: how the runtime's alignment has cut every face; None where that is not known.
    """

    name: str
    clips: tuple[Clip, ...]
    splits: NDArray[np.uint8]
    left_out: Mapping[str, int] = field(default_factory=dict)
    crop: CropSpec | None = None

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def labels(self) -> NDArray[np.int64]:
        """`(n,)` int64, indices into `LABELS`."""
        return np.array([clip.label for clip in self.clips], np.int64)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Who is seen in each clip."""
        return tuple(clip.subject for clip in self.clips)

    def only(self, split: Split) -> Clips:
        """The clips of one split."""
        chosen = np.flatnonzero(self.splits == split)
        return replace(self, clips=tuple(self.clips[index] for index in chosen), splits=self.splits[chosen])

    def counts(self) -> NDArray[np.int64]:
        """`(3, 7)`: clips of each split and label."""
        counts = np.zeros((len(Split), len(LABELS)), np.int64)
        np.add.at(counts, (self.splits.astype(np.int64), self.labels), 1)
        return counts


def draw_frames(count: int, parts: int, random: np.random.Generator, peak: int | None = None) -> NDArray[np.int64]:
    """Draw a frame from each of some equal parts of a clip, in their order (Meng et al. 2019, section 3).

    Args:
        count: how many frames there are, 1 or more; with fewer than `parts`, some are taken twice.
        parts: how many parts.
        random: draws them.
        peak: the frame in which the expression is strongest, which is taken for its part; None: it is not known.

    Returns:
        `(parts,)` int64, indices of frames, not falling.
    """
    edges = np.arange(parts + 1) * count // parts
    drawn = random.integers(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1))
    if peak is not None:
        part = int(np.searchsorted(edges, peak, side="right")) - 1
        drawn[part] = peak
    return np.asarray(drawn, np.int64)


def load_clips(folder: Path, *, by: SplitBy = "person", subjects: Path | None = None, seed: int = 0) -> Clips:
    """The clips in a folder.

    Without folders `train`, `valid` and `test`, a tenth of the clips is drawn to validate on and a fifth to test on,
    whole persons, always the same ones.

    Args:
        folder: a folder of label folders, or of `train`, `valid` and `test` with label folders in them.
        by: what stays together: `person`; or `clip`, with which the same person is in several splits.
        subjects: a table of who is seen where; None: `subjects.csv` in the folder, else the record, else the part of
            each clip's name before the first underscore.
        seed: seed of the draw.

    Raises:
        SourceError: when there are no clips, the table or the record does not fit, a person is in several splits
            (unless `by` is `clip`), or there are too few persons for splits.
    """
    if not folder.is_dir():
        raise SourceError(f"expected a folder of label folders with clips at {folder}, found none; check the path")
    record = read_clips_record(folder)
    known = {clip.folder: clip for clip in record.clips} if record else {}
    table = subjects or folder / SUBJECTS
    if subjects is not None:
        read_subjects(subjects)  # it must be there
    people = {} if subjects or table.is_file() else {name: clip.person for name, clip in known.items()}
    person_of = person_finder(table)
    parts = {path: split for path in _folders(folder) if (split := find_split(path.name)) is not None}
    found: list[tuple[Clip, Split]] = []
    for part, split in (parts or {folder: Split.TRAINING}).items():
        for label_folder, label in _label_folders(part):
            for path in _clip_folders(label_folder):
                name = path.relative_to(folder).as_posix()
                person = people.get(name) or person_of(path.name)
                found.append((_load(path, label, person, known.get(name)), split))
    if not found:
        raise SourceError(
            f"expected folders named by label ({', '.join(LABELS)}) in {folder}, with a folder of pictures for each "
            "clip, found none; `edge-fer lab clips trim` makes them"
        )
    clips = tuple(clip for clip, _ in found)
    splits = np.array([split for _, split in found], np.uint8) if parts else _drawn(clips, by, seed, folder)
    if by == "person":
        _check_apart(clips, splits, folder)
    return Clips(folder.resolve().name, clips, splits, _reasons(record), record.crop if record else None)


def _load(path: Path, label: int, subject: str, facts: TrimmedClip | None) -> Clip:
    pictures = pictures_below(path)
    frames = np.array([_number(picture, place) for place, picture in enumerate(pictures)], np.int64)
    order = np.argsort(frames, kind="stable")
    frames = frames[order]
    faces = FileImages(tuple(pictures[index] for index in order))
    if facts is not None and frames.tolist() != list(facts.frames):
        raise SourceError(f"expected {len(facts.frames)} pictures in {path}, as its record says, found {len(frames)} "
                          "or others; trim the clips again")  # fmt: skip
    peak = int(np.abs(frames - facts.peak).argmin()) if facts is not None else None
    return Clip(path.name, faces, label, subject, frames, peak)


def _drawn(clips: Sequence[Clip], by: SplitBy, seed: int, folder: Path) -> NDArray[np.uint8]:
    """Splits of which each has whole persons, or whole clips."""
    groups = [clip.subject if by == "person" else clip.name for clip in clips]
    names = sorted(set(groups), key=lambda name: hashlib.sha256(f"{seed} ".encode() + os.fsencode(name)).digest())
    if len(names) < len(Split):
        raise SourceError(
            f"expected clips of {len(Split)} persons or more in {folder}, to validate and test on others than those "
            f"trained on, found {len(names)} ({', '.join(sorted(names)[:3])}); add persons, or ask for splits by clip"
        )
    splits = np.full(len(clips), Split.TRAINING, np.uint8)
    for split, share in _SHARES.items():
        while (splits == split).sum() < share * len(clips) and (
            len(names) > 2 or split not in splits
        ):  # one to train on
            splits[[group == names[0] for group in groups]] = split
            del names[0]
    return splits


def _check_apart(clips: Sequence[Clip], splits: NDArray[np.uint8], folder: Path) -> None:
    """Whether no person is in two splits."""
    seen: dict[str, Split] = {}
    for clip, split in zip(clips, splits, strict=True):
        first = seen.setdefault(clip.subject, Split(split))
        if first != split:
            raise SourceError(
                f"expected each person in one split of {folder}, found {clip.subject} in {SPLITS[first]} and "
                f"{SPLITS[Split(split)]}; move the clips, say who is who in {SUBJECTS}, or ask for splits by clip"
            )


def _label_folders(folder: Path) -> Iterator[tuple[Path, int]]:
    for path in _folders(folder):
        try:
            label = index_of(path.name)
        except KeyError as error:
            raise SourceError(
                f"expected folders named by label ({', '.join(LABELS)}) in {folder}, found {path.name}; rename it"
            ) from error
        if label != NOT_OURS:
            yield path, label


def _clip_folders(folder: Path) -> list[Path]:
    loose = next((path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")), None)
    if loose is not None:
        raise SourceError(f"expected a folder for each clip in {folder}, found {loose.name}; put it into one")
    return [path for path in _folders(folder) if pictures_below(path)]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _number(picture: Path, place: int) -> int:
    """The number at the end of a picture's name; its place where there is none."""
    digits = re.search(r"(\d{1,9})$", picture.stem)
    return int(digits[1]) if digits else place


def _reasons(record: TrimmedClips | None) -> dict[str, int]:
    reasons = list(record.left_out.values()) if record else []
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}
