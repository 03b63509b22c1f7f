"""A page about a job: expressions over the time of each recording, their quality, and what could not be read.

One file that needs nothing else. Each recording is a stripe: time goes to the right, and the height of a colour is how
many faces showed that expression.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from edge_fer.archive.console import shares
from edge_fer.archive.job import Job
from edge_fer.archive.label_archive import Summary
from edge_fer.archive.layout import writing
from edge_fer.archive.others import ADVICE
from edge_fer.archive.record import RecordingRecord
from edge_fer.archive.timeline import SHOWN
from edge_fer.common.text import counted, printable

_MOST_STRIPES = 300
_COLOURS = ("#e5484d", "#8aa62f", "#9a6bdb", "#f2b705", "#3b82d6", "#12b5a6", "#8b8d98", "#d3d4dc")
"""Of `SHOWN`; no label is pale."""
_HEIGHT, _WIDTH = 60, 1000

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; }
main { overflow-wrap: break-word; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
p { margin: .2rem 0; }
svg { display: block; width: 100%; height: 4rem; background: color-mix(in srgb, currentColor 6%, transparent); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .15rem 1.2rem .15rem 0; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.key span { display: inline-block; margin-right: 1rem; white-space: nowrap; }
.key i { display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem; }
.axis { display: flex; justify-content: space-between; font-size: .85rem; }
.bad { border-left: .3rem solid #c33; padding-left: .5rem; }
"""


def write_report(path: Path, summary: Summary, job: Job) -> None:
    """Write the page.

    Args:
        path: the file.
        summary: what the job came to.
        job: what was done.

    Raises:
        OutputError: when it cannot be written.
    """
    records = sorted(summary.records.values(), key=lambda one: one.recording)
    body = [
        "<h1>Expressions in an archive</h1>",
        "<p>A label says what the annotators of a data set would call a face. It does not say what a person feels.</p>",
        _totals(summary, records, job),
        _problems(summary),
        _differing(summary),
        f"<h2>Over time</h2>{_key(summary)}",
        *(_stripe(record) for record in records[:_MOST_STRIPES]),
    ]
    if len(records) > _MOST_STRIPES:
        body.append(f"<p>The first {_MOST_STRIPES} recordings are drawn; all are in the tables.</p>")
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Expressions in an archive</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )
    with writing(path) as file:
        file.write(page.encode())


def _totals(summary: Summary, records: Sequence[RecordingRecord], job: Job) -> str:
    faces = sum(one.faces for one in records)
    rows = [
        ("recordings in tables", f"{len(records):,}"),
        ("recordings that failed", f"{len(summary.failed):,}"),
        ("duration", f"{sum(one.duration_ms for one in records) / 3.6e6:.2f} hours"),
        ("frames", f"{sum(one.frames for one in records):,}"),
        ("frames without a readable picture", f"{sum(one.frames_lost for one in records):,}"),
        ("frames shown with damage", f"{sum(one.frames_damaged for one in records):,}"),
        ("faces in all frames", f"{faces:,}"),
        ("tracks", f"{sum(one.tracks for one in records):,}"),
    ]
    reasons = sorted({reason for one in records for reason in one.withheld})
    for reason in reasons:
        count = sum(one.withheld.get(reason, 0) for one in records)
        rows.append((f"faces without a label: {reason.replace('_', ' ')}", f"{count:,} ({count / faces:.1%})"))
    made = [("sampling", job.facts["sampling"]), ("classifier", job.facts["model"]), ("version", job.facts["version"])]
    cells = "".join(
        f'<tr><th>{escape(name)}</th><td class="number">{escape(text)}</td></tr>' for name, text in [*rows, *made]
    )
    return f'<h2>In all</h2><div class="scroll"><table>{cells}</table></div>'


def _problems(summary: Summary) -> str:
    if not summary.problems:
        return "<h2>What could not be read</h2><p>Nothing: every recording was read to its end.</p>"
    rows = "".join(
        f"<tr><td>{escape(printable(name))}</td><td>{state}</td><td>{escape(reason)}</td></tr>"
        for name, (state, reason) in summary.problems.items()
    )
    head = "<tr><th>recording</th><th>state</th><th>why</th></tr>"
    return f'<h2>What could not be read</h2><div class="scroll"><table>{head}{rows}</table></div>'


def _differing(summary: Summary) -> str:
    """Recordings of the folder whose tables are of other settings; nothing where there are none."""
    if not summary.differing:
        return ""
    rows = "".join(
        f"<tr><td>{escape(printable(name))}</td><td>{escape(printable(how))}</td></tr>"
        for name, how in summary.differing.items()
    )
    head = "<tr><th>recording</th><th>read with</th></tr>"
    return (
        f"<h2>Of other settings in this folder</h2><p>{ADVICE[0].upper()}{ADVICE[1:]}.</p>"
        f'<div class="scroll"><table>{head}{rows}</table></div>'
    )


def _key(summary: Summary) -> str:
    known = shares(summary)
    parts = (
        f'<span><i style="background:{colour}"></i>{label or "no label"} {known.get(label, 0.0):.1%}</span>'
        for label, colour in zip(SHOWN, _COLOURS, strict=True)
    )
    return f'<p class="key">{"".join(parts)}</p>'


def _stripe(record: RecordingRecord) -> str:
    seconds = record.duration_ms / 1e3
    facts = (
        f"{counted(record.frames, 'frame')}, {counted(record.faces, 'face')} in {counted(record.tracks, 'track')}, "
        f"at most {record.most_faces} at a time"
    )
    notes = "".join(f'<p class="bad">{escape(note)}</p>' for note in filter(None, (record.problem, *record.warnings)))
    title = escape(printable(record.recording))
    top = max((sum(one) for one in record.bins), default=0.0)
    chart = (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Expressions over time in {title}">{"".join(_areas(record.bins, top))}</svg>'
        f'<div class="axis"><span>0:00</span><span>faces: up to {top / record.bin_ms:.1f}</span>'
        f"<span>{_clock(seconds)}</span></div>"
    )
    return f"<h3>{title}</h3><p>{facts}</p>{notes}{chart if top else '<p>No face in it.</p>'}"


def _areas(bins: Sequence[Sequence[float]], top: float) -> Iterable[str]:
    """One area for each label, on top of those before it."""
    step, below = _WIDTH / len(bins), [0.0] * len(bins)
    for place, colour in enumerate(_COLOURS):
        above = [low + one[place] for low, one in zip(below, bins, strict=True)]
        if above != below:
            there = [
                f"{index * step:.0f},{_y(value, top)} {(index + 1) * step:.0f},{_y(value, top)}"
                for index, value in enumerate(above)
            ]
            back = [
                f"{(index + 1) * step:.0f},{_y(value, top)} {index * step:.0f},{_y(value, top)}"
                for index, value in reversed(list(enumerate(below)))
            ]
            yield f'<polygon fill="{colour}" points="{" ".join([*there, *back])}"/>'
        below = above


def _y(value: float, top: float) -> str:
    return f"{_HEIGHT * (1 - value / top):.1f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
