"""How well two labellers agree: Cohen's kappa of the flags, and the distance of the frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_fer.errors import SourceError
from edge_fer.lab.clips.marks import FLAG_NAMES, Marks
from edge_fer.lab.clips.saved import MARKS, Place, read_saved

STAMPS = ("start", "peak", "end")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well two labellers agree.

    Attributes:
        clips: how many both have labelled.
        only: how many only the first has labelled, and only the second.
        kappas: Cohen's kappa of each flag, -1 to 1; None where both always said the same of all clips, which leaves no
            chance to agree by more than chance.
        same: share of the clips of which both said the same, by flag, 0 to 1.
        distances: median distance of each of `STAMPS`, frames; None where no clip is marked by both.
        within: share of these clips in which it is two frames at most, 0 to 1; None as above.
        unread: files that are no marks, and why.
    """

    clips: int
    only: tuple[int, int]
    kappas: Mapping[str, float | None]
    same: Mapping[str, float]
    distances: Mapping[str, float | None]
    within: Mapping[str, float | None]
    unread: tuple[str, ...]

    def lines(self) -> list[str]:
        """As a table."""
        rows = [f"{'flag':28}{'kappa':>8}{'same':>8}"]
        rows += [f"{FLAG_NAMES[flag]:28}{_shown(self.kappas[flag])}{self.same[flag]:8.0%}" for flag in FLAG_NAMES]
        rows += [f"{'frame':28}{'median':>8}{'<= 2':>8}"]
        for name in STAMPS:
            share = self.within[name]
            rows.append(f"{name:28}{_shown(self.distances[name], 1)}{'-' if share is None else f'{share:.0%}':>8}")
        return rows


def compare(first: Path, second: Path) -> Agreement:
    """Compare the marks in two folders, clip by clip.

    Args:
        first: a folder of marks, such as `clips/marks/anna`.
        second: another one.

    Raises:
        SourceError: when one has no marks, or there is no clip that both have labelled.
    """
    unread: list[str] = []
    marks, others = _read(first, unread), _read(second, unread)
    both = sorted(marks.keys() & others.keys())
    if not both:
        raise SourceError(f"expected clips with marks in both {first} and {second}, found none; compare two labellers")
    pairs = [(marks[name], others[name]) for name in both]
    flags = {flag: [(getattr(a, flag), getattr(b, flag)) for a, b in pairs] for flag in FLAG_NAMES}
    marked = [(a, b) for a, b in pairs if a.is_marked and b.is_marked]
    gaps = {name: [abs(getattr(a, name) - getattr(b, name)) for a, b in marked] for name in STAMPS}
    return Agreement(
        clips=len(both),
        only=(len(marks) - len(both), len(others) - len(both)),
        kappas={flag: kappa(answers) for flag, answers in flags.items()},
        same={flag: float(np.mean([a == b for a, b in answers])) for flag, answers in flags.items()},
        distances={name: float(np.median(gap)) if gap else None for name, gap in gaps.items()},
        within={name: float(np.mean(np.array(gap) <= 2)) if gap else None for name, gap in gaps.items()},
        unread=tuple(unread),
    )


def kappa(answers: Sequence[tuple[bool, bool]]) -> float | None:
    """Cohen's kappa of pairs of answers (Cohen 1960); None where chance alone explains all.

    Args:
        answers: what each of two said, one pair a clip.
    """
    pairs = np.array(answers, float)
    observed = float((pairs[:, 0] == pairs[:, 1]).mean())
    yes = pairs.mean(axis=0)
    chance = float(yes.prod() + (1 - yes).prod())
    return None if chance == 1 else (observed - chance) / (1 - chance)


def _read(folder: Path, unread: list[str]) -> dict[Path, Marks]:
    """The marks in a folder by the names of their clips; those of `marks/` in it are others'."""
    if not folder.is_dir():
        raise SourceError(
            f"expected a folder of marks at {folder}, found none; see edge-fer lab clips label --labeller"
        )
    found: dict[Path, Marks] = {}
    for path in sorted(folder.rglob("*.txt")):
        inside = path.relative_to(folder)
        if inside.parts[0] == MARKS or any(part.startswith(".") for part in inside.parts):
            continue
        try:
            saved = read_saved(Place(path, path.with_suffix("")))
        except SourceError as error:
            unread.append(str(error))
            continue
        if saved is not None:
            found[inside.with_suffix("")] = saved.marks
    return found


def _shown(value: float | None, digits: int = 2) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.{digits}f}"
