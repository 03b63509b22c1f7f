"""How quick the runtime would be on a Raspberry Pi's processor, without an Edge TPU: a prediction with its spread.

    time of `se_resnet50` on a Pi 4 = its multiplications / rate
    any other time on a Pi 4        = time on the README's machine * (that time / `se_resnet50` on the README's machine)
    time on a Pi 5                  = time on a Pi 4 / 2 to 3

The rate is that of published networks on a Pi 4 (pi_benchmarks.yaml): the median, the slowest and the quickest of them.
With two threads, the default, they take t(2) = a + b / 2, on t(n) = a + b / n through one thread and four. That
all else slows down as the classifier does is an assumption. Nothing here was measured on a Pi.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import median

import yaml
from pydantic import BaseModel, ConfigDict, Field

from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.edgetpu.check import check

THREADS = 2
"""Of the classifier: the default."""

_ANCHOR = "se_resnet50"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Benchmark(_Record):
    """One published network: milliseconds with one thread and with four."""

    name: str
    gmacs: float
    int8: tuple[float, float]

    @property
    def rate(self) -> float:
        """Multiplications a millisecond, with `THREADS` threads."""
        one, four = self.int8
        shared = (one - four) / (1 - 1 / 4)
        return self.gmacs * 1e9 / (one - shared + shared / THREADS)


class Here(_Record):
    """Times on the README's machine, milliseconds."""

    labels: dict[str, float]
    search: float
    frame: float


class RecordT(_Record):
    """The whole file; see its comments."""

    schema_: str = Field(alias="schema")
    models: tuple[Benchmark, ...]
    pi5: tuple[float, float]
    here: Here


@dataclass(frozen=True, slots=True)
class Span:
    """A predicted time, milliseconds: the likeliest, and between which two it should lie."""

    likely: float
    least: float
    most: float

    def __mul__(self, factor: float) -> Span:
        return Span(self.likely * factor, self.least * factor, self.most * factor)

    def faster(self, low: float, high: float) -> Span:
        """On a machine that is `low` to `high` times as quick."""
        return Span(self.likely / math.sqrt(low * high), self.least / high, self.most / low)

    def __str__(self) -> str:
        return f"{self.likely:.0f} ({self.least:.0f}-{self.most:.0f})"

    @property
    def rate(self) -> str:
        """As many a second."""
        return f"{1e3 / self.likely:.0f} ({1e3 / self.most:.0f}-{1e3 / self.least:.0f})"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One classifier on one board.

    Attributes:
        board: its name.
        classifier: name of the classifier in the manifest.
        label: reading one face.
        search: searching one whole picture.
        frame: all else of a frame with one face.
        all_read: a frame whose face is followed and read, one after the other.
    """

    board: str
    classifier: str
    label: Span
    search: Span
    frame: Span
    all_read: Span


def predict() -> tuple[Prediction, ...]:
    """Every classifier that is shipped, on a Pi 4 and on a Pi 5."""
    here = facts().here
    cost = check(ModelStore().load(_ANCHOR, "classify")).cost
    times = sorted(cost.macs / model.rate for model in facts().models)
    pi4 = Span(median(times), times[0], times[-1]) * (1 / here.labels[_ANCHOR])  # times as slow as here
    return tuple(
        Prediction(
            board, name, slower * label, slower * here.search, slower * here.frame, slower * (label + here.frame)
        )
        for board, slower in {"Pi 4": pi4, "Pi 5": pi4.faster(*facts().pi5)}.items()
        for name, label in here.labels.items()
    )


def table() -> str:
    """The predictions in Markdown."""
    rows = [
        f"| {found.board} | `{found.classifier}` | {found.label} | {found.label.rate} | {found.search} | "
        f"{found.frame} | {found.frame.rate} | {found.all_read.rate} |\n"
        for found in predict()
    ]
    return (
        "| board | classifier | a face read, ms | labels a second | a picture searched, ms | a face followed, ms | "
        "FPS, followed | FPS, each face of each frame read |\n|---|---|---|---|---|---|---|---|\n"
    ) + "".join(rows)


@cache
def facts() -> RecordT:
    """What the predictions are made from."""
    text = files(__package__).joinpath("pi_benchmarks.yaml").read_text(encoding="utf-8")
    return RecordT.model_validate(yaml.safe_load(text))
