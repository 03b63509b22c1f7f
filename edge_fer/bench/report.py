"""A benchmark's report as tables."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from edge_fer.bench.records import Comparison, Crowd, Growth, Live, Prediction, Report, Simulation
from edge_fer.bench.reference import Ratio
from edge_fer.common.machine import SEARCH_SOURCE
from edge_fer.schema import StageTime

_WIDTH = 160  # characters of a line where there is no terminal


def to_text(report: Report, *, terminal: bool = False) -> str:
    """A report as tables.

    Args:
        report: what was measured.
        terminal: whether the text is for a terminal, with its colours and width.
    """
    console, text = _console(terminal=terminal)
    if report.live is not None:
        _show_live(report.live, console)
    if report.comparison is not None:
        _show_comparison(report.comparison, report.source, console)
    if report.crowds:
        _show_crowds(report.crowds, report.growth, console)
    if report.simulation is not None:
        _show_simulation(report.simulation, console)
    _say(console, "  ".join(f"{name}: {value}" for name, value in report.machine.items()))
    _say(console, f"detector: {', '.join(report.networks)}  governor: {report.governor or 'unknown'}")
    if report.advice is not None:
        _say(console, report.advice)
    return text.getvalue()


def ratios_text(ratios: Sequence[Ratio], *, terminal: bool = False) -> str:
    """Figures beside the saved ones, as a table."""
    table = _table("beside the reference", "figure", "source", "unit", "kept", "now", "now / kept")
    for found in ratios:
        ratio = "" if found.ratio is None else f"{found.ratio:.2f}x"
        row = found.row
        table.add_row(row.figure, row.source, row.unit, f"{found.kept:g}", f"{row.value:g}", ratio)
    console, text = _console(terminal=terminal)
    console.print(table)
    return text.getvalue()


def _console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=None if terminal else _WIDTH), text


def _show_live(live: Live, console: Console) -> None:
    console.print(_stage_table(f"{live.source}, paced like a camera, {live.seconds:.1f} s", live.stages))
    for line in live_lines(live):
        _say(console, line)


def live_lines(live: Live) -> list[str]:
    """The figures of a live run, in sentences."""
    latency, resources = live.latency_ms, live.resources
    lines = [
        f"capture to publishing: p50 {latency.p50:.1f}  p95 {latency.p95:.1f}  p99 {latency.p99:.1f} ms; "
        f"jitter (p99 of |interval - median|) {live.jitter_ms:.1f} ms",
        f"readings: {live.fps:.1f} a second of {live.captured_fps:.1f} captured, {live.dropped} dropped; "
        f"longest gap of the camera {live.longest_gap_ms:.0f} ms",
    ]
    if live.label_age_ms is not None:
        age = live.label_age_ms
        lines.append(
            f"labels: {live.labels_per_s:.1f} a second, {live.faces:.1f} faces a reading; "
            f"age p50 {age.p50:.0f}  p95 {age.p95:.0f} ms"
        )
    held = f" ({resources.frames_mb:.0f} of it frames that the benchmark holds)" if resources.frames_mb else ""
    degrees = ", ".join(f"{name} {value:.0f} C" for name, value in resources.temperatures.items())
    lines.append(
        f"processor: {resources.cpu_percent:.0f} % of one core; peak memory {resources.rss_mb:.0f} MB{held}; "
        f"temperature: {degrees or 'unknown'}"
    )
    warm = live.warm_up
    lines.append(
        f"warm-up, not counted: {warm.frames} readings in {warm.seconds:.1f} s, slowest {warm.slowest_ms:.0f} ms\n"
    )
    return lines


def _show_comparison(comparison: Comparison, source: str, console: Console) -> None:
    width, height = comparison.size
    frames = f"{comparison.frames} decoded frames of {width}x{height}"
    table = _table(
        f"{source}, {frames}, {comparison.turns} turns, as fast as it goes",
        "", "min face", "faces", "p50 ms", "p95 ms", "p99 ms", "FPS", "edge-fer is faster by",
    )  # fmt: skip
    for result in comparison.results:
        table.add_row(
            result.name,
            str(result.min_face),
            str(result.faces),
            f"{result.p50_ms:.1f}",
            f"{result.p95_ms:.1f}",
            f"{result.p99_ms:.1f}",
            f"{result.fps:.1f} ({result.fps_spread[0]:.1f}-{result.fps_spread[1]:.1f})",
            f"{result.speedup:.2f}x ({result.speedup_spread[0]:.2f}-{result.speedup_spread[1]:.2f})",
        )
    console.print(table)
    console.print(_stage_table("edge-fer's stages in that", comparison.stages))
    _say(console, f"warm-up, not counted: {comparison.warm_up} frames each\n")


def _show_crowds(crowds: Sequence[Crowd], growth: Growth | None, console: Console) -> None:
    table = _table(
        "crowds", "faces", "found", "ms a frame", "line", "live FPS", "captured", "p95 ms", "labels a second",
        "label age p95 ms",
    )  # fmt: skip
    for crowd in crowds:
        live, (least, most) = crowd.live, crowd.spread_ms
        age = live.label_age_ms
        table.add_row(
            str(crowd.faces),
            f"{crowd.found:.1f}",
            f"{crowd.frame_ms:.1f} ({least:.1f}-{most:.1f})",
            f"{growth.at(crowd.faces):.1f}" if growth and crowd.faces else "",
            f"{live.fps:.1f}",
            f"{live.captured_fps:.1f}",
            f"{live.latency_ms.p95:.1f}",
            f"{live.labels_per_s:.1f}",
            f"{age.p95:.0f}" if age else "",
        )
    console.print(table)
    _say(console, "ms a frame: as fast as it goes, every face read; the others: before a camera")
    if growth is not None:
        _say(console, growth_line(growth))


def growth_line(growth: Growth) -> str:
    """How the time grows with the faces, in a sentence."""
    alone = growth.classify_ms + growth.follow_ms
    return (
        f"a face more costs {growth.slope_ms:.2f} ms; one classification and one O-Net alone: "
        f"{growth.classify_ms:.2f} + {growth.follow_ms:.2f} = {alone:.2f} ms ({growth.slope_ms / alone:.2f} of it); "
        f"no crowd is further than {growth.worst_ms:.1f} ms from the line\n"
    )


def _show_simulation(simulation: Simulation, console: Console) -> None:
    profile = simulation.profile
    _say(console, f"PREDICTIONS for {profile.title}; nothing was measured on one")
    _say(console, f"accelerator: {profile.label_ms:g} ms a face: {profile.label_source}")
    if simulation.detector_on_accelerator:
        _say(console, f"accelerator: {profile.search_ms:g} ms a search of a picture: {SEARCH_SOURCE}")
    if profile.network_ms:
        _say(console, f"network: {profile.network_ms:g} ms a face: {profile.network_source}")
    _say(console, f"processor: every stage x {profile.stretch:g}: {profile.stretch_source}\n")
    table = _table(
        "predicted", "source", "faces", "FPS", "captured", "labels a second", "p95 ms", "label age p95 ms", "binds",
        "bound", "reached",
    )  # fmt: skip
    for found in simulation.predictions:
        live = found.live
        table.add_row(
            live.source,
            f"{live.faces:.1f}",
            f"{live.fps:.1f}",
            f"{live.captured_fps:.1f}",
            f"{live.labels_per_s:.1f}",
            f"{live.latency_ms.p95:.1f}",
            f"{live.label_age_ms.p95:.0f}" if live.label_age_ms else "",
            found.binding,
            f"{found.bound:.1f} {unit_of(found)}",
            f"{found.share:.1%}",
        )
    console.print(table)
    if profile.published:
        _say(console, f"published, measured: {profile.published}\n")
    for found in simulation.predictions:
        console.print(_stage_table(f"predicted stages, {found.live.source}", found.live.stages))


def unit_of(prediction: Prediction) -> str:
    """The unit of a prediction's bound."""
    return "labels/s" if prediction.binding == "accelerator" else "frames/s"


def _stage_table(title: str, stages: Mapping[str, StageTime]) -> Table:
    table = _table(title, "stage", "passes", "p50 ms", "p95 ms", "p99 ms")
    for name, time in stages.items():
        p99 = "" if time.p99_ms is None else f"{time.p99_ms:.2f}"
        table.add_row(name, str(time.count), f"{time.p50_ms:.2f}", f"{time.p95_ms:.2f}", p99)
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    return table


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
