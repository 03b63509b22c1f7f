"""The marks of a clip: where an expression begins, peaks and ends, and five flags (Adebayo 2021, Table 2)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from edge_fer.errors import SourceError

FLAGS = {"G": "non_correlating", "T": "limb", "U": "low", "P": "heavy", "X": "other"}
"""The flag that each key switches, in the order of the file."""

FLAG_NAMES = {
    "non_correlating": "non-correlating expression",
    "limb": "abnormal limb behaviour",
    "low": "low face occlusion",
    "heavy": "heavy face occlusion",
    "other": "other",
}
"""What the paper calls each flag."""

EXCLUDING = ("non_correlating", "heavy", "other")
"""With one of these flags a clip says nothing of its expected expression."""

_EXCLUSIVE = {"low": "heavy", "heavy": "low"}
_STAMPS = ("start", "end", "peak")
_UNSET = -1  # in the file


@dataclass(frozen=True, slots=True)
class Marks:
    """What a labeller has marked in one clip; frames are counted from 0.

    Attributes:
        start: the first frame of the expression; None: not marked yet, as for the next two.
        end: the last frame of the expression.
        peak: the frame in which it is strongest.
        non_correlating: whether the expression is not the expected one.
        limb: whether the person scratches, or moves the limbs abnormally.
        low: whether more than 30 % of the face is covered.
        heavy: whether more than 60 % of the face is covered.
        other: whether something else makes the clip useless.
    """

    start: int | None = None
    end: int | None = None
    peak: int | None = None
    non_correlating: bool = False
    limb: bool = False
    low: bool = False
    heavy: bool = False
    other: bool = False

    @property
    def is_marked(self) -> bool:
        """Whether start, end and peak are all there."""
        return self.start is not None and self.end is not None and self.peak is not None

    @property
    def is_excluded(self) -> bool:
        """Whether a flag says that the clip does not show its expected expression."""
        return any(getattr(self, name) for name in EXCLUDING)

    @property
    def incomplete(self) -> str:
        """Why the marks cannot be saved yet, a sentence; empty where they can."""
        if self.is_marked or (self.is_excluded and self == replace(self, start=None, end=None, peak=None)):
            return ""
        missing = next(name for name in _STAMPS if getattr(self, name) is None)
        return (
            f"The {missing} is not marked yet: go to its frame and press S. Without marks, only G, P or X can be saved."
        )

    def line(self) -> bytes:
        """The content of the marks file: eight integers with tabs between them; -1 for frames that are not marked."""
        values = [getattr(self, field.name) for field in fields(self)]
        return "\t".join(str(_UNSET if value is None else int(value)) for value in values).encode() + b"\n"


class Pressed(NamedTuple):
    """What a key has done.

    Attributes:
        marks: the marks now.
        refusal: why they are what they were, a sentence; empty where the key did its work.
    """

    marks: Marks
    refusal: str = ""


def press(marks: Marks, key: str, frame: int) -> Pressed:
    """What a key makes of the marks.

    Args:
        marks: the marks so far.
        key: `S` marks the frame: first the start, then the end, then the peak. `W` takes all marks and flags away. The
            keys of `FLAGS` switch a flag; low and heavy occlusion exclude each other.
        frame: the frame that is shown, from 0.

    Raises:
        KeyError: when the key does nothing to marks.
    """
    if key == "S":
        return _stamp(marks, frame)
    if key == "W":
        return Pressed(Marks())
    flag = FLAGS[key]
    changes = {flag: not getattr(marks, flag)}
    if flag in _EXCLUSIVE and changes[flag]:
        changes[_EXCLUSIVE[flag]] = False
    return Pressed(replace(marks, **changes))


def parse_marks(content: bytes, where: str) -> Marks:
    """The marks in the content of a file.

    Args:
        content: what `Marks.line` gives; any white space may be between the numbers.
        where: the file, for messages.

    Raises:
        SourceError: when it is something else.
    """
    try:
        numbers = [int(word) for word in content.decode("ascii").split()]
    except ValueError as error:  # no number, or no ASCII
        raise _unlike(where, "other words") from error
    if len(numbers) != len(fields(Marks)):
        raise _unlike(where, f"{len(numbers)}")
    stamps, flags = numbers[:3], numbers[3:]
    if any(flag not in (0, 1) for flag in flags) or min(stamps) < _UNSET:
        raise _unlike(where, " ".join(map(str, numbers)))
    start, end, peak = (None if stamp == _UNSET else stamp for stamp in stamps)
    marks = Marks(start, end, peak, *map(bool, flags))
    if marks.incomplete or (marks.low and marks.heavy) or not _in_order(marks):
        raise _unlike(where, " ".join(map(str, numbers)))
    return marks


def _stamp(marks: Marks, frame: int) -> Pressed:
    if marks.start is None:
        return Pressed(replace(marks, start=frame))
    if marks.end is None:
        if frame < marks.start:
            return Pressed(marks, f"The end cannot be before the start, frame {marks.start}: go forward, or press Z.")
        return Pressed(replace(marks, end=frame))
    if marks.peak is None:
        if not marks.start <= frame <= marks.end:
            return Pressed(marks, f"The peak must be between frame {marks.start} and frame {marks.end}.")
        return Pressed(replace(marks, peak=frame))
    return Pressed(marks, "All three frames are marked: E saves, Z takes the last mark back, W takes all away.")


def _in_order(marks: Marks) -> bool:
    if marks.start is None or marks.end is None or marks.peak is None:
        return True
    return marks.start <= marks.peak <= marks.end


def _unlike(where: str, found: str) -> SourceError:
    return SourceError(
        f"expected eight integers in {where} (start, end and peak with start <= peak <= end, then five flags of 0 or "
        f"1), found {found}; label the clip again"
    )
