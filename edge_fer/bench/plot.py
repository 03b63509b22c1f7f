"""A benchmark's report as a picture: the time of each stage, and how it grows with the faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edge_fer.bench.records import Crowd, Growth, Report
from edge_fer.errors import ConfigError, OutputError
from edge_fer.schema import StageTime

_HALF, _MOST, _NEARLY_ALL = "#2b6cb0", "#90b4d8", "#c53030"
_GREY = "#4a5568"
_ROW = 0.55  # height of a stage's bar with its space, inches
_LEAST = 0.05  # milliseconds: shorter times are drawn as this on the logarithmic axis

Panel = tuple[str, Mapping[str, StageTime]]


def check_plot(path: Path) -> None:
    """Check before the measurement whether a plot can be made.

    Raises:
        ConfigError: when the name is no PNG file, or the folder or the library is missing.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(f"expected a file whose name ends with .png for --plot, found {path}")
    if not path.parent.is_dir():
        raise ConfigError(f"expected a folder at {path.parent} for --plot, found none; make it first")
    _figure_class()


def plot(path: Path, report: Report) -> None:
    """Draw the stage times of a report's runs, and its crowds where there are some, as PNG.

    Raises:
        ConfigError: when the library is missing.
        OutputError: when the picture cannot be written.
    """
    panels = _panels(report)
    heights = [max(len(stages), 3) for _, stages in panels] + ([8] if report.growth else [])
    figure = _figure_class()(figsize=(9, sum(heights) * _ROW + 1.1 * len(heights) + 0.8), layout="constrained")
    figure.suptitle(f"edge-fer bench on {report.board}", fontsize=14, fontweight="bold")
    grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    longest = max((time.p99_ms or time.p95_ms for _, stages in panels for time in stages.values()), default=1.0)
    for axes, (title, stages) in zip(grid, panels, strict=False):
        handles = _draw_stages(axes, title, stages, longest)
        axes.legend(handles=handles, loc="lower right", frameon=False, ncols=3, bbox_to_anchor=(1.0, 1.0),
                    borderaxespad=0.2)  # fmt: skip
    if report.growth:
        _draw_growth(grid[-1], report.crowds, report.growth)
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise OutputError(f"expected to write {path}, found: {error.strerror}; choose another place") from error


def _panels(report: Report) -> list[Panel]:
    found: list[Panel] = []
    if report.live is not None:
        found.append((f"{report.live.source}, paced like a camera", report.live.stages))
    if report.comparison is not None:
        found.append((f"{report.source}, as fast as it goes", report.comparison.stages))
    if report.simulation is not None:
        board = report.simulation.profile.name
        for each in report.simulation.predictions:
            found.append((f"{each.live.source}, predicted for the {board}", each.live.stages))
    return found


def _figure_class() -> Any:
    """Matplotlib's Figure, which draws without a screen.

    It is imported by name, when a plot is asked for: the runtime may not import the library.
    """
    try:
        return import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise ConfigError(
            f"--plot needs the library `{error.name}`, which is not there; pip install '.[plot]' in its checkout"
        ) from error


def _draw_stages(axes: Any, title: str, stages: Mapping[str, StageTime], longest: float) -> list[Any]:
    """Draw one bar for each stage, on a logarithmic axis; returns the handles for the legend."""
    rows = np.arange(len(stages))
    half, most, nearly_all = (
        np.array([max(getattr(time, name) or 0.0, _LEAST) for time in stages.values()])
        for name in ("p50_ms", "p95_ms", "p99_ms")
    )
    light = axes.barh(rows, most, height=0.62, color=_MOST, label="p95")
    dark = axes.barh(rows, half, height=0.62, color=_HALF, label="p50")
    (mark,) = axes.plot(nearly_all, rows, linestyle="", marker="|", markersize=15, markeredgewidth=2.2,
                        color=_NEARLY_ALL, label="p99")  # fmt: skip
    for row, time in zip(rows, stages.values(), strict=True):
        right = max(most[row], nearly_all[row])
        axes.annotate(f"{time.p50_ms:.2f}", (right, row), (8, 0), textcoords="offset points", va="center",
                      color=_GREY, fontsize=9)  # fmt: skip
    axes.set_yticks(rows, list(stages))
    axes.invert_yaxis()
    axes.set(xscale="log", xlim=(_LEAST, max(longest * 2.5, 1.0)))
    axes.set_xlabel("milliseconds a pass (beside each bar: p50)")
    axes.set_title(title, loc="left", fontsize=11)
    axes.xaxis.set_major_formatter("{x:g}")
    _plain(axes, "x")
    return [dark, light, mark]


def _draw_growth(axes: Any, crowds: Sequence[Crowd], growth: Growth) -> None:
    faces = np.array([crowd.faces for crowd in crowds])
    times = np.array([crowd.frame_ms for crowd in crowds])
    spread = np.abs(np.array([crowd.spread_ms for crowd in crowds]).T - times)
    line = np.array([0, faces.max()])
    alone = growth.classify_ms + growth.follow_ms
    axes.plot(line, growth.base_ms + alone * line, color=_GREY, linestyle="--", linewidth=1.2,
              label=f"one classification and one O-Net more: {alone:.1f} ms a face")  # fmt: skip
    axes.plot(line, growth.base_ms + growth.slope_ms * line, color=_HALF, linewidth=1.6,
              label=f"line through the crowds: {growth.slope_ms:.1f} ms a face")  # fmt: skip
    axes.errorbar(faces, times, yerr=spread, linestyle="", marker="o", color=_NEARLY_ALL, capsize=3,
                  label="measured, with the spread of the turns")  # fmt: skip
    axes.set(xlabel="faces", ylabel="milliseconds a frame", xticks=faces, xlim=(-0.4, faces.max() + 0.4))
    axes.set_ylim(bottom=0)
    axes.set_title("time a frame, every face read, as fast as it goes", loc="left", fontsize=11)
    axes.legend(loc="upper left", frameon=False)
    _plain(axes, "y")


def _plain(axes: Any, grid: str) -> None:
    axes.grid(visible=True, axis=grid, alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
