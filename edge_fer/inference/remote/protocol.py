"""How a client and a server of networks talk: `messages` to bytes and back, pure functions for both ends.

    server: GREETING  a nonce
    client: HELLO     which network, what for, a proof that it knows the token
    server: WELCOME   what the network takes and gives          or REFUSAL
    client: REQUEST   sequence, deadline, inputs                } one after the other
    server: ANSWER    sequence, microseconds, outputs           } or REFUSAL, of this request

Each message is a header and a body. The header is the same in all versions: the mark `EFnn`, version, kind, length of
the body. All numbers are big-endian. Whatever is not as agreed raises `ProtocolError`, and nothing else.
"""

from __future__ import annotations

import hmac
import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_fer.common.text import cut, first_problem, printable
from edge_fer.errors import BackendError
from edge_fer.inference import TensorSpec
from edge_fer.inference.remote.messages import SERVICES, Answer, Cause, Hello, Kind, Refusal, Request, Welcome
from edge_fer.inference.tensor_record import NetworkRecord, TensorRecord

VERSION = 1
"""Of the messages' bodies and their order; both ends must have the same."""

HEADER_BYTES = 12
NONCE_BYTES = 32

MAX_BODY_BYTES = 1 << 26
"""Of the largest request or answer: a picture of 4096x4096 pixels in four bytes each."""

MAX_TEXT_BYTES = 1 << 16
"""Of every other message."""

_MARK = b"EFnn"
_HEADER = struct.Struct("!4sBBHI")
_HELLO = struct.Struct("!B32s32s")
_REQUEST = struct.Struct("!II")
_ANSWER = struct.Struct("!II")
_REFUSAL = struct.Struct("!IB")
_SEQUENCES = 1 << 32
_LONGEST_DEADLINE_MS = _SEQUENCES - 1
_SHOWN = 200  # characters of the other end's words


class ProtocolError(BackendError):
    """What came from the other end is not what the protocol says."""


class OtherVersion(ProtocolError):
    """The other end speaks another version of the protocol."""


class UnknownService(ProtocolError):
    """The client asks for what this version does not do."""


class Header(NamedTuple):
    """The head of a message: what it is, and how many bytes follow."""

    kind: Kind
    length: int


class _Welcome(NetworkRecord):
    backend: str


def header(data: bytes, *expected: Kind, most: int = MAX_TEXT_BYTES) -> Header:
    """Read the head of a message.

    Args:
        data: `HEADER_BYTES` bytes.
        expected: the kinds that may come now.
        most: the longest body that may come now, bytes.

    Raises:
        OtherVersion: when it is of another version; a refusal, which tells why, is read whatever its version.
        ProtocolError: when it is no such message.
    """
    if len(data) != HEADER_BYTES or not data.startswith(_MARK):
        raise ProtocolError(f"expected a message of edge-fer's protocol, found {cut(repr(data), 60)}")
    _, version, kind, _, length = _HEADER.unpack(data)
    if version != VERSION and kind != Kind.REFUSAL:
        raise OtherVersion(
            f"expected version {VERSION} of the protocol, found version {version}; install the same version of "
            "edge-fer on both computers"
        )
    if kind not in expected:
        names = " or ".join(one.name.lower() for one in expected)
        found = Kind(kind).name.lower() if kind in list(Kind) else f"kind {kind}"
        raise ProtocolError(f"expected {names}, found {found}")
    if length > most:
        raise ProtocolError(f"expected a message of at most {most} bytes, found one of {length}")
    return Header(Kind(kind), length)


def greeting(nonce: bytes) -> bytes:
    """The message with which a server begins."""
    return _message(Kind.GREETING, nonce)


def parse_greeting(body: bytes) -> bytes:
    """The nonce of a greeting."""
    if len(body) != NONCE_BYTES:
        raise ProtocolError(f"expected a nonce of {NONCE_BYTES} bytes, found {len(body)}")
    return body


def prove(token: str | None, nonce: bytes) -> bytes:
    """A proof that one knows a token, which does not reveal it and holds for one connection only; 32 bytes."""
    return bytes(32) if token is None else hmac.digest(token.encode(), b"edge-fer serve " + nonce, "sha256")


def hello(message: Hello) -> bytes:
    """The message with which a client says what it wants."""
    return _message(Kind.HELLO, _HELLO.pack(SERVICES.index(message.service) + 1, message.model, message.proof))


def parse_hello(body: bytes) -> Hello:
    """What a client wants."""
    service, model, proof = _unpack(_HELLO, body)
    if not 1 <= service <= len(SERVICES):
        raise UnknownService(f"expected one of the services {', '.join(SERVICES)}, found number {service}")
    return Hello(SERVICES[service - 1], model, proof)


def welcome(message: Welcome) -> bytes:
    """The message that opens a connection for requests."""
    inputs, outputs = ([TensorRecord.from_spec(spec) for spec in specs] for specs in (message.inputs, message.outputs))
    record = _Welcome(backend=message.backend, inputs=inputs, outputs=outputs)
    return _message(Kind.WELCOME, record.model_dump_json().encode())


def parse_welcome(body: bytes) -> Welcome:
    """What the network takes and gives."""
    try:
        record = _Welcome.model_validate_json(body)
    except ValidationError as error:
        where, what = first_problem(error)
        raise ProtocolError(f"expected a welcome, found {_shown(f'{where}: {what}')}") from error
    parsed = Welcome(
        _shown(record.backend),
        *(tuple(tensor.to_spec() for tensor in tensors) for tensors in (record.inputs, record.outputs)),
    )
    for specs in (parsed.inputs, parsed.outputs):
        size_of(specs)
    return parsed


def request(message: Request) -> bytes:
    """The message that asks for outputs."""
    deadline_ms = min(max(math.ceil(message.deadline_s * 1e3), 0), _LONGEST_DEADLINE_MS)
    return _message(Kind.REQUEST, _REQUEST.pack(message.sequence, deadline_ms), *message.arrays)


def parse_request(body: bytes, inputs: Sequence[TensorSpec]) -> Request:
    """What a client asks for.

    Args:
        body: the message's body.
        inputs: what was agreed in the welcome.
    """
    sequence, deadline_ms = _unpack(_REQUEST, body[: _REQUEST.size])
    return Request(sequence, deadline_ms / 1e3, _arrays(body, _REQUEST.size, inputs))


def request_bytes(inputs: Sequence[TensorSpec]) -> int:
    """How long the body of a request is, bytes."""
    return _REQUEST.size + size_of(inputs)


def answer(message: Answer) -> bytes:
    """The message with the outputs."""
    spent_us = min(max(round(message.spent_s * 1e6), 0), _SEQUENCES - 1)
    return _message(Kind.ANSWER, _ANSWER.pack(message.sequence, spent_us), *message.arrays)


def parse_answer(body: bytes, outputs: Sequence[TensorSpec]) -> Answer:
    """What a server answers; see `parse_request`."""
    sequence, spent_us = _unpack(_ANSWER, body[: _ANSWER.size])
    return Answer(sequence, spent_us / 1e6, _arrays(body, _ANSWER.size, outputs))


def answer_bytes(outputs: Sequence[TensorSpec]) -> int:
    """How long the body of an answer is, bytes."""
    return _ANSWER.size + size_of(outputs)


def refusal(message: Refusal) -> bytes:
    """The message that says why not."""
    text = message.text.encode(errors="replace")[: MAX_TEXT_BYTES - _REFUSAL.size]
    return _message(Kind.REFUSAL, _REFUSAL.pack(message.sequence, message.cause), text)


def parse_refusal(body: bytes) -> Refusal:
    """Why not; the text is one printable line."""
    sequence, cause = _unpack(_REFUSAL, body[: _REFUSAL.size])
    if cause not in list(Cause):
        raise ProtocolError(f"expected a cause of a refusal, found {cause}")
    return Refusal(sequence, Cause(cause), _shown(body[_REFUSAL.size :].decode(errors="replace")))


def next_sequence(sequence: int) -> int:
    """The number of the next request; 0 is none."""
    return sequence % (_SEQUENCES - 1) + 1


def size_of(specs: Sequence[TensorSpec]) -> int:
    """How many bytes arrays take, one after the other.

    Raises:
        ProtocolError: when they are more than a message may have.
    """
    size = sum(math.prod(spec.shape) * spec.dtype.itemsize for spec in specs)
    if size > MAX_BODY_BYTES:
        raise ProtocolError(f"expected arrays of at most {MAX_BODY_BYTES} bytes, found {size}")
    return size


def _message(kind: Kind, *parts: bytes | NDArray[Any]) -> bytes:
    contents = [part if isinstance(part, bytes) else _big_endian(part) for part in parts]
    return b"".join((_HEADER.pack(_MARK, VERSION, kind, 0, sum(map(len, contents))), *contents))


def _unpack(form: struct.Struct, data: bytes) -> tuple[Any, ...]:
    if len(data) != form.size:
        raise ProtocolError(f"expected {form.size} bytes, found {len(data)}")
    return form.unpack(data)


def _arrays(body: bytes, start: int, specs: Sequence[TensorSpec]) -> tuple[NDArray[Any], ...]:
    """The arrays that a body holds from a place on; each is a copy that may be written to."""
    if len(body) != start + size_of(specs):
        raise ProtocolError(f"expected {start + size_of(specs)} bytes, found {len(body)}")
    arrays = []
    for spec in specs:
        count = math.prod(spec.shape)
        wire = np.frombuffer(body, spec.dtype.newbyteorder(">"), count, start)
        arrays.append(wire.astype(spec.dtype).reshape(spec.shape))
        start += count * spec.dtype.itemsize
    return tuple(arrays)


def _big_endian(array: NDArray[Any]) -> bytes:
    return array.astype(array.dtype.newbyteorder(">"), copy=False).tobytes()


def _shown(text: str) -> str:
    return cut(printable(text), _SHOWN)
