"""The public records: what leaves the box, as JSON objects and from Python; later versions only add fields."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from edge_fer.types import Box, Label, Landmarks, Quadrilateral, Why


@dataclass(frozen=True, slots=True)
class Pose:
    """The turn of a head, from five landmarks: rough, since heads differ and an open mouth lowers its corners.

    Attributes:
        yaw: turn to the side, degrees; positive towards the right of the picture.
        pitch: turn up or down, degrees; positive is down.
        roll: tilt, degrees; positive is clockwise in the picture.
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class FrameWeight:
    """How much one picture of a face counts.

    Attributes:
        frame: id of the frame that it is from.
        weight: 0..1; those of all the pictures sum to 1.
    """

    frame: int
    weight: float


@dataclass(frozen=True, slots=True)
class TrackReading:
    """What the last pictures of a face say together.

    Attributes:
        label: the expression, or null where it would be a guess.
        confidence: probability of `label`, or of the label that is withheld, 0..1.
        probabilities: calibrated, one for each of the seven labels.
        frames: how many pictures count.
        span_ms: from the first of them to the last, milliseconds.
        weights: how much each of them counts, the oldest first.
    """

    label: Label | None
    confidence: float
    probabilities: dict[Label, float]
    frames: int
    span_ms: float
    weights: tuple[FrameWeight, ...]


@dataclass(frozen=True, slots=True)
class FaceReading:
    """One face of a reading. See `Reading`.

    Attributes:
        id: track id, stable while the face stays in view.
        box: x, y, width, height in pixels.
        score: the detector's, 0..1.
        landmarks: five named points in pixels.
        label: the expression, or null when the runtime abstains (`why` says so).
        confidence: probability of `label`, or of the label that is withheld, 0..1: the smoothed one where there is
            one; 0 for a face that was not read yet.
        probabilities: calibrated and unsmoothed, one for each of the seven labels; empty for a face that was not
            read yet.
        label_age_ms: age of the picture that the label was read from; null for a face that was not read yet.
        why: the reason for abstaining, one of `Why`, else null.
        smoothed: probabilities steadied over time, one for each of the seven labels; null when smoothing is off,
            and for a face that was not read yet.
        pose: the turn of the head in this frame; null in records that were made without it.
        region: the part of the face that the label was read from, four corners in pixels: from the top left one of
            what the network saw, clockwise; null for a classifier that reads the whole face, for a face that was not
            read yet, and in records that were made without it.
        track: what its last pictures say together; null where that is switched off, for a face that was not read yet
            or whose last pictures are all too poor, and in records that were made without it.
    """

    id: int
    box: Box
    score: float
    landmarks: Landmarks
    label: Label | None
    confidence: float
    probabilities: dict[Label, float]
    label_age_ms: float | None
    why: Why | None = None
    smoothed: dict[Label, float] | None = None
    pose: Pose | None = None
    region: Quadrilateral | None = None
    track: TrackReading | None = None

    @property
    def summary(self) -> str:
        """For a person: the label and its confidence, or why there is none."""
        return f"{self.label} {self.confidence:.0%}" if self.label else str(self.why).replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was seen in one frame: the record `edge-fer/reading/1`.

    Attributes:
        schema: name and version of this record; later versions only add fields.
        device: name of the box.
        run: UUID of this start; (device, run, frame) identifies a reading.
        frame: id of the frame; ids of dropped frames are missing.
        captured_at: capture time, UTC, ISO 8601.
        captured_ns: capture time, CLOCK_MONOTONIC, nanoseconds.
        clock_synced: whether the wall clock is set from a network, GPS or another reference.
        age_ms: from capture to publishing.
        source: the camera, as it was named.
        size: width and height of the frame in pixels.
        model: name of the classifier.
        backend: the device that ran it; of an ensemble all of them, with `+` between.
        degraded: true while something is replaced or missing; `reason` says what.
        fps: readings a second, over the last seconds.
        dropped: frames overwritten by newer ones since the start.
        faces: one entry a face, in order of track id; empty when there is none.
        source_file: the file that the frame is from, one of the folder's where `source` is a folder; null for cameras,
            streams, and in records that were made without it.
        position_ms: presentation time of the frame in that file, from its beginning; null for pictures that are no
            film, cameras and streams, and in records that were made without it.
    """

    schema: Literal["edge-fer/reading/1"] = "edge-fer/reading/1"
    device: str
    run: str
    frame: int
    captured_at: str
    captured_ns: int
    clock_synced: bool
    age_ms: float
    source: str
    size: tuple[int, int]
    model: str
    backend: str
    degraded: bool
    reason: str | None
    fps: float
    dropped: int
    faces: tuple[FaceReading, ...]
    source_file: str | None = None
    position_ms: float | None = None


@dataclass(frozen=True, slots=True)
class StageTime:
    """Latency of one stage over the last seconds.

    Attributes:
        count: how many passes were timed.
        p50_ms: half of them took no longer, milliseconds.
        p95_ms: 95 % of them took no longer, milliseconds.
        p99_ms: 99 % of them took no longer, milliseconds; null in records that were made without it.
        first_ms: the first one since the start, milliseconds, which is in no percentile unless it is the only one: cold
            caches and a device that wakes up make it longer; null in records that were made without it.
    """

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float | None = None
    first_ms: float | None = None


SinkState = Literal["ok", "waiting", "failed"]
"""Of a sink: it takes what it is given; its link is down and tried again; somebody has to mend something."""


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """How a sink is.

    Attributes:
        state: one of `SinkState`.
        sent: records that it has taken since the start: written, or acknowledged by whom they were sent to.
        dropped: records that were lost to it: too many, too old, or refused.
        waiting: records that are still to be sent.
        reason: why it is not `ok`; null also where it waits because it was not tried yet.
    """

    state: SinkState = "ok"
    sent: int = 0
    dropped: int = 0
    waiting: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ServedStatus:
    """What `edge-fer serve` does for other computers.

    Attributes:
        listening: whether clients can connect.
        clients: connections in service.
        faces: faces that were read since the start.
        late: faces that were not read, since no device was free before their deadline.
        away: faces that were not read, since every device was away.
        refused: connections that were refused, or ended for what they sent or did not send, by the reason.
    """

    listening: bool
    clients: int
    faces: int
    late: int
    away: int
    refused: dict[str, int]


Loop = Literal["camera", "labels", "search", "clients"]
"""What turns beside the main loop: taking pictures, reading faces, looking for them, and serving clients."""


State = Literal["starting", "running", "waiting_for_camera", "degraded", "stopping"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the box is: the record `edge-fer/status/1`.

    Published on every change of state, once a second while no frame comes, and every two seconds while a live source
    is read.

    Attributes:
        at: when, UTC, ISO 8601.
        state: one of `State`.
        restarts: how often the source or a worker was started again.
        stages: latency by stage, in the order of the frame's way; empty before the first frame.
        temperatures: degrees Celsius by sensor; empty where there is none.
        throttled: what a Raspberry Pi reports of its supply and clock: `under_voltage`, `capped`, `throttled`,
            `soft_limit`, each also with `_since_boot`; empty where all is well or nothing is known.
        label_rate: share of a camera's labels that are read: 1, or 0.5 or 0.25 while the box is too hot.
        recovery: how often each step of a device's recovery was tried: of an Edge TPU `restart`, `usb_reset`,
            `reauthorise`, `port_power`, `parked`, of another computer `reconnect`; empty while it never failed.
        abandoned: child processes that not even SIGKILL ends, stuck in a driver: a sign to restart the box.
        stuck: what is in a call that has outlived its deadline and cannot be ended: `camera`, `labels`, `search` or
            `clients`; the service's watchdog starts the program anew. Null when all turn.
        degraded_s: how long something was replaced or missing since the start, or fewer labels were read, seconds.
        sinks: where records go, by name: how each is, and what was sent, dropped and is waiting.
        served: what `edge-fer serve` does for other computers, whose statuses have faces for frames: `fps` is faces a
            second, `source` is `serve:` and where it listens. Null in those of a camera, and in records that were made
            without it.
        detector: what found the last faces: `mtcnn`, or the name of the network that finds and reads them in one pass;
            null where no faces are searched, and in records that were made without it.
        detector_backend: the device that ran it; null where `detector` is.
        message: one sentence for a person.
        (the others are those of `Reading`)
    """

    schema: Literal["edge-fer/status/1"] = "edge-fer/status/1"
    device: str
    run: str
    at: str
    source: str
    model: str
    backend: str
    state: State
    fps: float
    dropped: int
    restarts: int
    stages: dict[str, StageTime]
    temperatures: dict[str, float]
    throttled: tuple[str, ...] = ()
    label_rate: float = 1.0
    recovery: dict[str, int] = field(default_factory=dict)
    abandoned: int = 0
    stuck: Loop | None = None
    degraded_s: float = 0.0
    sinks: dict[str, SinkStatus] = field(default_factory=dict)
    served: ServedStatus | None = None
    detector: str | None = None
    detector_backend: str | None = None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    """What was seen of one face while it was in view: the record `edge-fer/track/1`.

    Published once for each track id that was in a reading, when the face has left, the scene has changed, the camera is
    lost or the run ends. There is nothing in it by which a person could be recognised.

    Attributes:
        id: of the track, as in the readings; (device, run, id) identifies it.
        source_file: the file that its last frame is from; null for cameras and streams.
        model: name of the classifier, as of its last reading.
        first_at: capture time of the first frame that shows it, UTC, ISO 8601.
        first_ns: the same, CLOCK_MONOTONIC, nanoseconds.
        first_position_ms: presentation time of that frame in its file; null where readings have none.
        last_at: capture time of the last frame that shows it, UTC, ISO 8601.
        last_ns: the same, CLOCK_MONOTONIC, nanoseconds.
        last_position_ms: presentation time of that frame in its file; null where readings have none.
        clock_synced: whether the wall clock is set from a network, GPS or another reference.
        duration_ms: from the first of these frames to the last, in the time of the scene.
        frames_seen: readings that show it.
        frames_read: how many pictures of it were classified.
        label: the expression of the whole track; null where it would be a guess.
        confidence: probability of `label`, or of the label that is withheld, 0..1; 0 where no picture was good enough.
        probabilities: of the whole track, one for each of the seven labels; empty where no picture was good enough.
        shares: part of the time during which the readings showed each of the seven labels, 0..1.
        withheld: part of the time during which they showed none; it sums to 1 with the `shares`.
        pose: the turn of the head, on average.
        best_frame: id of the frame that shows the face best: large, sharp, and from the front.
        (the others are those of `Reading`)
    """

    schema: Literal["edge-fer/track/1"] = "edge-fer/track/1"
    device: str
    run: str
    id: int
    source: str
    source_file: str | None
    model: str
    first_at: str
    first_ns: int
    first_position_ms: float | None
    last_at: str
    last_ns: int
    last_position_ms: float | None
    clock_synced: bool
    duration_ms: float
    frames_seen: int
    frames_read: int
    label: Label | None
    confidence: float
    probabilities: dict[Label, float]
    shares: dict[Label, float]
    withheld: float
    pose: Pose
    best_frame: int

    @property
    def summary(self) -> str:
        """For a person: the label and its confidence, or that there is none."""
        return f"{self.label} {self.confidence:.0%}" if self.label else "no label"


Record = Reading | Status | TrackRecord


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
