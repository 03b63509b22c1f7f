"""A benchmark as a table for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from edge_fer.bench import Report


def show(report: Report, console: Console | None = None) -> None:
    """Print a report.

    Args:
        report: what was measured.
        console: where to; null: standard output.
    """
    console = console or Console()
    table = Table(title=f"{report.source}, {report.frames} frames of {report.size[0]}x{report.size[1]}, "
                        f"{report.turns} turns")  # fmt: skip
    for heading in ("", "min face", "faces", "p50 ms", "p95 ms", "FPS", "edge-fer is faster by"):
        table.add_column(heading, justify="right" if heading else "left")
    for result in report.results:
        table.add_row(
            result.name,
            str(result.min_face),
            str(result.faces),
            f"{result.p50_ms:.1f}",
            f"{result.p95_ms:.1f}",
            f"{result.fps:.1f} ({result.fps_spread[0]:.1f}-{result.fps_spread[1]:.1f})",
            f"{result.speedup:.2f}x ({result.speedup_spread[0]:.2f}-{result.speedup_spread[1]:.2f})",
        )
    console.print(table)
    console.print("  ".join(f"{name}: {value}" for name, value in report.machine.items()), highlight=False)
