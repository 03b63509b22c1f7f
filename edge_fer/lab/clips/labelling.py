"""What the labelling page does: clips, their marks, undo, and what is saved. It knows no web server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from edge_fer.common.closeable import Closeable
from edge_fer.common.text import counted
from edge_fer.errors import EdgeFerError, SourceError
from edge_fer.lab.clips.claim import MarksClaim
from edge_fer.lab.clips.cut_record import CutClip, read_cuts
from edge_fer.lab.clips.frames import ClipFrames, FrameCache
from edge_fer.lab.clips.marks import FLAGS, Marks, press
from edge_fer.lab.clips.saved import (
    MarksRecord,
    Place,
    expected_in_name,
    find_places,
    marks_folder,
    read_saved,
    save,
)
from edge_fer.types import LABELS, Label

_MOST_STEPS = 1000  # that can be taken back

Status = Literal["open", "saved", "excluded", "unsaved", "damaged"]
"""Of a clip in the list; `excluded`: saved, with a flag that leaves it out of training."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a labeller says of a clip: its marks, and the expression that it should show."""

    marks: Marks
    expected: Label | None


@dataclass
class _Sheet:
    """One clip on the table.

    Attributes:
        place: where it and its marks are.
        now: the judgement as it stands.
        saved: as it is kept; None: nothing is kept.
        history: judgements before, which Z brings back.
        damage: why what was kept cannot be read; empty where it can.
        named: the expression that the clip's name or the record of its cut says; None: they say none.
        sha256: of the clip's file when it was labelled; None where that is not known.
    """

    place: Place
    now: Judgement
    saved: Judgement | None = None
    history: list[Judgement] = field(default_factory=list)
    damage: str = ""
    named: Label | None = None
    sha256: str | None = None

    @property
    def is_unsaved(self) -> bool:
        """Whether there is something to lose."""
        before = self.saved or Judgement(Marks(), self.named)
        return self.now != before

    @property
    def status(self) -> Status:
        """How it is shown in the list."""
        if self.is_unsaved:
            return "unsaved"
        if self.saved is None:
            return "damaged" if self.damage else "open"
        return "excluded" if self.saved.marks.is_excluded else "saved"


class Labelling(Closeable):
    """Clips and what is said of them, by nobody else until it is closed. For several threads.

    Args:
        folder: the folder of the clips.
        cache: their frames.
        labeller: who labels; None: nobody in particular.
        now: the time.

    Raises:
        ConfigError: when the labeller's name cannot be a folder's, or another page writes the same marks.
        SourceError: when there are no clips, or a record of how they were cut is damaged.
        OutputError: when no marks can be written there.
    """

    def __init__(
        self,
        folder: Path,
        cache: FrameCache,
        labeller: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._cache, self._labeller, self._now = cache, labeller, now
        self._lock = threading.RLock()
        self._cuts, places = read_cuts(folder), find_places(folder, labeller)
        self._claim = MarksClaim(marks_folder(folder, labeller))
        self._sheets = [self._sheet(place, folder) for place in places]
        self.title = folder.resolve().name

    def __len__(self) -> int:
        return len(self._sheets)

    def close(self) -> None:
        """Let others write the marks; may be called again."""
        self._claim.close()

    def overview(self) -> dict[str, Any]:
        """All clips, how far each is, and the first one that is not labelled yet."""
        with self._lock:
            clips = [
                {"name": sheet.place.clip.stem, "status": sheet.status, "expected": sheet.now.expected}
                for sheet in self._sheets
            ]
            return {"title": self.title, "labeller": self._labeller, "clips": clips, "next": self._next(-1)}

    def clip(self, index: int) -> dict[str, Any]:
        """All that the page shows of one clip, which is decoded for that.

        Raises:
            EdgeFerError: when there is no such clip, or it cannot be read.
        """
        sheet = self._sheet_at(index)
        frames = self._cache.open(sheet.place.clip)
        cut = self._cuts.get(sheet.place.clip.stem)
        with self._lock:
            return {
                "index": index,
                "name": sheet.place.clip.stem,
                "frames": len(frames.times_ms),
                "times_ms": frames.times_ms,
                "size": frames.size,
                "fps": frames.fps,
                "variable": frames.is_variable,
                "boxes": _boxes(cut, frames),
                "note": " ".join(note for note in (frames.note, sheet.damage, _changed(sheet, frames)) if note),
                **self._state(sheet),
            }

    def jpeg(self, index: int, number: int) -> bytes:
        """One frame of one clip, JPEG.

        Raises:
            EdgeFerError: when there is no such clip or frame.
        """
        return self._cache.open(self._sheet_at(index).place.clip).jpeg(number)

    def press(self, index: int, key: str, frame: int) -> dict[str, Any]:
        """Do what a key does; what the page shows of the marks afterwards, with a sentence.

        Args:
            index: the clip.
            key: one of Table 2's keys that change something, `Z`, or `1` to `7` for the expected expression.
            frame: the frame that is shown.

        Raises:
            EdgeFerError: when there is no such clip, frame or key, or the marks cannot be saved.
        """
        sheet = self._sheet_at(index)
        count = len(self._cache.open(sheet.place.clip).times_ms)
        if not 0 <= frame < count:
            raise SourceError(f"expected a frame from 0 to {count - 1}, found {frame}; reload the page")
        with self._lock:
            if key == "E":
                return self._save(index, sheet)
            message = self._change(sheet, key, frame)
            return {**self._state(sheet), "message": message}

    def prefetch(self, index: int) -> None:
        """Decode the next clip that is not labelled yet, so that it is there at once."""
        following = self._next(index)
        if following is not None and following != index:
            self._cache.open(self._sheet_at(following).place.clip)

    def _change(self, sheet: _Sheet, key: str, frame: int) -> str:
        """Change a judgement; why not, where it stays as it is."""
        before, message = sheet.now, ""
        if key == "Z":
            if not sheet.history:
                return "There is nothing to take back."
            sheet.now = sheet.history.pop()
            return ""
        if key == "Q":  # leaves without saving
            sheet.now = sheet.saved or Judgement(Marks(), sheet.named)
            sheet.history.clear()
            return ""
        if key in ("S", "W", *FLAGS):
            marks, message = press(before.marks, key, frame)
            sheet.now = Judgement(marks, before.expected)
        elif key.isdecimal() and 1 <= int(key) <= len(LABELS):
            sheet.now = Judgement(before.marks, LABELS[int(key) - 1])
        else:
            raise SourceError(f"expected one of the keys on the page, found {key[:8]!a}; reload the page")
        if sheet.now != before:
            sheet.history = [*sheet.history[-_MOST_STEPS:], before]
        return message

    def _save(self, index: int, sheet: _Sheet) -> dict[str, Any]:
        marks, expected = sheet.now.marks, sheet.now.expected
        missing = marks.incomplete
        if not missing and expected is None and not marks.is_excluded:
            missing = "Which expression should the clip show? Choose it with 1 to 7."
        if missing:
            return {**self._state(sheet), "message": missing}
        frames = self._cache.open(sheet.place.clip)
        record = MarksRecord(
            sha256=frames.sha256,
            fps=round(frames.fps, 3),
            frames=len(frames.times_ms),
            expected=expected,
            labeller=self._labeller,
            at=self._now().isoformat(timespec="seconds"),
        )
        save(sheet.place, marks, record)
        sheet.saved, sheet.damage, sheet.sha256 = sheet.now, "", frames.sha256
        return {**self._state(sheet), "message": "", "saved": True, "next": self._next(index)}

    def _next(self, index: int) -> int | None:
        """The next clip that is not labelled yet, from the beginning again after the last one."""
        with self._lock:
            order = [*range(index + 1, len(self._sheets)), *range(index + 1)]
            return next((one for one in order if self._sheets[one].saved is None), None)

    def _state(self, sheet: _Sheet) -> dict[str, Any]:
        return {
            "marks": asdict(sheet.now.marks),
            "expected": sheet.now.expected,
            "named": sheet.named is not None and sheet.now.expected == sheet.named,
            "status": sheet.status,
            "unsaved": sheet.is_unsaved,
        }

    def _sheet_at(self, index: int) -> _Sheet:
        if not 0 <= index < len(self._sheets):
            raise SourceError(f"expected a clip from 0 to {len(self._sheets) - 1}, found {index}; reload the page")
        return self._sheets[index]

    def _sheet(self, place: Place, folder: Path) -> _Sheet:
        cut = self._cuts.get(place.clip.stem)
        named = (cut.expected if cut else None) or expected_in_name(place.clip, folder)
        try:
            saved = read_saved(place)
        except EdgeFerError as error:  # the clip is labelled again
            return _Sheet(place, Judgement(Marks(), named), damage=str(error), named=named)
        if saved is None:
            return _Sheet(place, Judgement(Marks(), named), named=named)
        judgement = Judgement(saved.marks, saved.record.expected if saved.record else named)
        sha256 = saved.record.sha256 if saved.record else None
        return _Sheet(place, judgement, saved=judgement, named=named, sha256=sha256)


def _changed(sheet: _Sheet, frames: ClipFrames) -> str:
    """What does not fit between a clip and its marks; empty where they fit."""
    end = sheet.now.marks.end
    if end is not None and end >= len(frames.times_ms):
        count = counted(len(frames.times_ms), "frame")
        return f"The end is marked at frame {end}, and the clip has {count}: mark them again (W)."
    if sheet.sha256 not in (None, frames.sha256):
        return "The clip is another file than the one that was labelled: check the marks, and save them again (E)."
    return ""


def _boxes(cut: CutClip | None, frames: ClipFrames) -> list[Any]:
    """Where the face is that the clip is about; empty where that is not known."""
    return list(cut.boxes) if cut is not None and len(cut.boxes) == len(frames.times_ms) else []
