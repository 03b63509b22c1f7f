"""References: saved figures that later ones are compared with, one CSV file for each board.

    board,source,figure,unit,value
    "Raspberry Pi 4 Model B Rev 1.4, 4 cores",sample,live latency p95,ms,61.2

Rows are compared where board, source and figure are the same.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from edge_fer.bench.records import Comparison, Crowd, Live, Report
from edge_fer.errors import ConfigError, OutputError
from edge_fer.schema import StageTime

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a benchmark.

    Attributes:
        board: name of the machine it was measured on; see `edge_fer.common.machine.board`.
        source: name of the source.
        figure: what was measured.
        unit: unit of the value.
        value: the value.
    """

    board: str
    source: str
    figure: str
    unit: str
    value: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure beside the saved one.

    Attributes:
        row: the figure.
        kept: the saved value.
    """

    row: Row
    kept: float

    @property
    def ratio(self) -> float | None:
        """`row.value` / `kept`; None where the saved value is 0."""
        return self.row.value / self.kept if self.kept else None


def rows(report: Report) -> list[Row]:
    """All figures of a report except its predictions, which are no reference."""
    found: list[Row] = []
    source = report.source
    if report.live is not None:
        found += [Row(report.board, source, *figure) for figure in _of_live(report.live)]
    if report.comparison is not None:
        found += [Row(report.board, source, *figure) for figure in _of_comparison(report.comparison)]
    for crowd in report.crowds:
        found += [Row(report.board, f"synthetic:{crowd.faces}", *figure) for figure in _of_crowd(crowd)]
    if report.growth is not None:
        found.append(Row(report.board, "synthetic", "crowd time a face", "ms", report.growth.slope_ms))
    return found


def save(path: Path, report: Report) -> None:
    """Save the figures of a report as a reference.

    Args:
        path: the CSV file.
        report: the report.

    Raises:
        OutputError: when the file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(field.name for field in fields(Row))
            writer.writerows(astuple(row) for row in rows(report))
    except OSError as error:
        raise OutputError(f"expected to write {path}, found: {error.strerror}; choose another place") from error


def load(path: Path) -> list[Row]:
    """The figures in a file, or in all CSV files of a folder.

    Raises:
        ConfigError: when a file is missing or is no reference.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    return [row for file in files for row in _read(file)]


def compare(report: Report, kept: Iterable[Row]) -> list[Ratio]:
    """The figures of a report that were also saved for the same board and source, in the report's order."""
    known = {(row.board, row.source, row.figure): row.value for row in kept}
    keyed = ((row, (row.board, row.source, row.figure)) for row in rows(report))
    return [Ratio(row, known[key]) for row, key in keyed if key in known]


def folder() -> Path:
    """The folder of the references that come with edge-fer: in the installed package, or in the source tree."""
    package = Path(__file__).parent.parent
    installed = package / "_bench_reference"
    return installed if installed.is_dir() else package.parent / "deploy" / "bench_reference"


def _read(path: Path) -> list[Row]:
    names = [field.name for field in fields(Row)]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if table.fieldnames != names:
                raise ConfigError(f"expected the columns {','.join(names)} in {path}, found {table.fieldnames}")
            return [Row(row["board"], row["source"], row["figure"], row["unit"], float(row["value"])) for row in table]
    except OSError as error:
        raise ConfigError(f"expected a reference at {path}, found: {error.strerror}; make one with --save") from error
    except (TypeError, ValueError, csv.Error) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"expected a reference in {path}, found: {error}; make one with --save") from error


Figure = tuple[str, str, float]


def _of_live(live: Live) -> Iterator[Figure]:
    yield "live rate", "1/s", live.fps
    for name in ("p50", "p95", "p99"):
        yield f"live latency {name}", "ms", getattr(live.latency_ms, name)
    yield "live jitter p99", "ms", live.jitter_ms
    yield "live labels", "1/s", live.labels_per_s
    yield "live processor", "%", live.resources.cpu_percent
    yield "live peak memory", "MB", live.resources.rss_mb
    yield from _of_stages("live", live.stages)


def _of_comparison(comparison: Comparison) -> Iterator[Figure]:
    for result in comparison.results:
        yield f"{result.name} rate", "1/s", result.fps
        yield f"{result.name} frame p50", "ms", result.p50_ms
    yield from _of_stages("decoded", comparison.stages)


def _of_crowd(crowd: Crowd) -> Iterator[Figure]:
    yield "crowd time a frame", "ms", crowd.frame_ms
    yield "crowd live rate", "1/s", crowd.live.fps
    yield "crowd live captured", "1/s", crowd.live.captured_fps
    yield "crowd live latency p95", "ms", crowd.live.latency_ms.p95


def _of_stages(run: str, stages: dict[str, StageTime]) -> Iterator[Figure]:
    for name, time in stages.items():
        yield f"{run} {name} p50", "ms", time.p50_ms
        yield f"{run} {name} p95", "ms", time.p95_ms
