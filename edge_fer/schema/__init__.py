"""The public records: what leaves the box, as JSON objects and from Python."""

from edge_fer.schema.as_json import Record, faces_to_json, json_schema, to_dict, to_json
from edge_fer.schema.reading import FaceReading, FrameWeight, Pose, Reading, TrackReading
from edge_fer.schema.status import Loop, ServedStatus, SinkState, SinkStatus, StageTime, State, Status
from edge_fer.schema.track import TrackRecord

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
