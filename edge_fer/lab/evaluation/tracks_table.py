"""Tables of what was measured on tracks: for cards, documents and terminals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import reading
from edge_fer.lab.evaluation.tables import percent, points, table
from edge_fer.lab.evaluation.tracks_record import BASELINE, MethodResult, ShareResult, TracksEvaluation, TracksRecord
from edge_fer.lab.files import read_record


def tracks_tables(record: TracksRecord) -> list[str]:
    """A heading and a table for each split that was read."""
    parts = []
    for evaluation in record.evaluations:
        parts += [_heading(evaluation), _table(evaluation)]
    parts.append(
        f"In parentheses: accuracy less that of the {BASELINE}, in points, with its 95 % interval for paired shares "
        "(Newcombe 1998)."
    )
    return parts


def tables_of(paths: Sequence[Path]) -> str:
    """The tables of every record of tracks among files and folders, by classifier.

    Args:
        paths: records, and folders, in which other files are passed over.

    Raises:
        SourceError: when there is none, or one cannot be read.
    """
    files = [file for path in paths for file in (sorted(path.rglob("*.json")) if path.is_dir() else [path])]
    named = {file for path in paths if not path.is_dir() for file in [path]}
    records = [read_record(file, TracksRecord) for file in files if file in named or _is_record(file)]
    if not records:
        raise SourceError("expected records of tracks, found none; see `edge-fer lab tracks`")
    parts = [part for record in records for part in (f"### `{record.model.name}` over time", *tracks_tables(record))]
    return "\n\n".join(parts) + "\n"


def _is_record(file: Path) -> bool:
    with reading(file, "a record"):
        return TracksRecord.model_fields["schema_"].default in file.read_text(encoding="utf-8")


def summary(record: TracksRecord) -> list[str]:
    """A line for each share of spoiled frames: the attention beside the mean."""
    lines = []
    for evaluation in record.evaluations:
        for result in evaluation.shares:
            found = {one.method: one for one in result.results}
            best = found.get("attention", found[BASELINE])
            auc = "" if result.auc is None else f", AUC {result.auc:.3f}"
            lines.append(
                f"{evaluation.data.split}, {_share(result)}: {BASELINE} {percent(found[BASELINE].accuracy.value)}, "
                f"{best.method} {percent(best.accuracy.value)} ({points(best.over_mean)}){auc}"
            )
    return lines


def _heading(evaluation: TracksEvaluation) -> str:
    data = evaluation.data
    kind = "synthetic tracks" if data.synthetic else "tracks"
    return f"{data.tracks:,} {kind} of {data.frames} frames, {data.split} faces of {data.name}:"


def _table(evaluation: TracksEvaluation) -> str:
    shares = evaluation.shares
    rows = [
        [first.method, *(_cell(share.results[number]) for share in shares)]
        for number, first in enumerate(shares[0].results)
    ]
    if any(share.auc is not None for share in shares):
        areas = ("" if share.auc is None else f"{share.auc:.3f}" for share in shares)
        rows.append(["AUC: low weight, spoiled frame", *areas])
    return table(["", *map(_share, shares)], rows)


def _cell(result: MethodResult) -> str:
    over = "" if result.method == BASELINE else f" ({points(result.over_mean)})"
    return f"{percent(result.accuracy.value)}{over}"


def _share(result: ShareResult) -> str:
    return "as filmed" if result.spoiled is None else f"{result.spoiled:.0%} spoiled"
