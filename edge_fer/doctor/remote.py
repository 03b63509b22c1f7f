"""Another computer that reads faces for this one: whether it answers, and how long the way there and back takes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address
from statistics import median

import numpy as np

from edge_fer.common.secret_file import read_token
from edge_fer.common.tls import server_context
from edge_fer.doctor.finding import Finding, fail, ok, warn
from edge_fer.errors import BackendError, ConfigError, ModelError
from edge_fer.expression.devices import remote_options, server_of
from edge_fer.inference.manifest import EnsembleSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.remote.backend import RemoteBackend, RemoteOptions
from edge_fer.inference.remote.connection import Server
from edge_fer.settings import ClassifySettings, ServeSettings

_PINGS = 5
_ANSWER_S = 1.0
_LOOK = "look at the network between the two, and at the log there: journalctl -u edge-fer-serve"


def check_remote(classify: ClassifySettings, store: ModelStore | None) -> Iterator[Finding]:
    """Have the other computer read blank faces; where the settings name none, nothing is found.

    Args:
        classify: the settings of the classifier.
        store: the networks; None where there is no manifest.
    """
    if classify.server is None or store is None:
        return
    try:
        server, options = server_of(classify), remote_options(classify)
        spec = store.expression_model(classify.model)
    except (ConfigError, ModelError) as error:
        yield _failed(error)
        return
    assert server is not None
    names = [member.name for member in spec.members] if isinstance(spec, EnsembleSpec) else [classify.model]
    for name in names:
        yield _ping(server, options, name, store.spec(name, "classify").sha256)


def check_serving(serve: ServeSettings) -> Iterator[Finding]:
    """Check this computer's own server, where the settings of one were changed.

    Args:
        serve: its settings.
    """
    if serve == ServeSettings():
        return
    try:
        if serve.token_file is not None:
            read_token(serve.token_file, "serve.token_file")
        if serve.tls and serve.cert_file is not None:
            server_context(serve.cert_file, serve.key_file, serve.ca_file)
    except ConfigError as error:
        yield _failed(error)
        return
    host, port = serve.place
    reached = ("::1" if ":" in host else "127.0.0.1") if ip_address(host).is_unspecified else host
    try:
        socket.create_connection((reached, port), _ANSWER_S).close()
    except OSError as error:
        yield warn(
            f"nothing listens at {serve.listen}: {error.strerror or error}", "sudo systemctl start edge-fer-serve"
        )
    else:
        yield ok(f"a server listens at {serve.listen}{', with TLS' if serve.tls else ''}")


def _ping(server: Server, options: RemoteOptions, name: str, sha256: str) -> Finding:
    try:
        began = time.monotonic()
        with closing(RemoteBackend(server, sha256, options=options)) as backend:
            connected_ms = (time.monotonic() - began) * 1e3
            face = np.zeros(backend.inputs[0].shape, np.uint8)
            ways, spent = [], []
            for _ in range(_PINGS):
                began = time.monotonic()
                backend.infer(face)
                ways.append((time.monotonic() - began - backend.spent_s) * 1e3)
                spent.append(backend.spent_s * 1e3)
    except BackendError as error:
        return _failed(error)
    found = (
        f"`{name}` on {backend.device} at {server}: {median(ways):.1f} ms there and back, {median(spent):.1f} ms for a "
        f"face there; {connected_ms:.0f} ms to connect"
    )
    if median(ways) + median(spent) > options.deadline_s * 500:
        return warn(f"{found}; more than half of the deadline", "raise classify.remote.deadline_ms")
    return ok(found)


def _failed(error: Exception) -> Finding:
    """What does not work; most messages end with what to do."""
    found, _, mend = str(error).partition("; ")
    return fail(found, mend or _LOOK)
