"""Where records go: one sink a file, each in a thread of its own (`outbox.py`)."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import TypeAdapter

from edge_fer.publish.attitude import Attitude
from edge_fer.types import Image, Reading, Record, SinkStatus, Status

_FACE = "edge-fer/face/1"
_FACE_IDENTITY = ("device", "run", "frame", "captured_at", "captured_ns", "clock_synced")  # of its reading
_RECORDS: dict[type, TypeAdapter[Record]] = {Reading: TypeAdapter(Reading), Status: TypeAdapter(Status)}


class Sink(ABC):
    """Takes every record of a run, in order, in one thread that is its own to hold up.

    Attributes:
        name: what it is called in statuses: `mqtt`, `file`.
        pictures: whether it wants the frames.
        ahead: how many records may wait for it at most; few where frames of some megabytes wait with them.
        auxiliary: whether it tells of the run instead of carrying its readings: statuses do not mention it, and a run
            does not go on for its sake.
        attitude: of the vehicle, where the sink hears of it; else null.
        turn_s: `turn` is called so often while no record comes, seconds; null: never.
    """

    name: ClassVar[str] = "sink"
    pictures: ClassVar[bool] = False
    ahead: ClassVar[int] = 256
    auxiliary: ClassVar[bool] = False
    attitude: Attitude | None = None
    turn_s: ClassVar[float | None] = None

    @abstractmethod
    def publish(self, record: Record, image: Image | None) -> None:
        """Take one record.

        Args:
            record: a reading or a status.
            image: the frame of a reading, `(height, width, 3)` uint8, BGR, not to be written to; null for a status,
                and for a sink that wants no pictures.

        Raises:
            OutputError: when it cannot be written.
        """

    def turn(self) -> None:
        """Do what is due by now; see `turn_s`.

        Raises:
            OutputError: when that fails.
        """

    @property
    def condition(self) -> SinkStatus | None:
        """How it is, where it knows better than whoever calls it; from any thread."""
        return None

    def close(self) -> None:
        """Finish what was begun, within seconds; nothing is published afterwards.

        Raises:
            OutputError: when that fails.
        """


def to_json(record: Record) -> str:
    """One line of JSON, without the line feed."""
    return _RECORDS[type(record)].dump_json(record).decode()


def faces_to_json(reading: Reading) -> dict[int, str]:
    """Each face of a reading by its id, as a record of its own, `edge-fer/face/1`: one line, without the line feed."""
    content = _RECORDS[Reading].dump_python(reading, mode="json")
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
