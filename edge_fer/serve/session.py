"""One client's connection, from its greeting to its end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from edge_fer.inference.remote import protocol
from edge_fer.inference.remote.connection import prepare
from edge_fer.inference.remote.messages import Answer, Cause, Hello, Kind, Refusal, Welcome
from edge_fer.inference.remote.protocol import HEADER_BYTES
from edge_fer.serve.admission import Admission, AdmittedClient, Reason
from edge_fer.serve.dispatcher import Dispatcher
from edge_fer.serve.networks import Program, ServedNetwork

Served = Mapping[bytes, tuple[ServedNetwork, Dispatcher]]
"""The networks, by SHA-256."""


class Session:
    """Serves one connection; in the event loop's thread.

    Args:
        reader: gives what the client sends.
        writer: takes what it gets.
        admission: which clients are served.
        served: the networks.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, admission: Admission, served: Served
    ) -> None:
        self._reader, self._writer, self._admission, self._served = reader, writer, admission, served
        self._limits = admission.limits
        host, port = (writer.get_extra_info("peername") or ("an address that has gone", 0))[:2]
        self._client = (str(host), int(port))
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._late: str | None = None  # what the client was too slow with

    async def run(self) -> None:
        """Serve it to its end."""
        client: AdmittedClient | None = None
        try:
            prepare(self._writer.get_extra_info("socket"))
            self._admission.unauthenticated.add(self._client, self._writer.transport.abort)
            self._admission.unauthenticated.close_excess(self._client[0])
            with self._within(self._limits.hello_s, "its hello"):
                hello = await self._greet()
                admitted = None if hello is None else await self._admit(hello)
            if admitted is not None and hello is not None:
                client, network, dispatcher = admitted
                await self._serve(client, dispatcher, network.programs[hello.service])
        except protocol.ProtocolError as error:
            await self._send_away(Refusal(0, _cause(error), str(error)))
        except (OSError, asyncio.IncompleteReadError):  # it has gone, or was too slow
            if self._late is not None:
                self._admission.refuse(self._address, "slow", f"it was too slow with {self._late}")
        finally:
            self._admission.unauthenticated.discard(self._client)
            if client is not None:
                self._admission.release(client)
            self._writer.close()

    async def _greet(self) -> Hello | None:
        """Learn what the client asks for; None where it is refused."""
        nonce = secrets.token_bytes(protocol.NONCE_BYTES)
        await self._send(protocol.greeting(nonce))
        head = protocol.header(await self._reader.readexactly(HEADER_BYTES), Kind.HELLO)
        hello = protocol.parse_hello(await self._reader.readexactly(head.length))
        refusal = self._admission.verify(hello.proof, nonce, self._client[0])
        if refusal is not None:
            await self._send_away(refusal)
            return None
        self._admission.unauthenticated.discard(self._client)
        return hello

    async def _admit(self, hello: Hello) -> tuple[AdmittedClient, ServedNetwork, Dispatcher] | None:
        if hello.model not in self._served:
            known = ", ".join(
                f"`{network.model}` {sha256.hex()[:12]}..." for sha256, (network, _) in self._served.items()
            )
            text = f"another model, {hello.model.hex()[:12]}..., and it serves {known}"
            await self._send_away(Refusal(0, Cause.MODEL, text))
            return None
        network, dispatcher = self._served[hello.model]
        client = self._admission.admit(self._address, self._writer.transport.abort)
        if isinstance(client, Refusal):
            await self._send_away(client)
            return None
        inputs = network.programs[hello.service].inputs
        try:
            await self._send(protocol.welcome(Welcome(network.origin.backend, inputs, network.outputs)))
        except BaseException:
            self._admission.release(client)
            raise
        return client, network, dispatcher

    async def _serve(self, client: AdmittedClient, dispatcher: Dispatcher, program: Program) -> None:
        """Answer its requests, one after the other."""
        most = protocol.request_bytes(program.inputs)
        while True:
            first = await self._reader.readexactly(1)  # which may be long in coming
            with self._within(self._limits.message_s, "a request"):
                data = first + await self._reader.readexactly(HEADER_BYTES - 1)
                head = protocol.header(data, Kind.REQUEST, most=most)
                body = await self._reader.readexactly(head.length)
            self._admission.note_activity(client)
            reply = await dispatcher.submit(protocol.parse_request(body, program.inputs), program)
            self._count(reply)
            with self._within(self._limits.stalled_s, "taking an answer"):
                await self._send(protocol.answer(reply) if isinstance(reply, Answer) else protocol.refusal(reply))

    def _count(self, reply: Answer | Refusal) -> None:
        counts = self._admission.counts
        if isinstance(reply, Answer):
            counts.faces += 1
        elif reply.cause is Cause.LATE:
            counts.late += 1
        else:
            counts.away += 1

    async def _send(self, message: bytes) -> None:
        self._writer.write(message)
        await self._writer.drain()

    async def _send_away(self, refusal: Refusal) -> None:
        """Tell a client, and the log, why it is not served."""
        self._admission.refuse(self._address, _REASONS[refusal.cause], refusal.text)
        try:
            with self._within(self._limits.stalled_s, "taking a refusal"):
                await self._send(protocol.refusal(refusal))
        except OSError:
            return  # it does not want to know

    @contextmanager
    def _within(self, seconds: float, what: str) -> Iterator[None]:
        """End the connection where this takes longer."""

        def end() -> None:
            self._late = what
            self._writer.transport.abort()

        timer = asyncio.get_running_loop().call_later(seconds, end)
        try:
            yield
        finally:
            timer.cancel()


_REASONS: dict[Cause, Reason] = {
    Cause.VERSION: "version",
    Cause.TOKEN: "token",
    Cause.TOO_SOON: "too_soon",
    Cause.MODEL: "model",
    Cause.SERVICE: "service",
    Cause.FULL: "full",
    Cause.MALFORMED: "malformed",
}
"""Of the causes that end a connection."""


def _cause(error: protocol.ProtocolError) -> Cause:
    causes = {protocol.OtherVersion: Cause.VERSION, protocol.UnknownService: Cause.SERVICE}
    return causes.get(type(error), Cause.MALFORMED)
