"""`edge-fer lab table`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import reading
from edge_fer.lab.files import replacing

_NETWORKS, _TRACKS = "networks", "tracks"


def table(
    records: Annotated[
        list[Path], typer.Argument(help="Records, or folders of them: *.export.json, evaluation.json, *.ensemble.json.")
    ],
    models: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of models, for sizes and predicted times; may be given again. The shipped are known."
        ),
    ] = None,
    tracks: Annotated[
        bool, typer.Option("--tracks", help="Tabulate records of `attention` and `tracks`, and nothing else.")
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option(
            help="Page to write it into, between `<!-- networks: begin -->` and `<!-- networks: end -->`; of tracks, "
            "between the same with `tracks`.",
            metavar="PAGE",
        ),
    ] = None,
) -> None:
    """Tabulate every network that was measured, for each set of faces, beside published figures.

    In: what `edge-fer lab export`, `evaluate` and `ensemble` wrote. Out: Markdown: parameters, size, accuracy before
    and after quantization with intervals, balanced accuracy, deviation of the recalls, time of a face, predicted times
    on Edge TPUs; and each ensemble beside its members. What was not measured is a dash; of two figures the newer
    counts.

    Example: edge-fer lab table models/ out/evaluate/ --models my-models --into docs/accuracy.md
    """
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.evaluation.tracks_table import tables_of
    from edge_fer.lab.export.network_table import network_tables, read_records

    if tracks:
        text = tables_of(records)
    else:
        text = network_tables(read_records(records), [ModelStore(folder) for folder in (None, *(models or ()))])
    if into is None:
        typer.echo(text, nl=False)
    else:
        _insert(into, text, _TRACKS if tracks else _NETWORKS)


def _insert(page: Path, text: str, what: str) -> None:
    """Replace what stands between the two marks of a page."""
    opening, closing = f"<!-- {what}: begin -->", f"<!-- {what}: end -->"
    with reading(page, "a page of Markdown"):
        before, begin, rest = page.read_text(encoding="utf-8").partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end:
        raise SourceError(f"expected the lines `{opening}` and `{closing}` in {page}, found none; add them")
    with replacing(page) as file:
        file.write(f"{before}{begin}\n\n{text}\n{end}{after}".encode())
