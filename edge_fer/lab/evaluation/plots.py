"""An evaluation as pictures: how far confidence can be trusted, and what is taken for what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edge_fer.lab.evaluation.record import Calibration, Evaluation, ModeResult
from edge_fer.lab.files import writing
from edge_fer.types import LABELS

_BLUE, _RED = "#2b6cb0", "#c53030"
_DARK_CELL = 0.55  # share from which a cell's numbers are written in white


def plot_reliability(path: Path, evaluation: Evaluation) -> None:
    """Draw accuracy over confidence before and after the temperature, one row a mode, as PNG.

    Raises:
        OutputError: when it cannot be written.
    """
    rows = len(evaluation.modes)
    figure = Figure(figsize=(10, 4.9 * rows), layout="constrained")
    figure.suptitle(_title(evaluation))
    for pair, result in zip(figure.subplots(rows, 2, squeeze=False), evaluation.modes, strict=True):
        for axes, when, found in zip(pair, ("before", "after"), (result.model.before, result.model.after), strict=True):
            _draw_reliability(axes, found)
            axes.set_title(f"{result.mode}, {when}: temperature {found.temperature:.2f}, ECE {found.ece:.3f}")
    _save(figure, path)


def plot_confusion(path: Path, evaluation: Evaluation) -> None:
    """Draw what is taken for what, one panel a mode, as PNG.

    Raises:
        OutputError: when it cannot be written.
    """
    columns = len(evaluation.modes)
    figure = Figure(figsize=(7.5 * columns, 6.6), layout="constrained")
    figure.suptitle(_title(evaluation))
    for axes, result in zip(figure.subplots(1, columns, squeeze=False)[0], evaluation.modes, strict=True):
        _draw_confusion(axes, result)
    _save(figure, path)


def _title(evaluation: Evaluation) -> str:
    data = evaluation.data
    return (
        f"{evaluation.model.name} ({evaluation.model.quantization}): {data.faces:,} {data.split} faces of {data.name}"
    )


def _draw_reliability(axes: Axes, found: Calibration) -> None:
    """Each bin at its mean confidence: its accuracy, and a line to where it should be."""
    confidence = np.array([part.confidence for part in found.bins])
    accuracy = np.array([part.accuracy for part in found.bins])
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="as it should be")
    axes.vlines(confidence, confidence, accuracy, color=_RED, linewidth=2, alpha=0.7, label="gap")
    bins = f"{len(found.bins)} bins of equal mass"
    axes.plot(confidence, accuracy, color=_BLUE, marker="o", markersize=5, linewidth=1.2, label=bins, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean confidence", ylabel="accuracy", aspect="equal")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="upper left")


def _draw_confusion(axes: Axes, result: ModeResult) -> None:
    names = [*LABELS, "not found"] if result.model.miss_rate is not None else list(LABELS)
    counts = np.array(result.model.confusion)[:, : len(names)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        colour = "white" if share > _DARK_CELL else "black" if count else "#a0aec0"
        axes.text(column, row, f"{share:.0%}\n{count}", ha="center", va="center", color=colour, fontsize=9)
    for line in range(1, len(LABELS)):
        axes.axhline(line - 0.5, color="white", linewidth=2)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(LABELS)), LABELS)
    axes.set(xlabel="named", ylabel="label", title=f"{result.mode}: accuracy {result.model.accuracy.value:.1%}")


def _save(figure: Figure, path: Path) -> None:
    with writing(path):
        figure.savefig(path, format="png", dpi=120)
