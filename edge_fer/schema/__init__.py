"""The public records: what leaves the box, as JSON objects and from Python."""

from edge_fer.schema.as_json import faces_to_json, json_schema, to_dict, to_json
from edge_fer.schema.records import (
    FaceReading,
    FrameWeight,
    Loop,
    Pose,
    Reading,
    Record,
    ServedStatus,
    SinkState,
    SinkStatus,
    StageTime,
    State,
    Status,
    TrackReading,
    TrackRecord,
)

__all__ = [
    "FaceReading",
    "FrameWeight",
    "Loop",
    "Pose",
    "Reading",
    "Record",
    "ServedStatus",
    "SinkState",
    "SinkStatus",
    "StageTime",
    "State",
    "Status",
    "TrackReading",
    "TrackRecord",
    "faces_to_json",
    "json_schema",
    "to_dict",
    "to_json",
]
