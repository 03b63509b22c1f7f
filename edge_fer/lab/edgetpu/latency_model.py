"""How long an inference would take on an Edge TPU: a prediction, with the errors it makes on published models.

    time = bytes over the link / link rate + multiplications / compute rate + overhead

The three are fitted for each board to Coral's published times (edgetpu_benchmarks.yaml) by non-negative least squares
of the relative error (Lawson and Hanson, 1974). They are effective rates: the chip streams and computes partly at the
same time, so that the fitted link is a little faster than a real one. Errors are leave-one-out: each published model
is predicted from a fit to the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edge_fer.lab.edgetpu.check import SRAM_BYTES, Cost


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Benchmark(_Record):
    """One published model; see the comments of the YAML file."""

    name: str
    side: int
    parameters: float
    gmacs: float
    usb3: float
    dev_board: float
    source: str
    verified: bool

    @property
    def cost(self) -> Cost:
        """What it needs, as `edgetpu_check` counts it."""
        parameters = round(self.parameters * 1e6)
        streamed = max(0, parameters - SRAM_BYTES)
        return Cost(parameters, streamed, self.side**2 * 3 + 1000, round(self.gmacs * 1e9))


class Board(_Record):
    """A board: one of the table's columns, or like one of them but for its link."""

    title: str
    like: str | None = None
    link_mb_s: float | None = Field(None, gt=0)
    why: str | None = None


class Table(_Record):
    """The whole file."""

    schema_: str = Field(alias="schema")
    boards: dict[str, Board]
    models: tuple[Benchmark, ...]
    left_out: dict[str, str]


@dataclass(frozen=True, slots=True)
class Errors:
    """Leave-one-out errors, as parts of the published time.

    Attributes:
        models: how many were left out in turn.
        median: median of the absolute errors.
        worst: the largest of them.
        worst_model: whose that is.
    """

    models: int
    median: float
    worst: float
    worst_model: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted time on one board.

    Attributes:
        board: its title.
        milliseconds: time of one inference, the Edge TPU's part only.
        link_mb_s: fitted or assumed.
        gmacs_per_s: fitted.
        overhead_ms: fitted.
        errors: over all published models.
        alike: over those that stream most of their parameters, or over those that do not, whichever this model is.
        why: how it was derived, where the board has no column of its own.
    """

    board: str
    milliseconds: float
    link_mb_s: float
    gmacs_per_s: float
    overhead_ms: float
    errors: Errors
    alike: Errors
    why: str | None


def predict(cost: Cost) -> tuple[Prediction, ...]:
    """The time on every board that the table names.

    Args:
        cost: the cost of the Edge TPU's part of a model.
    """
    return tuple(_predict(cost, name) for name in table().boards)


@cache
def table() -> Table:
    """The published models."""
    text = files(__package__).joinpath("edgetpu_benchmarks.yaml").read_text(encoding="utf-8")
    return Table.model_validate(yaml.safe_load(text))


@cache
def leave_one_out(column: str) -> tuple[float, ...]:
    """The relative error of each published model's time, predicted from the others: 0.1 is a tenth too slow."""
    models = table().models
    return tuple(
        float(_terms(model.cost) @ _fit(models[:number] + models[number + 1 :], column) / _time(model, column)) - 1
        for number, model in enumerate(models)
    )


def _predict(cost: Cost, name: str) -> Prediction:
    board = table().boards[name]
    column = board.like or name
    per_byte, per_mac, overhead = _fit(table().models, column)
    if board.link_mb_s is not None:
        per_byte = 1e-3 / board.link_mb_s
    return Prediction(
        board=board.title,
        milliseconds=float(_terms(cost) @ np.array([per_byte, per_mac, overhead])),
        link_mb_s=1e-3 / float(per_byte),
        gmacs_per_s=1e-6 / float(per_mac),
        overhead_ms=float(overhead),
        errors=_errors(column, table().models),
        alike=_errors(column, tuple(m for m in table().models if m.cost.mostly_streamed == cost.mostly_streamed)),
        why=board.why,
    )


def _errors(column: str, of: tuple[Benchmark, ...]) -> Errors:
    found = dict(zip(table().models, map(abs, leave_one_out(column)), strict=True))
    errors = {model: found[model] for model in of}
    worst = max(errors, key=errors.__getitem__)
    return Errors(len(errors), float(np.median(list(errors.values()))), errors[worst], worst.name)


def _time(model: Benchmark, column: str) -> float:
    return float(getattr(model, column))


def _terms(cost: Cost) -> NDArray[np.float64]:
    """What the fitted numbers (ms a byte, ms a multiplication, ms) are multiplied by."""
    return np.array([cost.streamed_bytes + cost.image_bytes, cost.macs, 1.0])


def _fit(models: tuple[Benchmark, ...], column: str) -> NDArray[np.float64]:
    """The three numbers of a board."""
    times = np.array([_time(model, column) for model in models])
    rows = np.stack([_terms(model.cost) for model in models]) / times[:, None]
    return nonnegative_least_squares(rows, np.ones(len(models)))


def nonnegative_least_squares(rows: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The non-negative x with the least |rows x - goal|: the best plain solution over a subset of the columns.

    With three columns there are seven subsets, and no library is needed that the runtime does not have.

    Args:
        rows: `(n, 3)`.
        goal: `(n,)`.

    Returns:
        `(3,)`.
    """
    best, least = np.zeros(rows.shape[1]), float(goal @ goal)
    for count in range(1, rows.shape[1] + 1):
        for columns in combinations(range(rows.shape[1]), count):
            found = np.zeros(rows.shape[1])
            found[[*columns]] = np.linalg.lstsq(rows[:, columns], goal, rcond=None)[0]
            error = float(((rows @ found - goal) ** 2).sum())
            if error < least and (found >= 0).all():
                best, least = found, error
    return best
