"""Tables on the disk, written and read a few thousand rows at a time: Parquet, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, get_args

from edge_fer.archive.columns import Column
from edge_fer.common.closeable import Closeable
from edge_fer.errors import ConfigError

Format = Literal["parquet", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)
Row = Mapping[str, Any]

_ROWS = 8192  # are in memory at a time, and in a group of Parquet's


def require_pyarrow() -> None:
    """Check that pyarrow is there.

    Raises:
        ConfigError: when it is not.
    """
    if find_spec("pyarrow") is None:
        raise ConfigError(
            "expected pyarrow, which writes the tables, found none; pip install '.[archive]' in its checkout"
        )


class Table(Protocol):
    """A table that is being written."""

    def add(self, row: Row) -> None:
        """Write a row: a value for each column, None where it is missing."""
        ...

    def close(self) -> None:
        """Write what is left; the file stays open."""
        ...


def write_table(file: BinaryIO, form: Format, columns: Sequence[Column], facts: Mapping[str, str]) -> Table:
    """Begin a table.

    Args:
        file: where it goes.
        form: Parquet, or a JSON object a line.
        columns: its columns.
        facts: what the table was made of and how; JSON lines have no place for it.
    """
    return _Parquet(file, columns, facts) if form == "parquet" else _JsonLines(file, columns)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, in order."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as table:
        for batch in table.iter_batches(_ROWS, use_threads=False):
            yield from batch.to_pylist()


class _Parquet(Closeable):
    """See `write_table`."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column], facts: Mapping[str, str]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        kinds = {
            "text": pa.dictionary(pa.int32(), pa.string()),
            "int32": pa.int32(),
            "int64": pa.int64(),
            "float32": pa.float32(),
            "float64": pa.float64(),
            "moment": pa.timestamp("ms", tz="UTC"),
        }
        fields = [
            pa.field(one.name, kinds[one.kind], one.optional, {"unit": one.unit, "meaning": one.meaning})
            for one in columns
        ]
        self._schema = pa.schema(fields, {f"edge_fer.{name}": value for name, value in facts.items()})
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._values: dict[str, list[Any]] = {one.name: [] for one in columns}
        self._rows = 0

    def add(self, row: Row) -> None:
        """Write a row."""
        for name, values in self._values.items():
            values.append(row[name])
        self._rows += 1
        if self._rows == _ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            arrays = [pa.array(self._values[field.name], field.type) for field in self._schema]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        for values in self._values.values():
            values.clear()
        self._rows = 0


class _JsonLines(Closeable):
    """See `write_table`."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._names = [one.name for one in columns]
        self._text = TextIOWrapper(file, encoding="utf-8", newline="\n")

    def add(self, row: Row) -> None:
        """Write a row."""
        content = {name: row[name] for name in self._names}
        self._text.write(json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=_moment) + "\n")

    def close(self) -> None:
        """Write what is left."""
        self._text.flush()
        self._text.detach()


def _moment(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"expected a value of a table, found {type(value).__name__}")
    return value.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
