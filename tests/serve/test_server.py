"""The server among strangers: who is refused, who gives way, and that the others do not notice."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fer.common.deadline import Deadline
from edge_fer.errors import BackendError, OutputError
from edge_fer.inference import TensorSpec
from edge_fer.inference.fake import FakeBackend
from edge_fer.inference.remote import protocol
from edge_fer.inference.remote.backend import RemoteBackend, RemoteOptions
from edge_fer.inference.remote.messages import Cause, Hello, Kind, Refusal, Request
from edge_fer.inference.remote.protocol import HEADER_BYTES
from edge_fer.serve.admission import Admission, AdmittedClient, Counts, Limits
from edge_fer.serve.dispatcher import Dispatcher
from edge_fer.serve.networks import Program
from edge_fer.serve.server import listen
from edge_fer.settings.addresses import Place
from tests.support.face_server import TOKEN, FaceServer, network_of, serving
from tests.support.waiting import wait_until as until

FACE = TensorSpec("face", (4, 4), np.dtype(np.uint8))
LOGITS = TensorSpec("logits", (1, 7), np.dtype(np.int8), 0.25, 0)
ZEROS = np.zeros((4, 4), np.uint8)
PATIENT = RemoteOptions(TOKEN, 20.0, 20.0)
QUICK = Limits(hello_s=0.2, message_s=0.2, stalled_s=0.2, unauthenticated=4)


class Gate(FakeBackend):
    """A device that answers when it is let."""

    def __init__(self, *, is_open: bool = True) -> None:
        super().__init__((FACE,), (LOGITS,))
        self.may, self.order = threading.Semaphore(0), list[int]()
        self.is_open, self.broken, self.is_asked = is_open, False, False

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        if self.broken:
            raise BackendError("the stick\nis away")
        self.is_asked = True
        if not self.is_open:
            self.may.acquire()
        self.order.append(int(inputs[0][0, 0]))
        return super().infer(*inputs)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def there(gate: Gate) -> Iterator[FaceServer]:
    with serving([network_of(gate)], token=TOKEN, limits=QUICK) as server:
        yield server


def client(there: FaceServer, options: RemoteOptions = PATIENT) -> RemoteBackend:
    return RemoteBackend(there.address(), there.model, "faces", options)


class Raw:
    """A client that sends what it likes; all are closed after each test."""

    opened: ClassVar[list[socket.socket]] = []

    def __init__(self, there: FaceServer, *, let_in: bool = False) -> None:
        self.socket = socket.create_connection(("127.0.0.1", there.server.port), timeout=20)
        self.opened.append(self.socket)
        self.nonce = self.receive(Kind.GREETING)
        if let_in:
            self.hello(there)
            self.receive(Kind.WELCOME)

    def hello(self, there: FaceServer, token: str = TOKEN) -> None:
        proof = protocol.prove(token, self.nonce)
        self.socket.sendall(protocol.hello(Hello("faces", bytes.fromhex(there.model), proof)))

    def receive(self, kind: Kind) -> bytes:
        head = self._exactly(HEADER_BYTES)
        return self._exactly(protocol.header(head, kind).length)

    @property
    def refusal(self) -> Refusal:
        return protocol.parse_refusal(self.receive(Kind.REFUSAL))

    @property
    def is_ended(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, "the server has ended the connection"
            data += piece
        return data


@pytest.fixture(autouse=True)
def closes_raw_clients() -> Iterator[None]:
    yield
    while Raw.opened:
        Raw.opened.pop().close()


REQUEST = protocol.request(Request(1, 20.0, (ZEROS,)))


@pytest.mark.parametrize(
    ("sent", "cause", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", Cause.MALFORMED, "expected a message of edge-fer's protocol"),
        (protocol.greeting(bytes(32))[:4] + b"\x02" + bytes(7), Cause.VERSION, "found version 2"),
        (REQUEST, Cause.MALFORMED, "expected hello, found request"),
        (protocol.hello(Hello("faces", bytes(32), bytes(32)))[:8] + b"\xff" * 4, Cause.MALFORMED, "at most 65536"),
        (protocol.hello(Hello("faces", bytes(32), bytes(32)))[:12] + b"\x09" + bytes(64), Cause.SERVICE, "number 9"),
        (protocol.hello(Hello("faces", bytes(32), bytes(32))), Cause.TOKEN, "no token"),
        (protocol.hello(Hello("faces", bytes(32), b"x" * 32)), Cause.TOKEN, "another token"),
    ],
)
def test_a_stranger_is_told_and_sent_away(there: FaceServer, sent: bytes, cause: Cause, words: str) -> None:
    stranger = Raw(there)
    stranger.socket.sendall(sent)
    refusal = stranger.refusal
    assert (refusal.sequence, refusal.cause) == (0, cause)
    assert words in refusal.text
    assert stranger.is_ended
    assert sum(there.counts.refused.values()) == 1
    with client(there) as served:
        served.infer(ZEROS)


@pytest.mark.parametrize("sent", [REQUEST[:1], REQUEST[:HEADER_BYTES], REQUEST[:-1]])
def test_a_client_that_is_too_slow_with_a_request_is_sent_away(there: FaceServer, sent: bytes) -> None:
    slow = Raw(there, let_in=True)
    slow.socket.sendall(sent)
    assert slow.is_ended
    until(lambda: there.counts.refused == {"slow": 1})
    assert there.counts.clients == 0


def test_a_frame_that_is_too_long_is_refused_before_it_is_read(there: FaceServer) -> None:
    flood = Raw(there, let_in=True)
    flood.socket.sendall(REQUEST[:8] + (1 << 25).to_bytes(4, "big"))
    assert "at most 24 bytes, found one of 33554432" in flood.refusal.text
    assert flood.is_ended


def test_idle_strangers_are_bounded_and_ended(there: FaceServer) -> None:
    with client(there) as served:
        idle = [Raw(there) for _ in range(20)]
        assert there.admission.unauthenticated.closed >= 16, "the oldest give way at once"
        served.infer(ZEROS)
        assert all(one.is_ended for one in idle), "the others when they have said nothing for too long"
        served.infer(ZEROS)
        assert there.counts.clients == 1


def test_a_client_may_be_idle_for_as_long_as_it_likes(there: FaceServer) -> None:
    with client(there) as served:
        served.infer(ZEROS)
        threading.Event().wait(3 * QUICK.message_s)
        served.infer(ZEROS)


def test_when_it_is_full_the_one_that_was_silent_longest_gives_way() -> None:
    now, counts = [0.0], Counts()
    left: list[str] = []
    admission = Admission(None, 2, 30.0, Limits(), counts, lambda: now[0])

    def admit(name: str) -> AdmittedClient | Refusal:
        return admission.admit(name, lambda: left.append(name))

    first, second = admit("first"), admit("second")
    assert isinstance(first, AdmittedClient)
    assert isinstance(second, AdmittedClient)
    refused = admit("third")
    assert isinstance(refused, Refusal)
    assert (refused.cause, refused.text) == (Cause.FULL, "2 clients, as many as it serves at once")
    now[0] = 20.0
    admission.note_activity(first)
    now[0] = 31.0
    assert isinstance(admit("third"), AdmittedClient)
    assert (left, counts.clients, counts.refused) == (["second"], 2, {"idle": 1})
    admission.release(second)
    assert counts.clients == 2, "it has gone already"


def test_the_place_of_a_client_that_has_gone_is_free_again(gate: Gate) -> None:
    with serving([network_of(gate)], token=TOKEN, max_clients=1) as there:
        for _ in range(5):
            with client(there) as served:
                served.infer(ZEROS)
                with pytest.raises(BackendError, match="found: 1 client, as many as it serves at once; raise"):
                    client(there)
            until(lambda: there.counts.clients == 0)


def test_clients_take_turns(gate: Gate) -> None:
    async def ask(dispatcher: Dispatcher, program: Program, name: int, times: int) -> None:
        for number in range(times):
            await dispatcher.submit(Request(number + 1, 60.0, (ZEROS + np.uint8(name),)), program)

    async def run() -> None:
        network = network_of(gate)
        with ThreadPoolExecutor(1) as executor:
            dispatcher = Dispatcher(network, executor, lambda _: nullcontext(), Deadline())
            working = asyncio.create_task(dispatcher.run())
            program = network.programs["faces"]
            await asyncio.gather(*(ask(dispatcher, program, name, 10) for name in range(3)))
            working.cancel()

    asyncio.run(run())
    assert gate.order == [0, 1, 2] * 10


def test_a_client_that_floods_has_one_request_in_work(there: FaceServer, gate: Gate) -> None:
    flood = Raw(there, let_in=True)
    flood.socket.sendall(b"".join(protocol.request(Request(n + 1, 60.0, (ZEROS,))) for n in range(500)))
    with client(there) as modest:
        for _ in range(10):
            modest.infer(ZEROS + np.uint8(1))
        place = [place for place, name in enumerate(gate.order) if name == 1]
    assert max(np.diff(place)) <= 20, "it waits for one of the other's at a time, but has to send its own first"


def test_what_comes_too_late_for_its_client_is_not_read() -> None:
    gate = Gate(is_open=False)
    with serving([network_of(gate)], token=TOKEN) as there:
        first, second = Raw(there, let_in=True), Raw(there, let_in=True)
        first.socket.sendall(protocol.request(Request(1, 60.0, (ZEROS,))))
        until(lambda: gate.is_asked)
        second.socket.sendall(protocol.request(Request(7, 0.0, (ZEROS + 1,))))  # whenever it has its turn, it is late
        gate.may.release()
        first.receive(Kind.ANSWER)
        refusal = second.refusal
        assert (refusal.sequence, refusal.cause) == (7, Cause.LATE)
        assert (there.counts.faces, there.counts.late, gate.order) == (1, 1, [0])


def test_a_device_that_fails_is_told_and_the_connection_goes_on(there: FaceServer, gate: Gate) -> None:
    raw = Raw(there, let_in=True)
    gate.broken = True
    raw.socket.sendall(REQUEST)
    refusal = raw.refusal
    assert (refusal.sequence, refusal.cause, refusal.text) == (1, Cause.AWAY, "the stick is away")
    gate.broken = False
    raw.socket.sendall(REQUEST)
    raw.receive(Kind.ANSWER)
    assert (there.counts.away, there.counts.faces) == (1, 1)


def test_a_fault_of_the_servers_own_harms_nobody(
    there: FaceServer, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(gate, "infer", fail)
    raw = Raw(there, let_in=True)
    raw.socket.sendall(REQUEST)
    assert raw.refusal.text == "the server failed: ZeroDivisionError"
    monkeypatch.undo()
    with client(there) as served:
        served.infer(ZEROS)


def test_two_devices_work_side_by_side() -> None:
    gates = Gate(is_open=False), Gate(is_open=False)
    with serving([network_of(*gates)], token=TOKEN) as there:
        raws = [Raw(there, let_in=True) for _ in range(2)]
        for raw in raws:
            raw.socket.sendall(REQUEST)
        for gate in gates:
            gate.may.release()
        for raw in raws:
            raw.receive(Kind.ANSWER)
    assert [len(gate.order) for gate in gates] == [1, 1]


def test_the_end_of_the_server_is_told_to_its_clients(gate: Gate) -> None:
    with serving([network_of(gate)], token=TOKEN) as there:
        served = client(there)
    with served, pytest.raises(BackendError, match="to hold, found:"):
        served.infer(ZEROS)


def test_clients_that_reset_their_connection_at_once_are_no_error(
    there: FaceServer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(50):
        sock = socket.create_connection(("127.0.0.1", there.server.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    with client(there) as served:
        served.infer(ZEROS)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_it_ends_after_the_inference_under_way() -> None:
    gate = Gate(is_open=False)
    with serving([network_of(gate)], token=TOKEN) as there:
        Raw(there, let_in=True).socket.sendall(REQUEST)
        until(lambda: gate.is_asked)
        threading.Timer(0.1, gate.may.release).start()
    assert gate.order == [0]


def test_a_port_that_is_taken_is_told() -> None:
    with listen(Place("127.0.0.1", 0)) as taken, pytest.raises(OutputError, match="another program has that port"):
        listen(Place("127.0.0.1", taken.getsockname()[1]))
    with pytest.raises(OutputError, match="this box has no such address"):
        listen(Place("192.0.2.1", 9010))


def test_of_each_reason_a_few_lines_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    now, counts = [0.0], Counts()
    admission = Admission(None, 2, 30.0, Limits(), counts, lambda: now[0])
    for _ in range(100):
        admission.refuse("192.0.2.1:7", "malformed", "expected a hello")
    admission.refuse("192.0.2.1:8", "slow", "it was too slow with its hello")
    now[0] = 61.0
    admission.refuse("192.0.2.1:9", "malformed", "expected a hello")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 5
    assert said[3] == "serve: 192.0.2.1:8 was sent away: it was too slow with its hello"
    assert said[4].endswith("expected a hello (and 97 before it for such a reason)")
    assert counts.refused == {"malformed": 101, "slow": 1}
