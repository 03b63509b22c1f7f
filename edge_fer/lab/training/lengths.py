"""How long stages are: what of a recipe may change before a run is resumed, for a stage that is not left behind.

Steps that are made stay what they were, and what is random in the next ones does not depend on the length. The learning
rate does, where it follows the progress of the stage: it goes on as that of a stage of the new length. At a rate that
does not (`constant` or `plateau`, without `warmup`), and without `minutes`, the weights are the very ones of a run
that was this long from the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_fer.errors import ConfigError
from edge_fer.lab.training.recipe import Schedule

LENGTH = frozenset({"epochs", "minutes", "patience"})
"""Names of the settings of a stage that only say when it ends."""

Lengths = list[dict[str, float | None]]
"""The length of each stage, in order."""


def lengths_of(stages: Sequence[Schedule]) -> Lengths:
    """The lengths of stages."""
    return [stage.model_dump(include=set(LENGTH)) for stage in stages]


def changes(before: Lengths, now: Lengths, names: Sequence[str], at: int) -> list[str]:
    """What has changed of the lengths since a checkpoint was written, a line for each stage.

    Args:
        before: those of the checkpoint.
        now: those of the recipe.
        names: of the stages.
        at: number of the stage that is trained; those before it are left behind.

    Raises:
        ConfigError: when a stage that is left behind had another length.
    """
    lines = []
    for number, (name, old, new) in enumerate(zip(names, before, now, strict=True)):
        changed = [key for key in new if new[key] != old[key]]
        if changed and number < at:
            was, found = (", ".join(f"{key}={_shown(one[key])}" for key in changed) for one in (old, new))
            raise ConfigError(
                f"expected {was} in stage {name}, which is over and has others after it, found {found}; give it its "
                "old length, or train into another --out"
            )
        if changed:
            lines.append(f"{name} has another length: {', '.join(_change(key, old, new) for key in changed)}")
    return lines


def nothing_left(name: str) -> str:
    """What is said of a stage that is resumed at its end."""
    return (
        f"nothing is left to train in {name}: it has had its epochs, minutes or patience; --set more of them to go on"
    )


def _change(key: str, old: dict[str, float | None], new: dict[str, float | None]) -> str:
    return f"{key} {_shown(old[key])} before, {_shown(new[key])} now"


def _shown(value: float | None) -> str:
    return "null" if value is None else f"{value:g}"
