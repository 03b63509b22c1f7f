"""What a broker may send: any bytes, in pieces of any length."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fer.publish.mqtt.client import Connection
from edge_fer.publish.mqtt.incoming import MAX_PACKET, CheckedSocket, PacketCheck, Unexpected
from edge_fer.publish.mqtt.link_error import LinkError
from edge_fer.settings import MqttSettings

CONNACK = b"\x20\x03\0\0\0"
FROM_BROKERS = [0x20, 0x30, 0x31, 0x32, 0x3A, 0x40, 0x50, 0x62, 0x70, 0x90, 0xD0, 0xE0]


def framed(first: int, body: bytes) -> bytes:
    """A packet of less than 128 bytes."""
    return bytes([first, len(body)]) + body


packets = st.one_of(
    st.builds(framed, st.sampled_from(FROM_BROKERS), st.binary(max_size=40)),
    st.builds(framed, st.integers(0, 255), st.binary(max_size=40)),
    st.binary(max_size=40),
)
streams = st.lists(packets, max_size=12).map(b"".join)


def fate(stream: bytes, cuts: list[int]) -> str | None:
    """What is wrong with a stream that comes in pieces; None: nothing."""
    check, places = PacketCheck(), [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    try:
        for start, end in itertools.pairwise(places):
            check.feed(stream[start:end])
    except Unexpected as error:
        return str(error)
    return None


@given(streams, st.lists(st.integers(0, 400), max_size=20))
@settings(max_examples=30)
def test_packets_are_judged_alike_in_whatever_pieces_they_come(stream: bytes, cuts: list[int]) -> None:
    assert fate(stream, cuts) == fate(stream, [])


@pytest.mark.parametrize("length", [0, 127, 128, MAX_PACKET])
def test_packets_up_to_the_bound_pass(length: int) -> None:
    low, high = length & 0x7F, length >> 7
    header = bytes([0x30, low | 0x80, high]) if high else bytes([0x30, low])
    assert fate(header + bytes(length) + b"\xd0\0", []) is None
    assert fate(header + bytes(length) + b"\x10\0", []) is not None, "and what follows them is checked, too"


def serve(connection: Connection) -> None:
    """Read until the link ends, with a message and a subscription under way."""
    connection.open()
    connection.client.publish("a", b"b", 2)
    connection.client.subscribe("c", 1)
    while True:
        connection.process(0)


@given(streams)
@settings(max_examples=40)
def test_whatever_a_broker_sends_leaves_the_link_or_ends_it_with_a_line(stream: bytes) -> None:
    ours, theirs = socket.socketpair()
    connection = Connection(MqttSettings(host="broker"), "box")
    with ours, theirs, mock.patch.object(connection.client, "_create_socket_connection", return_value=ours):
        theirs.sendall(CONNACK + stream)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(LinkError, match=r"^expected .* found"):
            serve(connection)
        connection.close()


class Blocked:
    """A socket whose other side sends without end, and reads only while `reads`."""

    def __init__(self) -> None:
        self.reads = False

    def recv(self, count: int) -> bytes:
        return (b"\x32\x06\0\1a\0\1\0" * 8192)[:count]

    def send(self, data: bytes) -> int:
        if not self.reads:
            raise BlockingIOError
        return len(data)


def test_nothing_more_is_read_from_a_broker_that_takes_no_answers() -> None:
    other = Blocked()
    sock = CheckedSocket(other)
    read = 0
    while not sock.is_flooded:
        read += len(sock.recv(64))
        with contextlib.suppress(BlockingIOError):
            sock.send(b"\x40\2\0\1")
    assert read == 65_536
    other.reads = True
    sock.send(b"\x40\2\0\1")
    assert not sock.is_flooded


def test_no_more_is_read_at_once_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    receive: Callable[[Any, int], bytes] = Blocked.recv

    def remember(self: Blocked, count: int) -> bytes:
        asked.append(count)
        return receive(self, count)

    monkeypatch.setattr(Blocked, "recv", remember)
    CheckedSocket(Blocked()).recv(268_435_455)
    assert asked == [65_536]
