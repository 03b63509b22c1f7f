"""What the web server shows: written in the sink's thread, read in the server's."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

from prometheus_client.core import Metric

from edge_fer.publish.drawing.face_hider import Hider
from edge_fer.publish.http.handover import Handover
from edge_fer.publish.http.hub import Hub
from edge_fer.publish.http.latest_records import LatestRecords
from edge_fer.publish.http.limits import Limits
from edge_fer.publish.http.live import LiveView
from edge_fer.publish.http.metrics import Metrics, counter, gauge
from edge_fer.publish.http.security import Token, UnauthenticatedConnections
from edge_fer.publish.http.streams import StreamSlots
from edge_fer.schema import Reading, Record
from edge_fer.settings import HttpSettings
from edge_fer.types import Image


class HttpState:
    """Keeps the newest records, counts all, and passes them on to the streams.

    Args:
        settings: rates, sizes and numbers of clients.
        token: the secret that clients must know; None: they need none.
        hider: what pictures pass before anybody sees them.
        limits: the server's bounds.

    Attributes:
        latest: the newest records.
        metrics: counts of all records.
        hub: the subscribers of readings.
        live: the viewers of pictures.
        slots: the streams that may be open at once, of both.
        unauthenticated: connections whose clients have not shown the token.
    """

    def __init__(self, settings: HttpSettings, token: Token | None, hider: Hider, limits: Limits) -> None:
        self.latest = LatestRecords(settings.stale_s)
        self.metrics = Metrics(self.latest, self._server_metrics)
        self.hub = Hub(settings.queue, self.latest, limits.health_every_s)
        self.live = LiveView(settings, hider)
        self.slots = StreamSlots(settings.max_clients)
        self.unauthenticated = UnauthenticatedConnections(math.inf if token is None else limits.unauthenticated)
        self._token = token
        self._records: Handover[Record] = Handover(settings.queue, self.hub.publish)

    @property
    def lost(self) -> int:
        """Messages that clients, or the server, were too slow for."""
        return self.hub.lost + self._records.lost

    def update(self, record: Record, image: Image | None) -> None:
        """Take the next record; from the sink's thread.

        Args:
            record: a reading, a status, or the track of a face that has left.
            image: see `edge_fer.publish.Sink.publish`.
        """
        self.latest.update(record)
        self.metrics.count(record)
        self._records.put(record)
        if image is not None and isinstance(record, Reading):
            self.live.offer(image, record)

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Pass records on to an event loop from now on.

        Args:
            loop: the server's; None: to none.
        """
        self._records.attach(loop)
        self.live.handover.attach(loop)

    def close(self) -> None:
        """End every stream; in the server's thread."""
        self.hub.close()
        self.live.close()

    def _server_metrics(self) -> Iterator[Metric]:
        yield gauge("http_streams", "Streams of readings and pictures that are served.", self.slots.in_use)
        yield counter("http_lost_messages", "Messages that clients were too slow for.", self.lost)
        refused = 0 if self._token is None else self._token.refused
        yield counter("http_refused_tokens", "Tokens that were wrong, or came too soon after wrong ones.", refused)
        closed = "Connections without the token that were ended for newer ones of the same address."
        yield counter("http_ended_connections", closed, self.unauthenticated.closed)
