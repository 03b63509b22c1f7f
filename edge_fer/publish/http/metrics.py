"""The metrics for Prometheus; names and units follow its conventions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from edge_fer.common.version import VERSION
from edge_fer.publish.http.latest_records import LatestRecords
from edge_fer.schema import Reading, Record, SinkState, State, Status, TrackRecord
from edge_fer.types import LABELS, Why

_AGE_S = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
_LABEL_AGE_S = (*_AGE_S, 10.0, 30.0)
_TRACK_S = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0)
_NO_LABEL = "none"
_DEGRADED = (
    "Whether something is replaced or not as it should be: an Edge TPU that is away, heat, "
    "a black or white picture, a stuck loop, a sink in trouble."
)
_FLAGS = tuple(f"{flag}{when}" for when in ("", "_since_boot")
               for flag in ("under_voltage", "capped", "throttled", "soft_limit"))  # fmt: skip


class Metrics:
    """Counts readings, and gives the counts with the figures of the newest records.

    Switches off, for the whole process, the gauges `*_created` that prometheus-client adds to each counter.
    prometheus-client locks each counter, so readings may be counted while the text is made.

    Args:
        latest: the newest records.
        more: gives further metrics; called each time the text is made.
    """

    def __init__(self, latest: LatestRecords, more: Callable[[], Iterator[Metric]]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # of prometheus-client
        self._registry = CollectorRegistry()
        self._registry.register(_Newest(latest, more))
        ProcessCollector(registry=self._registry)
        own: dict[str, Any] = {"registry": self._registry}
        self._readings = Counter("edge_fer_readings", "Frames that were read.", **own)
        self._labels = Counter("edge_fer_labels", "Faces by their label, each in each reading.", ["label"], **own)
        self._abstentions = Counter("edge_fer_abstentions", "Faces without a label, by the reason.", ["why"], **own)
        self._age = Histogram("edge_fer_reading_age_seconds", "From capture to publishing.", buckets=_AGE_S, **own)
        self._label_age = Histogram(
            "edge_fer_label_age_seconds", "From capture of what a label was read from to publishing.",
            buckets=_LABEL_AGE_S, **own,
        )  # fmt: skip
        self._tracks = Counter("edge_fer_tracks", "Faces that have left, by the label of all.", ["label"], **own)
        self._track_time = Histogram(
            "edge_fer_track_duration_seconds", "From the first frame that shows a face to the last.",
            buckets=_TRACK_S, **own,
        )  # fmt: skip
        for label in LABELS:
            self._labels.labels(label)
            self._tracks.labels(label)
        self._tracks.labels(_NO_LABEL)
        for why in get_args(Why):
            self._abstentions.labels(why)

    def count(self, record: Record) -> None:
        """Count a record; from the sink's thread."""
        if isinstance(record, TrackRecord):
            self._tracks.labels(record.label or _NO_LABEL).inc()
            self._track_time.observe(record.duration_ms / 1e3)
        elif isinstance(record, Reading):
            self._count_reading(record)

    def _count_reading(self, record: Reading) -> None:
        self._readings.inc()
        self._age.observe(record.age_ms / 1e3)
        for face in record.faces:
            if face.label is not None:
                self._labels.labels(face.label).inc()
            elif face.why is not None:
                self._abstentions.labels(face.why).inc()
            if face.label_age_ms is not None:
                self._label_age.observe(face.label_age_ms / 1e3)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _Newest(Collector):
    """Metrics that are made of the newest records each time, so that no old label values remain.

    What is not known is left out: a zero would be a measurement.
    """

    def __init__(self, latest: LatestRecords, more: Callable[[], Iterator[Metric]]) -> None:
        self._latest, self._more = latest, more

    def collect(self) -> Iterator[Metric]:
        health = self._latest.health()
        yield gauge("healthy", "Whether readings come, as /healthz says.", health.healthy)
        yield gauge("degraded", _DEGRADED, health.degraded)
        yield from self._more()
        if (age := self._latest.reading_age_s) is not None:
            yield gauge("last_reading_age_seconds", "Since the last reading came.", age)
        if (faces := self._latest.faces) is not None:
            yield gauge("faces", "Faces in view; left out while no readings come.", faces)
        if (newest := self._latest.newest) is not None:
            yield from _of_any(newest)
            if self._latest.has_read:
                yield gauge("frames_per_second", "Readings a second, over the last seconds.", newest.fps)
        if (status := self._latest.status) is not None:
            yield from _of_status(status)


def gauge(name: str, what: str, value: float) -> Metric:
    """A metric that goes up and down.

    Args:
        name: its name without the prefix `edge_fer_`.
        what: its help text.
        value: its value now.
    """
    return GaugeMetricFamily(f"edge_fer_{name}", what, value)


def counter(name: str, what: str, value: float) -> Metric:
    """A metric that only goes up.

    Args:
        name: its name without the prefix `edge_fer_` and the suffix `_total`.
        what: its help text.
        value: its value now.
    """
    return CounterMetricFamily(f"edge_fer_{name}", what, value)


def _of_any(record: Reading | Status) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "edge_fer", "What runs, and on what.",
        {"version": VERSION, "device": record.device, "model": record.model, "backend": record.backend},
    )  # fmt: skip
    yield counter("frames_dropped", "Frames that were overwritten by newer ones.", record.dropped)


def _of_status(status: Status) -> Iterator[Metric]:
    states = {state: float(state == status.state) for state in get_args(State)}
    if status.detector is not None:
        yield InfoMetricFamily(
            "edge_fer_detector", "What finds faces, and on what.",
            {"detector": status.detector, "backend": str(status.detector_backend)},
        )  # fmt: skip
    yield _by_label(GaugeMetricFamily, "state", "1 for how the box is.", "state", states)
    stages = SummaryMetricFamily("edge_fer_stage_seconds", "Latency of a stage, over the last seconds.")
    for name, time in status.stages.items():
        for quantile, value_ms in (("0.5", time.p50_ms), ("0.95", time.p95_ms), ("0.99", time.p99_ms)):
            if value_ms is not None:
                stages.add_sample(stages.name, {"stage": name, "quantile": quantile}, value_ms / 1e3)
    yield stages
    yield _by_label(GaugeMetricFamily, "temperature_celsius", "By sensor.", "sensor", status.temperatures)
    # Without any, the box has nothing that tells, or all was well since it was started.
    flags = {flag: float(flag in status.throttled) for flag in _FLAGS} if status.throttled else {}
    yield _by_label(GaugeMetricFamily, "throttled", "What a Raspberry Pi says of supply and clock.", "flag", flags)
    yield gauge("label_ratio", "Share of labels that is read; less than 1 while the box is too hot.", status.label_rate)
    yield counter("restarts", "How often the source or a worker was started again.", status.restarts)
    attempts = "Attempts to bring a device back, by the means."
    yield _by_label(CounterMetricFamily, "recovery_attempts", attempts, "step", status.recovery)
    yield gauge("abandoned_processes", "Children stuck in a driver for good.", status.abandoned)
    yield counter("degraded_seconds", "Time spent degraded, a sink in trouble aside.", status.degraded_s)
    yield from _of_sinks(status)
    if (served := status.served) is not None:
        yield gauge("serve_clients", "Clients in service.", served.clients)
        yield counter("serve_faces", "Faces that were read for clients.", served.faces)
        unread = {"late": served.late, "away": served.away}
        yield _by_label(CounterMetricFamily, "serve_unread_faces", "Faces not read for clients.", "why", unread)
        what = "Connections that were refused or ended, by the reason."
        yield _by_label(CounterMetricFamily, "serve_refused_connections", what, "why", served.refused)


def _of_sinks(status: Status) -> Iterator[Metric]:
    state = GaugeMetricFamily("edge_fer_sink_state", "1 for how a sink is.", labels=["sink", "state"])
    for name, sink in status.sinks.items():
        for value in get_args(SinkState):
            state.add_metric([name, value], float(sink.state == value))
    yield state
    sent, dropped, waiting = (
        {name: getattr(sink, count) for name, sink in status.sinks.items()} for count in ("sent", "dropped", "waiting")
    )
    yield _by_label(CounterMetricFamily, "sink_sent_records", "Records that a sink has taken.", "sink", sent)
    yield _by_label(CounterMetricFamily, "sink_dropped_records", "Records that were lost to a sink.", "sink", dropped)
    yield _by_label(GaugeMetricFamily, "sink_waiting_records", "Records still to be sent.", "sink", waiting)


def _by_label(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    what: str,
    label: str,
    values: dict[str, float] | dict[str, int],
) -> Metric:
    family = kind(f"edge_fer_{name}", what, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
