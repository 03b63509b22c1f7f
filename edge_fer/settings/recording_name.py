"""Names of recordings, with the time in them, and how long one of them may get; nothing here opens a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

FILMS = (".mp4", ".mkv", ".avi")
PICTURES = (".jpg", ".jpeg", ".png")

_DIRECTIVES = {
    "Y": r"\d{4,}", "y": r"\d\d", "m": r"\d\d", "d": r"\d\d", "j": r"\d{3}", "H": r"\d\d", "M": r"\d\d", "S": r"\d\d",
    "%": "%",
}  # fmt: skip
"""Parts of the time that a name may have, as of strftime(3), each with a regular expression for what it becomes."""

_AGAIN = r"(-\d+)?"  # of a name that there was before

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "MB": 1e6, "GB": 1e9}


@dataclass(frozen=True)
class RecordingName:
    """The name of recordings.

    Args:
        text: a path; `%Y` and so on stand for the local time when a file begins. One that ends in `/` is a folder
            for pictures.

    Raises:
        ValueError: when no recording can have that name.
    """

    text: str

    def __post_init__(self) -> None:
        name = self.text.rpartition("/")[2]
        if not self.text or "\0" in self.text or name.lower() in (*FILMS, *PICTURES):
            raise ValueError(f"expected the name of a recording, such as out.mp4, found {self.text!a}; choose one")
        if name and self.suffix not in (*FILMS, *PICTURES):
            raise ValueError(
                f"expected a recording that ends in one of {', '.join((*FILMS, *PICTURES))}, or a folder for pictures "
                f"that ends in /, found {self.text!a}; choose another name"
            )
        for directive in re.findall("%(.?)", self.text):
            if directive not in _DIRECTIVES or not directive:
                known = ", ".join(f"%{letter}" for letter in _DIRECTIVES)
                raise ValueError(f"expected one of {known} in a recording's name, found %{directive} in {self.text!a}")

    @property
    def suffix(self) -> str:
        """The ending of the files, in small letters: `.mkv`."""
        return Path(self.text).suffix.lower() if self._has_name else ".jpg"

    @property
    def is_film(self) -> bool:
        """Whether the pictures go into films, and not each into a file of its own."""
        return self.suffix in FILMS

    @property
    def base(self) -> Path:
        """The folder that must exist: the others, with the time in their names or for pictures, are made."""
        folders = self._parts[: -1 if self._has_name else -2]
        fixed = next((number for number, folder in enumerate(folders) if "%" in folder), len(folders))
        return self._root.joinpath(*folders[:fixed])

    def path(self, at: datetime, picture: str) -> Path:
        """The path of a file.

        Args:
            at: when it begins, local time.
            picture: its name where `text` is a folder for pictures.
        """
        text = self.text if self._has_name else f"{self.text}{picture.replace('%', '%%')}.jpg"
        return Path(re.sub("%(.)", lambda found: "%" if found[1] == "%" else at.strftime(found[0]), text))

    def patterns(self) -> Iterator[re.Pattern[str]]:
        """Regular expressions for the names below `base`: of each folder, and of the files at last."""
        *folders, _ = parts = self._parts[len(self.base.parts) - len(self._root.parts) :]
        yield from (re.compile(_shape(folder)) for folder in folders)
        stem = _shape(parts[-1][: -len(self.suffix)]) if self._has_name else ".+"
        yield re.compile(f"{stem}{_AGAIN}{re.escape(self.suffix)}", re.IGNORECASE)

    @property
    def _has_name(self) -> bool:
        return not self.text.endswith("/")

    @property
    def _root(self) -> Path:
        return Path("/") if self.text.startswith("/") else Path()

    @property
    def _parts(self) -> list[str]:
        """Folders and file; of a folder for pictures the file is empty."""
        parts = [part for part in self.text.split("/") if part not in ("", ".")]
        return parts if self._has_name else [*parts, ""]


def _shape(part: str) -> str:
    """A regular expression for what a folder or file is called at any time."""
    pieces = re.split("%(.)", part)
    return "".join(_DIRECTIVES[piece] if index % 2 else re.escape(piece) for index, piece in enumerate(pieces))


class Segment(NamedTuple):
    """How long a recording may get before the next one begins; null: for ever.

    Attributes:
        seconds: duration.
        size: bytes.
    """

    seconds: float | None = None
    size: float | None = None


def parse_segment(text: str) -> Segment:
    """Parse the longest length of one recording.

    Args:
        text: a duration or a size: `10 min`, `500 MB`.

    Raises:
        ValueError: when it is neither, or shorter than a second or smaller than a megabyte.
    """
    match = re.fullmatch(rf"([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?) *({'|'.join(_UNITS)})", text.strip())
    amount = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if match is None or amount < 1 or (match[2].endswith("B") and amount < 1e6):
        raise ValueError(f"expected a duration or a size such as 10 min, 1 h, 500 MB or 2 GB, found {text!a}")
    return Segment(size=amount) if match[2].endswith("B") else Segment(seconds=amount)
