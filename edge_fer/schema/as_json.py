"""The public records as JSON objects, and the JSON Schema of these."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from edge_fer.schema.reading import Reading
from edge_fer.schema.status import Status
from edge_fer.schema.track import TrackRecord

Record = Reading | Status | TrackRecord
"""What leaves the box."""

_FACE = "edge-fer/face/1"
_FACE_IDENTITY = ("device", "run", "frame", "captured_at", "captured_ns", "clock_synced")  # of its reading

_RECORDS: dict[type, TypeAdapter[Record]] = {
    Reading: TypeAdapter(Reading),
    Status: TypeAdapter(Status),
    TrackRecord: TypeAdapter(TrackRecord),
}


def to_json(record: Record) -> str:
    """One line of JSON, without the line feed."""
    return _RECORDS[type(record)].dump_json(record).decode()


def to_dict(record: Record) -> dict[str, Any]:
    """What `to_json` writes, as names and plain values."""
    content: dict[str, Any] = _RECORDS[type(record)].dump_python(record, mode="json")
    return content


def faces_to_json(reading: Reading) -> dict[int, str]:
    """Each face of a reading by its id, as a record of its own, `edge-fer/face/1`: one line, without the line feed."""
    content = to_dict(reading)
    identity = {"schema": _FACE, **{name: content[name] for name in _FACE_IDENTITY}}
    return {
        face["id"]: json.dumps({**identity, **face}, ensure_ascii=False, separators=(",", ":"))
        for face in content["faces"]
    }


def json_schema() -> dict[str, object]:
    """JSON Schema of all records, by the record's name and version."""
    reading = _complete(_RECORDS[Reading].json_schema(mode="serialization"))
    return {
        "edge-fer/reading/1": reading,
        "edge-fer/status/1": _complete(_RECORDS[Status].json_schema(mode="serialization")),
        "edge-fer/track/1": _complete(_RECORDS[TrackRecord].json_schema(mode="serialization")),
        _FACE: _face_schema(reading),
    }


def _face_schema(reading: dict[str, Any]) -> dict[str, Any]:
    """That of a face by itself, made of that of the readings."""
    parts = dict(reading["$defs"])
    face, fields = parts.pop("FaceReading"), reading["properties"]
    properties = {
        "schema": {**fields["schema"], "const": _FACE, "default": _FACE},
        **{name: fields[name] for name in _FACE_IDENTITY},
        **face["properties"],
    }
    return {**face, "$defs": parts, "properties": properties, "required": list(properties)}


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with every field required: a record always has all of them."""
    for record in (schema, *schema.get("$defs", {}).values()):
        if "properties" in record:
            record["required"] = list(record["properties"])
    return schema
