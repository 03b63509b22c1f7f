"""One table of every network that was measured, from the records of exports, evaluations and ensembles.

A network appears in the table of each set of faces that it has read whole; what was not measured is a dash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_fer.errors import ModelError, SourceError
from edge_fer.inference.manifest import NetworkEntry
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.edgetpu.check import cost
from edge_fer.lab.edgetpu.latency_model import predict
from edge_fer.lab.evaluation.ensemble_record import EnsembleRecord, EnsembleSplit
from edge_fer.lab.evaluation.metrics import wilson
from edge_fer.lab.evaluation.published import FER2013, FER2013_TASK, FERPLUS, FERPLUS_TASK, Published
from edge_fer.lab.evaluation.record import Data, Estimate, Evaluation
from edge_fer.lab.evaluation.tables import percent, recall_deviation, spread, table
from edge_fer.lab.export.ensemble_card import split_tables
from edge_fer.lab.export.export_record import Export
from edge_fer.lab.files import Record, read_record
from edge_fer.lab.tflite.graph import Graph

_KINDS: tuple[type[Record], ...] = (Evaluation, Export, EnsembleRecord)
_BOARDS = ("Dev Board", "USB", "Pi 4")  # columns of predicted times: the first predictions whose title has these words


@dataclass(slots=True)
class Records:
    """What was read.

    Attributes:
        evaluations: of `edge-fer lab evaluate`.
        exports: of `edge-fer lab export`.
        ensembles: of `edge-fer lab ensemble`.
    """

    evaluations: list[Evaluation] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    ensembles: list[EnsembleRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Row:
    """A network on one set of faces; None: not measured.

    Attributes:
        name: name of the network, or of the ensemble.
        files: hashes of its files: one, or one for each member.
        date: when it was measured; the newest of several counts.
        int8: accuracy of the quantized network.
        float32: accuracy before quantization.
        balanced: mean recall.
        deviation: standard deviation of the recalls.
        p50_ms: of one classification on the processor.
        machine: that processor, and its threads.
    """

    name: str
    files: tuple[str, ...]
    date: str
    int8: Estimate | None = None
    float32: Estimate | None = None
    balanced: float | None = None
    deviation: float | None = None
    p50_ms: float | None = None
    machine: str | None = None


def read_records(paths: Iterable[Path]) -> Records:
    """Read records from files, and from folders and the folders inside them.

    Args:
        paths: files, each a record of a known kind; folders, in which other files are passed over.

    Raises:
        SourceError: when there is nothing at a path, or a record cannot be read.
    """
    records = Records()
    kinds = {kind.model_fields["schema_"].default: kind for kind in _KINDS}
    for path in paths:
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            kind = kinds.get(_schema(file))
            if kind is None and not path.is_dir():
                raise SourceError(f"expected a record ({', '.join(kinds)}) in {file}, found none; give another file")
            match None if kind is None else read_record(file, kind):
                case Evaluation() as evaluation:
                    records.evaluations.append(evaluation)
                case Export() as export:
                    records.exports.append(export)
                case EnsembleRecord() as ensemble:
                    records.ensembles.append(ensemble)
    return records


def _schema(path: Path) -> str | None:
    """What a JSON file says that it is; None where it says nothing."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise SourceError(f"expected a record at {path}, found: {error.strerror}; check the path") from error
    except ValueError:
        return None
    schema = content.get("schema") if isinstance(content, dict) else None
    return schema if isinstance(schema, str) else None


def network_tables(records: Records, stores: Sequence[ModelStore], level: int = 3) -> str:
    """A table for each set of faces, and the ensembles beside their members.

    Args:
        records: what was measured.
        stores: folders of models, for the sizes of files and predicted times.
        level: level of the headings.

    Raises:
        SourceError: when nothing was measured on a whole split.
    """
    facts = _Facts(records.exports, stores)
    parts: list[str] = []
    for data, rows in _sections(records):
        parts += [f"{'#' * level} {_title(data)}", _table(data, rows, facts), _notes(data, rows)]
    if not parts:
        raise SourceError("expected evaluations of all faces of a split, found none; see `edge-fer lab evaluate`")
    for record in records.ensembles:
        parts += [f"{'#' * level} The ensemble `{record.name}`", *split_tables(record)]
    return "\n\n".join(filter(None, parts)) + "\n"


class _Facts:
    """What is known of files, by their hashes."""

    def __init__(self, exports: Sequence[Export], stores: Sequence[ModelStore]) -> None:
        self._parameters = {export.sha256: export.parameters for export in exports}
        self._entries: dict[str, tuple[ModelStore, str, NetworkEntry]] = {
            spec.sha256: (store, name, spec) for store in stores for name, spec in store.networks.items()
        }

    def cells(self, files: Sequence[str]) -> list[str]:
        """Parameters, MiB, and predicted milliseconds on each board; of several files with a device for each."""
        parameters = [self._parameters.get(sha256) for sha256 in files]
        known = [count for count in parameters if count is not None]
        contents = [self._content(sha256) for sha256 in files]
        found = [content for content in contents if content is not None]
        whole = len(found) == len(files)
        times = [_predicted(content) for content in found] if whole else []
        return [
            f"{sum(known) / 1e6:.2f} M" if len(known) == len(files) else "-",
            f"{sum(map(len, found)) / 2**20:.1f}" if whole else "-",
            *(f"{max(one[board] for one in times):.0f}" if times and all(times) else "-" for board in _BOARDS),
        ]

    def _content(self, sha256: str) -> bytes | None:
        if sha256 not in self._entries:
            return None
        store, name, spec = self._entries[sha256]
        return store.load(name, spec.task)


def _predicted(content: bytes) -> Mapping[str, float]:
    """Milliseconds by board; nothing for a file that no Edge TPU runs."""
    try:
        graph = Graph(content)
        predictions = predict(cost(graph, graph.nodes))
    except ModelError:
        return {}
    return {
        board: next(one.milliseconds for one in predictions if board in one.board)
        for board in _BOARDS
        if any(board in one.board for one in predictions)
    }


def _sections(records: Records) -> Iterator[tuple[Data, list[_Row]]]:
    """Each set of faces with the networks that have read all of it, best first."""
    sets: dict[str, Data] = {}
    rows: dict[str, dict[str, _Row]] = {}
    for data, row in sorted(_all_rows(records), key=lambda pair: pair[1].date):
        sets[data.sha256] = data
        known = rows.setdefault(data.sha256, {})
        known[row.name] = _merged(known[row.name], row) if row.name in known else row
    order = {"validation": 0, "test": 1, "training": 2}
    for data in sorted(sets.values(), key=lambda one: (one.name, one.labels, order[one.split])):
        found = [_with_export(row, data, records.exports) for row in rows[data.sha256].values()]
        yield data, sorted(found, key=lambda row: -_best(row))


def _merged(old: _Row, new: _Row) -> _Row:
    """The newer figures, and those of the older row that it lacks."""
    names = _Row.__dataclass_fields__
    return replace(new, **{name: getattr(old, name) for name in names if getattr(new, name) in (None, ())})


def _best(row: _Row) -> float:
    return max((estimate.value for estimate in (row.int8, row.float32) if estimate is not None), default=0.0)


def _all_rows(records: Records) -> Iterator[tuple[Data, _Row]]:
    for evaluation in records.evaluations:
        crops = evaluation.mode("crops")
        chosen_here = evaluation.model.members and evaluation.data.split == "validation"
        if crops is None or evaluation.data.seed is not None or chosen_here:
            continue
        model, rival, one = evaluation.model, evaluation.against, crops.model
        is_int8 = model.quantization == "int8"
        before = crops.against if rival is not None and rival.quantization == "float32" and is_int8 else None
        yield (
            evaluation.data,
            _Row(
                model.name,
                (model.sha256,) if is_int8 and not model.members else (),
                evaluation.date,
                int8=one.accuracy if is_int8 else None,
                float32=one.accuracy if not is_int8 else before.accuracy if before is not None else None,
                balanced=one.balanced_accuracy,
                deviation=recall_deviation(one),
                p50_ms=one.latency.p50_ms if is_int8 else None,
                machine=_machine(evaluation.machine, one.latency.threads) if is_int8 else None,
            ),
        )
    for record in records.ensembles:
        for split in filter(None, (record.validation, record.test)):
            yield from ((split.data, row) for row in _ensemble_rows(record, split))


def _ensemble_rows(record: EnsembleRecord, split: EnsembleSplit) -> Iterator[_Row]:
    machine = _machine(record.machine, record.latency.threads)
    members = [member for member in record.members if member.weight]
    named = [(record.name, tuple(member.sha256 for member in members), split.ensemble, record.latency)]
    pairs = zip(record.members, split.members, strict=True)
    named += [(member.name, (member.sha256,), figures, member.latency) for member, figures in pairs]
    for name, files, figures, latency in named:
        yield _Row(
            name,
            files,
            record.date,
            int8=figures.accuracy,
            balanced=figures.balanced_accuracy,
            deviation=figures.recall_deviation,
            p50_ms=latency.p50_ms,
            machine=machine,
        )


def _with_export(row: _Row, data: Data, exports: Sequence[Export]) -> _Row:
    """A row with the accuracy before quantization, where its export measured that on the same number of faces."""
    if row.float32 is None and data.split == "validation" and len(row.files) == 1:
        for export in exports:
            found = export.validation
            if export.sha256 == row.files[0] and found.images == data.faces:
                low, high = wilson(round(found.float32 * found.images), found.images)
                return replace(row, float32=Estimate(value=found.float32, low=low, high=high))
    return row


def _machine(machine: Mapping[str, str], threads: int) -> str:
    return f"{machine.get('processor', 'unknown processor')}, {threads} threads"


def _title(data: Data) -> str:
    name = {"ferplus": "FER2013" if data.labels == "second" else "FER+"}.get(data.name, data.name)
    labels = "second labels" if data.labels == "second" and data.name != "ferplus" else "labels"
    return f"{name} {labels}: {data.faces:,} {data.split} faces"


def _table(data: Data, rows: Sequence[_Row], facts: _Facts) -> str:
    heads = ["network", "parameters", "INT8 file, MiB", "accuracy, float32", "accuracy, INT8", "balanced",
             "deviation of recalls", "CPU, ms", *(f"{board}, ms" for board in _BOARDS)]  # fmt: skip
    cells = []
    for row in rows:
        parameters, size, *times = facts.cells(row.files) if row.files else ["-"] * (2 + len(_BOARDS))
        accuracies = ["-" if one is None else spread(one) for one in (row.float32, row.int8)]
        time = "-" if row.p50_ms is None else f"{row.p50_ms:.1f}"
        figures = [percent(row.balanced), percent(row.deviation), time]
        cells.append([f"`{row.name}`", parameters, size, *accuracies, *figures, *times])
    dashes = ["-"] * (len(heads) - 4)
    published, _ = _published(data)
    cells += [[f"{one.name}, published (test)", "-", "-", f"{one.accuracy:.2%}", *dashes] for one in published]
    return table(heads, cells)


def _published(data: Data) -> tuple[tuple[Published, ...], str]:
    """What others published for these labels, and how their task differs."""
    if data.name != "ferplus":
        return (), ""
    return (FER2013, FER2013_TASK) if data.labels == "second" else (FERPLUS, FERPLUS_TASK)


def _notes(data: Data, rows: Sequence[_Row]) -> str:
    machines = ", ".join(sorted({row.machine for row in rows if row.machine is not None}))
    _, task = _published(data)
    ensembles = any(len(row.files) > 1 for row in rows)
    return " ".join(
        [
            "Accuracies with 95 % intervals.",
            *([f"Published figures: {task}."] if task else []),
            *([f"CPU: one classification, p50, on {machines}."] if machines else []),
            "The last columns are predicted from Coral's published times, not measured"
            + ("; of an ensemble with an Edge TPU for each member." if ensembles else "."),
            *(["An ensemble has its validation figures from nested folds."] if ensembles else []),
        ]
    )
