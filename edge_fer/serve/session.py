"""One client's connection, from its greeting to its end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from edge_fer.inference.remote import protocol
from edge_fer.inference.remote.connection import prepare
from edge_fer.inference.remote.protocol import HEADER_BYTES, Answer, Cause, Hello, Kind, Refusal, Welcome
from edge_fer.serve.doorway import Doorway, Guest, Reason
from edge_fer.serve.networks import Program, ServedNetwork
from edge_fer.serve.turns import Turns

Served = Mapping[bytes, tuple[ServedNetwork, Turns]]
"""The networks, by SHA-256."""


class Session:
    """Serves one connection; in the event loop's thread.

    Args:
        reader: gives what the client sends.
        writer: takes what it gets.
        doorway: who may come in.
        served: the networks.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doorway: Doorway, served: Served
    ) -> None:
        self._reader, self._writer, self._doorway, self._served = reader, writer, doorway, served
        self._limits = doorway.limits
        host, port = (writer.get_extra_info("peername") or ("an address that has gone", 0))[:2]
        self._client = (str(host), int(port))
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._late: str | None = None  # what the client was too slow with

    async def run(self) -> None:
        """Serve it to its end."""
        guest: Guest | None = None
        try:
            prepare(self._writer.get_extra_info("socket"))
            self._doorway.outside.add(self._client, self._writer.transport.abort)
            self._doorway.outside.close_excess(self._client[0])
            with self._within(self._limits.hello_s, "its hello"):
                hello = await self._greet()
                entered = None if hello is None else await self._let_in(hello)
            if entered is not None and hello is not None:
                guest, network, turns = entered
                await self._serve(guest, network, turns, network.programs[hello.service])
        except protocol.ProtocolError as error:
            await self._send_away(Refusal(0, _cause(error), str(error)))
        except (OSError, asyncio.IncompleteReadError):  # it has gone, or was too slow
            if self._late is not None:
                self._doorway.refuse(self._address, "slow", f"it was too slow with {self._late}")
        finally:
            self._doorway.outside.discard(self._client)
            if guest is not None:
                self._doorway.exit(guest)
            self._writer.close()

    async def _greet(self) -> Hello | None:
        """Learn what the client wants; None where it may not come in."""
        nonce = secrets.token_bytes(protocol.NONCE_BYTES)
        await self._send(protocol.greeting(nonce))
        head = protocol.header(await self._reader.readexactly(HEADER_BYTES), Kind.HELLO)
        hello = protocol.parse_hello(await self._reader.readexactly(head.length))
        refusal = self._doorway.verify(hello.proof, nonce, self._client[0])
        if refusal is not None:
            await self._send_away(refusal)
            return None
        self._doorway.outside.discard(self._client)
        return hello

    async def _let_in(self, hello: Hello) -> tuple[Guest, ServedNetwork, Turns] | None:
        if hello.model not in self._served:
            known = ", ".join(
                f"`{network.model}` {sha256.hex()[:12]}..." for sha256, (network, _) in self._served.items()
            )
            text = f"another model, {hello.model.hex()[:12]}..., and it serves {known}"
            await self._send_away(Refusal(0, Cause.MODEL, text))
            return None
        network, turns = self._served[hello.model]
        guest = self._doorway.enter(self._address, self._writer.transport.abort)
        if isinstance(guest, Refusal):
            await self._send_away(guest)
            return None
        inputs = network.programs[hello.service].inputs
        try:
            await self._send(protocol.welcome(Welcome(network.origin.backend, inputs, network.outputs)))
        except BaseException:
            self._doorway.exit(guest)
            raise
        return guest, network, turns

    async def _serve(self, guest: Guest, network: ServedNetwork, turns: Turns, program: Program) -> None:
        """Answer its requests, one after the other."""
        most = protocol.request_bytes(program.inputs)
        while True:
            first = await self._reader.readexactly(1)  # which may be long in coming
            with self._within(self._limits.message_s, "a request"):
                data = first + await self._reader.readexactly(HEADER_BYTES - 1)
                head = protocol.header(data, Kind.REQUEST, most=most)
                body = await self._reader.readexactly(head.length)
            self._doorway.heard(guest)
            reply = await turns.take(protocol.parse_request(body, program.inputs), program)
            self._count(reply)
            with self._within(self._limits.stalled_s, "taking an answer"):
                await self._send(protocol.answer(reply) if isinstance(reply, Answer) else protocol.refusal(reply))

    def _count(self, reply: Answer | Refusal) -> None:
        counts = self._doorway.counts
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
        """Tell a client, and the log, why it is not served any longer."""
        self._doorway.refuse(self._address, _REASONS[refusal.cause], refusal.text)
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
