"""Where records go: one sink a file."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import TypeAdapter

from edge_fer.types import Image, Reading, Record, Status

_RECORDS: dict[type, TypeAdapter[Record]] = {Reading: TypeAdapter(Reading), Status: TypeAdapter(Status)}


class Sink(Protocol):
    """Takes every record of a run, in order."""

    def publish(self, record: Record, image: Image | None) -> None:
        """Take one record.

        Args:
            record: a reading or a status.
            image: the frame of a reading, `(height, width, 3)` uint8, BGR, not to be written to; null for a status.

        Raises:
            OutputError: when it cannot be written.
        """
        ...

    def close(self) -> None:
        """Finish what was begun; nothing is published afterwards."""
        ...


def to_json(record: Record) -> str:
    """One line of JSON, without the line feed."""
    return _RECORDS[type(record)].dump_json(record).decode()


def json_schema() -> dict[str, object]:
    """JSON Schema of all records, by the record's name and version."""
    return {
        "edge-fer/reading/1": _complete(_RECORDS[Reading].json_schema(mode="serialization")),
        "edge-fer/status/1": _complete(_RECORDS[Status].json_schema(mode="serialization")),
    }


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with every field required: a record always has all of them."""
    for record in (schema, *schema.get("$defs", {}).values()):
        if "properties" in record:
            record["required"] = list(record["properties"])
    return schema
