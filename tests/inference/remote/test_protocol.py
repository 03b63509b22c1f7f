"""The messages: each is read as it was written, and whatever else comes raises the protocol's own error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge_fer.inference import TensorSpec
from edge_fer.inference.remote import protocol
from edge_fer.inference.remote.messages import SERVICES, Answer, Cause, Hello, Kind, Refusal, Request, Welcome
from edge_fer.inference.remote.protocol import HEADER_BYTES, OtherVersion, ProtocolError

SPECS = (
    TensorSpec("face", (4, 4), np.dtype(np.uint8)),
    TensorSpec("vector", (1, 3), np.dtype(np.float32), 0.0),
    TensorSpec("logits", (1, 7), np.dtype(np.int8), 0.25, -3),
    TensorSpec("count", (2,), np.dtype(np.int32)),
)
WELCOME = Welcome("edgetpu:usb:0", SPECS[:2], SPECS[2:])


def arrays(specs: tuple[TensorSpec, ...], seed: int = 0) -> tuple[np.ndarray[Any, Any], ...]:
    generator = np.random.default_rng(seed)
    return tuple(generator.integers(0, 100, spec.shape).astype(spec.dtype) for spec in specs)


def body(message: bytes, kind: Kind) -> bytes:
    head = protocol.header(message[:HEADER_BYTES], kind, most=protocol.MAX_BODY_BYTES)
    assert len(message) == HEADER_BYTES + head.length
    return message[HEADER_BYTES:]


def test_greetings_and_hellos_are_read_as_they_were_written() -> None:
    nonce = bytes(range(32))
    assert protocol.parse_greeting(body(protocol.greeting(nonce), Kind.GREETING)) == nonce
    for service in SERVICES:
        hello = Hello(service, bytes(range(32)), protocol.prove("a token", nonce))
        assert protocol.parse_hello(body(protocol.hello(hello), Kind.HELLO)) == hello


def test_a_proof_holds_for_one_token_and_one_connection() -> None:
    proofs = {protocol.prove(token, nonce) for token in ("one", "two", None) for nonce in (b"a" * 32, b"b" * 32)}
    assert len(proofs) == 5
    assert bytes(32) in proofs, "without a token"
    assert all(len(proof) == 32 for proof in proofs)


def test_a_welcome_states_what_the_network_takes_and_gives() -> None:
    assert protocol.parse_welcome(body(protocol.welcome(WELCOME), Kind.WELCOME)) == WELCOME


def test_requests_and_answers_carry_their_arrays() -> None:
    sent = Request(7, 0.25, arrays(SPECS))
    read = protocol.parse_request(body(protocol.request(sent), Kind.REQUEST), SPECS)
    assert (read.sequence, read.deadline_s) == (7, 0.25)
    for one, other in zip(sent.arrays, read.arrays, strict=True):
        np.testing.assert_array_equal(one, other)
        assert other.dtype == one.dtype
        assert other.flags.writeable, "each is the reader's own"
    written = Answer(2**32 - 1, 0.001234, arrays(SPECS, 1))
    answer = protocol.parse_answer(body(protocol.answer(written), Kind.ANSWER), SPECS)
    assert (answer.sequence, answer.spent_s) == (2**32 - 1, 0.001234)
    assert all((a == b).all() for a, b in zip(answer.arrays, written.arrays, strict=True))


def test_numbers_that_a_message_cannot_hold_are_cut() -> None:
    request = protocol.parse_request(body(protocol.request(Request(1, 1e9, ())), Kind.REQUEST), ())
    assert request.deadline_s == pytest.approx(2**32 / 1e3, rel=1e-6)
    late = protocol.parse_request(body(protocol.request(Request(1, -1.0, ())), Kind.REQUEST), ())
    assert late.deadline_s == 0
    assert [protocol.next_sequence(number) for number in (0, 1, 2**32 - 1)] == [1, 2, 1]


def test_a_refusal_is_one_printable_line() -> None:
    refusal = Refusal(3, Cause.AWAY, "the stick\nis \x1b[31maway" + "y" * 100_000)
    read = protocol.parse_refusal(body(protocol.refusal(refusal), Kind.REFUSAL))
    assert (read.sequence, read.cause) == (3, Cause.AWAY)
    assert read.text.isprintable()
    assert len(read.text) <= 200


def test_the_other_version_is_told_and_its_refusal_is_read() -> None:
    other = bytearray(protocol.greeting(bytes(32)))
    other[4] = protocol.VERSION + 1
    with pytest.raises(OtherVersion, match="expected version 1 of the protocol, found version 2; install the same"):
        protocol.header(bytes(other[:HEADER_BYTES]), Kind.GREETING)
    refusal = bytearray(protocol.refusal(Refusal(0, Cause.VERSION, "no")))
    refusal[4] = protocol.VERSION + 1
    assert protocol.header(bytes(refusal[:HEADER_BYTES]), Kind.REFUSAL).kind is Kind.REFUSAL


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"HTTP/1.1 400", "expected a message of edge-fer's protocol, found b'HTTP"),
        (protocol.greeting(bytes(32))[:11], "expected a message of edge-fer's protocol"),
        (protocol.greeting(bytes(32))[:12], "expected hello or refusal, found greeting"),
        (protocol.greeting(bytes(32))[:5] + b"\x63" + bytes(6), "found kind 99"),
        (protocol.hello(Hello("faces", bytes(32), bytes(32)))[:8] + b"\xff" * 4, "at most 65536 bytes, found one of"),
    ],
)
def test_what_is_no_message_is_told(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as caught:
        protocol.header(data, Kind.HELLO, Kind.REFUSAL)
    assert "\n" not in str(caught.value)


def test_a_welcome_of_too_much_is_refused() -> None:
    huge = TensorSpec("x", (1 << 14, 1 << 14), np.dtype(np.uint8))
    content = body(protocol.welcome(WELCOME), Kind.WELCOME)
    record = json.loads(content)
    record["inputs"][0]["shape"] = list(huge.shape)
    with pytest.raises(ProtocolError, match="expected arrays of at most"):
        protocol.parse_welcome(json.dumps(record).encode())
    record["inputs"][0]["shape"] = [0]
    with pytest.raises(ProtocolError, match=r"expected a welcome, found inputs\.0\.shape\.0"):
        protocol.parse_welcome(json.dumps(record).encode())


PARSERS: dict[str, Callable[[bytes], Any]] = {
    "header": lambda data: protocol.header(data, *Kind),
    "greeting": protocol.parse_greeting,
    "hello": protocol.parse_hello,
    "welcome": protocol.parse_welcome,
    "request": lambda data: protocol.parse_request(data, SPECS),
    "answer": lambda data: protocol.parse_answer(data, SPECS),
    "refusal": protocol.parse_refusal,
}
MESSAGES = [
    protocol.greeting(bytes(32)), protocol.hello(Hello("faces", bytes(32), bytes(32))), protocol.welcome(WELCOME),
    protocol.request(Request(1, 0.3, arrays(SPECS))), protocol.answer(Answer(1, 0.01, arrays(SPECS))),
    protocol.refusal(Refusal(1, Cause.LATE, "late")),
]  # fmt: skip


def parse(name: str, data: bytes) -> None:
    """Whatever comes of it, it is no other exception; and it is told in one line."""
    problem = ""
    try:
        PARSERS[name](data)
    except ProtocolError as error:
        problem = str(error)
    assert "\n" not in problem


@pytest.mark.parametrize("name", PARSERS)
@given(data=some.binary(max_size=200))
def test_garbage_raises_the_protocols_own_error_only(name: str, data: bytes) -> None:
    parse(name, data)


@given(
    message=some.sampled_from(MESSAGES),
    name=some.sampled_from(list(PARSERS)),
    place=some.integers(0, 400),
    value=some.integers(0, 255),
    length=some.integers(0, 400),
)
def test_messages_that_were_spoiled_do_no_more(message: bytes, name: str, place: int, value: int, length: int) -> None:
    spoiled = bytearray(message)
    spoiled[place % len(spoiled)] = value
    for data in (bytes(spoiled[:HEADER_BYTES]), bytes(spoiled[HEADER_BYTES:]), bytes(spoiled[:length])):
        parse(name, data)
