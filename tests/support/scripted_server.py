"""A server that does what a test tells it to, right or wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from edge_fer.inference import TensorSpec
from edge_fer.inference.remote import protocol
from edge_fer.inference.remote.connection import Server
from edge_fer.inference.remote.messages import Welcome
from edge_fer.inference.remote.protocol import HEADER_BYTES

Script = Callable[[socket.socket], None]


@contextmanager
def scripted(*scripts: Script) -> Iterator[Server]:
    """Run a script with each connection, in order; the last one with all that follow."""
    listener = socket.create_server(("127.0.0.1", 0))
    ending = threading.Event()
    open_now: list[socket.socket] = []

    def run() -> None:
        for number in range(1 << 30):
            with suppress(OSError):
                connection, _ = listener.accept()
                open_now.append(connection)
                if ending.is_set():
                    return
                with connection, suppress(OSError):
                    scripts[min(number, len(scripts) - 1)](connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield Server("127.0.0.1", listener.getsockname()[1])
    finally:
        ending.set()
        for connection in open_now:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            socket.create_connection(listener.getsockname()).close()
        thread.join(10)
        for connection in open_now:
            connection.close()
        listener.close()
        assert not thread.is_alive()


def greet(connection: socket.socket, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """Shake hands as a server does that asks for no token."""
    connection.sendall(protocol.greeting(bytes(protocol.NONCE_BYTES)))
    receive(connection)
    connection.sendall(protocol.welcome(Welcome("cpu", inputs, outputs)))


def receive(connection: socket.socket) -> bytes:
    """The body of the next message; empty where the client has gone."""
    head = _exactly(connection, HEADER_BYTES)
    if not head:
        return b""
    return _exactly(connection, int.from_bytes(head[8:12], "big"))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            return b""
        data += piece
    return data
