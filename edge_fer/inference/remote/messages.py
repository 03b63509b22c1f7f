"""What a client and a server of networks say to each other; `protocol` has the order, and how each becomes bytes."""

from __future__ import annotations

import enum
from typing import Any, Literal, NamedTuple, get_args

from numpy.typing import NDArray

from edge_fer.inference import TensorSpec


class Kind(enum.IntEnum):
    """What a message is."""

    GREETING = 1
    HELLO = 2
    WELCOME = 3
    REQUEST = 4
    ANSWER = 5
    REFUSAL = 6


Service = Literal["faces", "tensors"]
"""What a request holds: a face as it was cut out, or the inputs of the network as they are; later versions may add."""

SERVICES: tuple[Service, ...] = get_args(Service)


class Cause(enum.IntEnum):
    """Why a server refuses; of the last two, one request only, and the connection goes on."""

    VERSION = 1
    TOKEN = 2
    TOO_SOON = 3
    MODEL = 4
    SERVICE = 5
    FULL = 6
    MALFORMED = 7
    AWAY = 8
    LATE = 9


class Hello(NamedTuple):
    """What a client asks for.

    Attributes:
        service: see `Service`.
        model: SHA-256 of the network's file, before it was compiled for a device.
        proof: see `prove`; zeros where the client has no token.
    """

    service: Service
    model: bytes
    proof: bytes


class Welcome(NamedTuple):
    """What the network takes and gives, for this service."""

    backend: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Request(NamedTuple):
    """Inputs to run the network on.

    Attributes:
        sequence: the client's number of it.
        deadline_s: after so long the client does not wait for the answer any more, seconds.
        arrays: the inputs.
    """

    sequence: int
    deadline_s: float
    arrays: tuple[NDArray[Any], ...]


class Answer(NamedTuple):
    """The outputs.

    Attributes:
        sequence: that of the request.
        spent_s: how long the device took, seconds.
        arrays: the outputs.
    """

    sequence: int
    spent_s: float
    arrays: tuple[NDArray[Any], ...]


class Refusal(NamedTuple):
    """Why there is no welcome or no answer.

    Attributes:
        sequence: of the request that is refused; 0 where the connection is.
        cause: for a program.
        text: for a person.
    """

    sequence: int
    cause: Cause
    text: str
