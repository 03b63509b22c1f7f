"""A web page, metrics and live readings.

    sink thread                                      server thread, with an event loop of its own
    HttpSink -> Observed (the newest), Metrics  <-   guard -> app: /healthz /metrics /schema /
             -> Handover (bounded) -> Hub       ->                 /readings: a bounded queue for each client
             -> Live (a JPEG while somebody watches) ->            /live: the newest picture

No client is ever waited for: one that is slow loses its oldest readings, and is told how many.
"""

from __future__ import annotations

import logging
from importlib import import_module

from edge_fer.errors import ConfigError
from edge_fer.publish import Sink
from edge_fer.settings import Settings

_log = logging.getLogger(__name__)


def open_sink(settings: Settings) -> Sink:
    """Start to serve.

    Raises:
        ConfigError: when the libraries are missing, or the token's file cannot be used.
    """
    try:
        from edge_fer.publish.http.sink import HttpSink, LiveHttpSink
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    http = settings.publish.http
    return (LiveHttpSink if http.live else HttpSink)(http, settings.privacy, settings.device_name)


def validate(settings: Settings) -> None:
    """Find out whether it could be served, but for the address.

    Raises:
        ConfigError: when the libraries are missing, or the token's file cannot be used.
    """
    try:
        from edge_fer.publish.http.security import read_token

        import_module("edge_fer.publish.http.server")
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    read_token(settings.publish.http.token_file)


def check(settings: Settings) -> None:
    """Find out whether it could be served now, or already is: the service that has these settings may be running.

    Raises:
        ConfigError: when the libraries are missing, or the token's file cannot be used.
        OutputError: when another program has the port, or the address is not one of this box.
    """
    validate(settings)
    from edge_fer.publish.http.server import Taken, is_served, listen

    http = settings.publish.http
    try:
        listen(http.address, http.port).close()
    except Taken:
        if not is_served(http.address, http.port):
            raise
        _log.warning("http: an edge-fer serves port %d already; it is taken for the one with these settings", http.port)


def _missing(error: ModuleNotFoundError) -> ConfigError:
    return ConfigError(
        f"expected the library `{error.name}` for publish.http, found none: pip install '.[http]' in its checkout"
    )
