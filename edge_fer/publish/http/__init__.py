"""A web page, metrics and live readings.

    sink's thread                                        server's thread, with an event loop of its own
    HttpSink -> LatestRecords, Metrics                <-  guard -> app: /healthz /metrics /schema /
             -> Handover (bounded) -> Hub             ->                /readings: a bounded queue for each client
             -> LiveView (a JPEG while there are viewers) ->            /live: the newest picture

No client is ever waited for: one that is slow loses its oldest readings, and gets to know how many.
"""

from __future__ import annotations

import logging
from importlib import import_module

from edge_fer.errors import ConfigError
from edge_fer.publish import Sink
from edge_fer.publish.drawing.face_hider import open_hider
from edge_fer.publish.http.limits import DEFAULT_LIMITS, Limits
from edge_fer.settings import Settings

ANSWER_S = 3.0
"""`check` waits so long for an answer of what listens at the port, seconds."""

_log = logging.getLogger(__name__)


def open_sink(settings: Settings, limits: Limits = DEFAULT_LIMITS) -> Sink:
    """Start to serve.

    Args:
        settings: the run's settings.
        limits: the server's bounds.

    Raises:
        ConfigError: when the libraries are missing, or the token's file cannot be used.
    """
    try:
        from edge_fer.publish.http.sink import HttpSink, LiveHttpSink
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    http = settings.publish.http
    if not http.live:
        return HttpSink(http, settings.privacy, settings.device_name, limits=limits)
    return LiveHttpSink(http, settings.privacy, settings.device_name, limits=limits, hider=open_hider(settings))


def validate(settings: Settings) -> None:
    """Check whether the server could be started; the address is not tried.

    Args:
        settings: the run's settings.

    Raises:
        ConfigError: when the libraries are missing, or the token's file cannot be used.
    """
    try:
        from edge_fer.publish.http.security import read_token

        import_module("edge_fer.publish.http.server")
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    read_token(settings.publish.http.token_file)


def check(settings: Settings, answer_s: float = ANSWER_S) -> None:
    """Check whether the server could be started now, or already runs: the service with these settings may be running.

    Args:
        settings: the run's settings.
        answer_s: how long to wait for an answer of what listens at the port, seconds.

    Raises:
        ConfigError: when the libraries are missing, or the token's file cannot be used.
        OutputError: when another program has the port, or the address is not one of this machine.
    """
    validate(settings)
    from edge_fer.publish.http.server import PortTaken, is_served, listen

    http = settings.publish.http
    try:
        listen(http.address, http.port).close()
    except PortTaken:
        if not is_served(http.address, http.port, answer_s):
            raise
        _log.warning("http: an edge-fer serves port %d already; it is taken for the one with these settings", http.port)


def _missing(error: ModuleNotFoundError) -> ConfigError:
    return ConfigError(
        f"expected the library `{error.name}` for publish.http, found none: pip install '.[http]' in its checkout"
    )
