"""Where the marks of clips are kept: CLIP.txt, as in the paper, and CLIP.json, which says what it belongs to.

They stand beside the clip, or, with a labeller's name, in `marks/NAME/`, so that several can label the same clips.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_fer.capture.sources.film import FILM_SUFFIXES
from edge_fer.errors import ConfigError, SourceError
from edge_fer.lab.clips.marks import Marks, parse_marks
from edge_fer.lab.datasets.labels import NOT_OURS, index_of
from edge_fer.lab.files import Record, read_record, replacing
from edge_fer.types import LABELS, Label

MARKS = "marks"
"""The folder of the labellers, in the folder of the clips."""

_MOST_BYTES = 4096  # of a marks file


class MarksRecord(Record):
    """What a marks file belongs to.

    Attributes:
        schema_: name and version of this record.
        sha256: of the clip's file.
        fps: frames a second, the median.
        frames: how many there are.
        expected: the expression that the clip should show; null where nobody said.
        labeller: who marked it; null where that is not known.
        at: when, UTC, ISO 8601.
    """

    schema_: Literal["edge-fer/marks/1"] = Field("edge-fer/marks/1", alias="schema")
    sha256: str
    fps: float
    frames: int = Field(ge=1)
    expected: Label | None
    labeller: str | None
    at: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The marks of a clip as they are kept.

    Attributes:
        marks: the marks.
        record: what they belong to; None where there is only a marks file.
    """

    marks: Marks
    record: MarksRecord | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a clip and its marks are.

    Attributes:
        clip: the clip's file.
        base: the path of its marks, without the ending.
    """

    clip: Path
    base: Path

    @property
    def text(self) -> Path:
        """The marks file."""
        return self.base.with_name(f"{self.base.name}.txt")

    @property
    def json(self) -> Path:
        """The record beside it."""
        return self.base.with_name(f"{self.base.name}.json")


def marks_folder(folder: Path, labeller: str | None) -> Path:
    """Where the marks of a labeller are, in the folder of the clips; None: beside the clips."""
    return folder if labeller is None else folder / MARKS / labeller


def find_places(folder: Path, labeller: str | None = None) -> list[Place]:
    """All clips in a folder and the folders inside it, in the order of their names.

    Args:
        folder: the folder of the clips.
        labeller: whose marks; None: those beside the clips.

    Raises:
        ConfigError: when the labeller's name cannot be a folder's.
        SourceError: when there are none, or two have the same name.
    """
    if labeller is not None and not re.fullmatch(r"[\w][\w .-]*", labeller):
        raise ConfigError(f"expected --labeller with letters, digits, - and ., found {labeller!a}; choose another name")
    if not folder.is_dir():
        raise SourceError(f"expected a folder of clips at {folder}, found none; `edge-fer lab clips cut` makes one")
    home = marks_folder(folder, labeller)
    places: dict[Path, Place] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if (
            path.suffix.lower() not in FILM_SUFFIXES
            or inside.parts[0] == MARKS
            or any(p.startswith(".") for p in inside.parts)
        ):
            continue
        base = home / inside.parent / path.stem
        if base in places:
            raise SourceError(f"expected one clip of each name, found {places[base].clip} and {path}; rename one")
        places[base] = Place(path, base)
    if not places:
        raise SourceError(
            f"expected clips in {folder}, found no film; `edge-fer lab clips cut` cuts a recording into it"
        )
    return list(places.values())


def read_saved(place: Place) -> Saved | None:
    """The marks of a clip; None where there are none yet.

    Raises:
        SourceError: when a file is damaged.
    """
    try:
        with place.text.open("rb") as file:
            content = file.read(_MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceError(f"expected marks at {place.text}, found: {error.strerror}; check the path") from error
    record = read_record(place.json, MarksRecord) if place.json.exists() else None
    return Saved(parse_marks(content, str(place.text)), record)


def save(place: Place, marks: Marks, record: MarksRecord) -> None:
    """Keep marks; whatever happens meanwhile, each file is the old one or the new one, and whole.

    Raises:
        OutputError: when they cannot be written.
    """
    with replacing(place.json) as file:
        file.write(record.model_dump_json(by_alias=True, indent=2).encode() + b"\n")
    with replacing(place.text) as file:  # last: with it, the clip counts as marked
        file.write(marks.line())


def expected_in_name(clip: Path, folder: Path) -> Label | None:
    """The expression that the names of a clip's folders or its own name say; None where they say none.

    What stands before the first underscore is the person's name, who may be called Joy.

    Args:
        clip: the clip's file.
        folder: the folder of the clips, whose own name does not count.
    """
    inside = clip.relative_to(folder)
    _, underscore, rest = clip.stem.partition("_")
    for word in (*reversed(inside.parts[:-1]), *reversed(re.split(r"[_\W]+", rest if underscore else clip.stem))):
        try:
            index = index_of(word)
        except KeyError:
            continue
        if index != NOT_OURS:
            return LABELS[index]
    return None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal.

    Raises:
        SourceError: when it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise SourceError(f"expected a clip at {path}, found: {error.strerror}; check the path") from error
    return digest.hexdigest()
