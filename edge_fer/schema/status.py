"""How the box is: the record `edge-fer/status/1`; later versions only add fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


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
