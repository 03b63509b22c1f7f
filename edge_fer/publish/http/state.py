"""What is told: taken in the sink's thread, asked for in the server's."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

from prometheus_client.core import Metric

from edge_fer.publish.http.handover import Handover
from edge_fer.publish.http.hub import Hub
from edge_fer.publish.http.live import Live
from edge_fer.publish.http.metrics import Metrics, counter, gauge
from edge_fer.publish.http.observed import Observed
from edge_fer.publish.http.security import Token, UnauthenticatedConnections
from edge_fer.publish.http.streams import Places
from edge_fer.schema import Record
from edge_fer.settings import HttpSettings
from edge_fer.types import Image

_MAX_UNAUTHENTICATED = 32
"""Connections of one address that have not shown the token; fewer than `protocol.SPARE_CONNECTIONS`."""


class HttpState:
    """Keeps the newest records, counts them, and passes them on to those who listen.

    Args:
        settings: limits.
        token: what a client must know; null: nothing.
        blur: make faces unrecognisable in pictures.

    Attributes:
        observed: the newest records.
        metrics: counts of all.
        hub: who listens to readings.
        live: who watches pictures.
        places: for both.
        unauthenticated: who has not shown the token.
    """

    def __init__(self, settings: HttpSettings, token: Token | None, *, blur: bool) -> None:
        self.observed = Observed(settings.stale_s)
        self.metrics = Metrics(self.observed, self._own_metrics)
        self.hub = Hub(settings.queue, self.observed)
        self.live = Live(settings, blur=blur)
        self.places = Places(settings.max_clients)
        self.unauthenticated = UnauthenticatedConnections(math.inf if token is None else _MAX_UNAUTHENTICATED)
        self._token = token
        self._records: Handover[Record] = Handover(settings.queue, self.hub.publish)

    @property
    def lost(self) -> int:
        """Messages that clients, or the server, were too slow for."""
        return self.hub.lost + self._records.lost

    def tell(self, record: Record, image: Image | None) -> None:
        """Take a record; from the sink's thread."""
        self.observed.hear(record)
        self.metrics.count(record)
        self._records.put(record)
        if image is not None and record is self.observed.reading:
            self.live.offer(image, self.observed.reading)

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Tell in this loop from now on; null: in none."""
        self._records.attach(loop)
        self.live.handover.attach(loop)

    def close(self) -> None:
        """Have every stream end; in the server's thread."""
        self.hub.close()
        self.live.close()

    def _own_metrics(self) -> Iterator[Metric]:
        yield gauge("http_streams", "Streams of readings and pictures that are served.", self.places.taken)
        yield counter("http_lost_messages", "Messages that clients were too slow for.", self.lost)
        refused = 0 if self._token is None else self._token.refused
        yield counter("http_refused_tokens", "Tokens that were wrong, or came too soon after wrong ones.", refused)
        ended = "Connections without the token that were ended for newer ones of the same address."
        yield counter("http_ended_connections", ended, self.unauthenticated.closed)
