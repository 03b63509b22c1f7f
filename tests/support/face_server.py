"""A server of networks in this process, as `edge-fer serve` runs it, and what a client needs to reach it."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

from edge_fer.common.deadline import Deadline, Heartbeat
from edge_fer.inference import Backend
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.remote.connection import Server as Address
from edge_fer.serve.admission import Admission, Counts, Limits
from edge_fer.serve.networks import Program, ServedNetwork, open_networks
from edge_fer.serve.server import Server, listen
from edge_fer.settings import ClassifySettings
from edge_fer.settings.addresses import Place

TOKEN = "0123456789abcdef-a-token"


@dataclass(frozen=True)
class FaceServer:
    """A server that runs.

    Attributes:
        server: it.
        networks: what it serves.
        counts: what it has done.
        admission: who may come in.
    """

    server: Server
    networks: tuple[ServedNetwork, ...]
    counts: Counts
    admission: Admission

    def address(self, tls: ssl.SSLContext | None = None) -> Address:
        """Where it is."""
        return Address("127.0.0.1", self.server.port, tls)

    @property
    def model(self) -> str:
        """SHA-256 of the first network."""
        return self.networks[0].sha256


@contextmanager
def serving(
    networks: Sequence[ServedNetwork],
    *,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    max_clients: int = 16,
    idle_s: float = 60.0,
    limits: Limits | None = None,
    port: int = 0,
) -> Iterator[FaceServer]:
    """Serve networks, which are closed afterwards."""
    counts = Counts()
    admission = Admission(token, max_clients, idle_s, limits or Limits(), counts)
    with ExitStack() as stack:
        for network in networks:
            stack.enter_context(network)
        server = Server(
            listen(Place("127.0.0.1", port)), networks, admission, tls, lambda _: nullcontext(), Deadline(), Heartbeat()
        )
        stack.enter_context(server)
        yield FaceServer(server, tuple(networks), counts, admission)


def network_of(*devices: Backend, content: bytes = b"a network") -> ServedNetwork:
    """A network without a manifest, served as it is."""
    program = Program(devices[0].inputs, lambda arrays: arrays)
    return ServedNetwork("net", hashlib.sha256(content).hexdigest(), devices, {"tensors": program, "faces": program})


def served_model(model: str, store: ModelStore | None = None, **settings: object) -> tuple[ServedNetwork, ...]:
    """The networks of a classifier or ensemble, on the CPU unless the settings say otherwise."""
    return open_networks(
        ClassifySettings.model_validate({"backend": "cpu", "model": model, **settings}), store or ModelStore()
    )
