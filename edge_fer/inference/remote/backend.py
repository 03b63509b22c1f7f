"""A network on another computer, as a backend: a handshake, and then one request at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError
from edge_fer.inference import check_inputs
from edge_fer.inference.remote import protocol
from edge_fer.inference.remote.connection import Connection, Server
from edge_fer.inference.remote.messages import Answer, Cause, Hello, Kind, Refusal, Request, Service, Welcome

_HELP = {
    Cause.VERSION: "install the same version of edge-fer on both computers",
    Cause.TOKEN: "give both the same token: classify.remote.token_file here, serve.token_file there",
    Cause.TOO_SOON: "it is tried again",
    Cause.MODEL: "let both use the same files: classify.model and models, here and there",
    Cause.SERVICE: "install the same version of edge-fer on both computers",
    Cause.FULL: "raise serve.max_clients there",
    Cause.MALFORMED: "install the same version of edge-fer on both computers",
}
"""What helps where a server refuses a connection."""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """How a server is used.

    Attributes:
        token: the secret that the server asks for; None: none.
        deadline_s: for one inference, from the request to the answer, seconds.
        connect_s: for connecting and the handshake, seconds.
    """

    token: str | None = None
    deadline_s: float = 0.3
    connect_s: float = 3.0


class RemoteBackend(Closeable):
    """One network on another computer, used by one thread at a time. After a failure only `close` is of use.

    Args:
        server: where it runs.
        model: SHA-256 of the network's file, in hexadecimal digits; of a compiled one, of what it was compiled of.
        service: what requests hold; see `edge_fer.inference.remote.messages.Service`.
        options: how the server is used; None: the defaults.

    Attributes:
        device: the server's own device.
        spent_s: how long that device took for the last answer, seconds.

    Raises:
        BackendError: when there is no server that runs this network.
    """

    def __init__(
        self, server: Server, model: str, service: Service = "faces", options: RemoteOptions | None = None
    ) -> None:
        options = options or RemoteOptions()
        self.name = f"remote:{server}"
        self.spent_s = 0.0
        self._server, self._deadline_s, self._sequence = server, options.deadline_s, 0
        self._open = True
        began = time.monotonic()
        self._connection = Connection(server, options.connect_s)
        try:
            self._connection.start(max(options.connect_s - (time.monotonic() - began), 0.0))
            welcome = self._shake_hands(Hello(service, bytes.fromhex(model), b""), options.token)
        except BaseException:
            self.close()
            raise
        self.device, self.inputs, self.outputs = welcome

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run the network once; see `edge_fer.inference.Backend.infer`."""
        if not self._open:
            raise BackendError("expected an open backend, found one that was closed; open it again")
        check_inputs(self.name, inputs, self.inputs)
        self._sequence = protocol.next_sequence(self._sequence)
        try:
            self._connection.start(self._deadline_s)
            self._connection.send(protocol.request(Request(self._sequence, self._deadline_s, inputs)))
            answer = self._receive_answer()
        except BackendError:
            self._connection.close()  # at once: a late answer would be taken for that of the next request
            raise
        self.spent_s = answer.spent_s
        return answer.arrays

    def close(self) -> None:
        """Close the connection."""
        self._open = False
        self._connection.close()

    def _shake_hands(self, hello: Hello, token: str | None) -> Welcome:
        kind, body = self._receive_greeting()
        if kind is Kind.GREETING:
            proof = protocol.prove(token, protocol.parse_greeting(body))
            self._connection.send(protocol.hello(hello._replace(proof=proof)))
            kind, body = self._connection.receive(Kind.WELCOME, Kind.REFUSAL)
        if kind is Kind.REFUSAL:
            raise self._refused(protocol.parse_refusal(body))
        return protocol.parse_welcome(body)

    def _receive_greeting(self) -> tuple[Kind, bytes]:
        try:
            return self._connection.receive(Kind.GREETING, Kind.REFUSAL)
        except protocol.ProtocolError:
            raise
        except BackendError as error:  # a server with TLS waits for us to begin
            raise BackendError(f"{error}; if serve.tls is on there, classify.remote.tls must be on here") from error

    def _receive_answer(self) -> Answer:
        most = max(protocol.answer_bytes(self.outputs), protocol.MAX_TEXT_BYTES)
        kind, body = self._connection.receive(Kind.ANSWER, Kind.REFUSAL, most=most)
        if kind is Kind.REFUSAL:
            raise self._refused(protocol.parse_refusal(body))
        answer = protocol.parse_answer(body, self.outputs)
        if answer.sequence != self._sequence:
            raise protocol.ProtocolError(
                f"the server at {self._server}: expected the answer to request {self._sequence}, found that to "
                f"{answer.sequence}"
            )
        return answer

    def _refused(self, refusal: Refusal) -> BackendError:
        advice = f"; {_HELP[refusal.cause]}" if refusal.cause in _HELP else ""
        if refusal.sequence:
            return BackendError(f"expected an answer of the server at {self._server}, found: {refusal.text}{advice}")
        return BackendError(f"expected the server at {self._server} to let us in, found: {refusal.text}{advice}")
