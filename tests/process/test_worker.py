from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge_fer.errors import WorkerCrashed, WorkerFailed, WorkerTimeout
from edge_fer.process import child as worker_child
from edge_fer.process.child import Memory
from edge_fer.process.running_child import abandoned
from edge_fer.process.worker import Worker
from tests.support import ROOT
from tests.support.child_odd import HERE

ODD = f"{HERE}:Odd"


@pytest.fixture
def odd():
    with Worker(ODD, name="odd") as worker:
        worker.start(30.0)
        yield worker


def gone(pid: int, within_s: float = 30.0) -> bool:
    """Whether a process has ended, or does so in time."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        threading.Event().wait(0.01)
    return False


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_start_returns_the_targets_info():
    with Worker(ODD, name="odd") as worker:
        assert worker.start(30.0) == {"answer": 42}


def test_a_target_can_be_named_by_its_module():
    with Worker("tests.support.child_odd:Odd", name="odd") as worker:
        assert worker.start(30.0) == {"answer": 42}


def test_calls_carry_json_both_ways(odd):
    assert odd.call("echo", deadline_s=30.0, text="é", numbers=[1, 2.5], none=None) == {
        "text": "é",
        "numbers": [1, 2.5],
        "none": None,
    }


def test_both_sides_see_the_shared_memory(odd):
    odd.memory(4)[:] = bytes([1, 2, 3, 4])
    assert odd.call("add_one", deadline_s=30.0, size=4) == {}
    assert bytes(odd.memory(4)) == bytes([2, 3, 4, 5])


@pytest.mark.parametrize("text", ["transfer failed", "[1]", '{"answer": 42}', '{"result": 7}', "[" * 60_000])
def test_a_child_whose_message_is_no_reply_is_killed(odd, text):
    pid = odd.pid
    with pytest.raises(WorkerCrashed) as caught:
        odd.call("babble", deadline_s=30.0, text=text)
    assert str(caught.value) == (
        f"odd: expected a reply to `babble`, found {text[:80]!r}; the child process is faulty and was killed"
    )
    assert odd.pid is None
    assert gone(pid)


def test_the_memory_grows_from_either_side_and_keeps_its_content(odd):
    odd.call("fill", deadline_s=30.0, size=100, value=7)
    small = odd.memory(100)
    odd.call("fill", deadline_s=30.0, size=5_000_000, value=9)
    assert bytes(odd.memory(5_000_000)[-3:]) == b"\x09\x09\x09"
    assert bytes(small) == b"\x09" * 100
    assert len(odd.memory(6_000_000)) == 6_000_000


def test_the_child_cannot_shrink_the_memory_under_its_parent(odd):
    content = odd.memory(4096)
    with pytest.raises(WorkerFailed, match="Operation not permitted"):
        odd.call("shrink", deadline_s=30.0)
    assert bytes(content) == bytes(4096)


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        (
            "abort",
            {},
            "odd: the child process was ended by SIGABRT during `abort`; its last output: USB transfer failed",
        ),
        ("leave", {"status": 3}, "odd: the child process exited with status 3 during `leave`"),
        (
            "signal_itself",
            {"number": signal.SIGSEGV},
            "odd: the child process was ended by SIGSEGV during `signal_itself`",
        ),
        ("signal_itself", {"number": 40}, "odd: the child process was ended by signal 40 during `signal_itself`"),
    ],
)
def test_a_crash_is_one_clear_line(odd, method, arguments, expected):
    pid = odd.pid
    with pytest.raises(WorkerCrashed) as caught:
        odd.call(method, deadline_s=30.0, **arguments)
    assert str(caught.value) == expected
    assert odd.pid is None
    assert not Path(f"/proc/{pid}").exists()


def test_a_child_that_closes_its_connection_but_stays_is_killed():
    with Worker(ODD, name="odd", kill_wait_s=0.2) as worker:
        worker.start(30.0)
        pid = worker.pid
        with pytest.raises(WorkerCrashed, match="the child process closed its connection during `hang_up`"):
            worker.call("hang_up", deadline_s=30.0)
        assert gone(pid)
        assert worker.abandoned == 0


def test_a_result_that_is_no_json_is_a_crash_that_names_the_reason(odd):
    with pytest.raises(WorkerCrashed, match=r"status 1 during `unspeakable`; its last output: TypeError: .*set"):
        odd.call("unspeakable", deadline_s=30.0)


def test_a_child_that_was_killed_between_calls_is_noticed(odd):
    os.kill(odd.pid, signal.SIGKILL)
    with pytest.raises(WorkerCrashed, match="SIGKILL during `echo`"):
        odd.call("echo", deadline_s=30.0)


def test_a_hang_costs_the_deadline_and_the_child(odd):
    pid, began = odd.pid, time.monotonic()
    with pytest.raises(WorkerTimeout, match=r"no answer to `hang` within 0.2 s; the child process was killed"):
        odd.call("hang", deadline_s=0.2)
    assert 0.2 <= time.monotonic() - began < 5.0
    assert not Path(f"/proc/{pid}").exists()


def test_a_stopped_child_is_killed_at_the_deadline(odd):
    pid = odd.pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WorkerTimeout):
        odd.call("echo", deadline_s=0.2)
    assert not Path(f"/proc/{pid}").exists()


def test_a_start_that_hangs_costs_its_deadline():
    with Worker(ODD, name="odd") as worker, pytest.raises(WorkerTimeout, match="no answer to `start` within 1 s"):
        worker.start(1.0, fail="hang")


def test_another_thread_can_end_a_long_call():
    cancel = threading.Event()
    with Worker(ODD, name="odd", cancelled=cancel.is_set) as worker:
        worker.start(30.0)
        timer = threading.Timer(0.1, cancel.set)
        timer.start()
        began = time.monotonic()
        with pytest.raises(WorkerTimeout, match="`hang` was cancelled"):
            worker.call("hang", deadline_s=60.0)
        assert time.monotonic() - began < 5.0
        timer.join()


def test_an_expected_failure_arrives_as_its_text_and_the_child_lives_on(odd):
    with pytest.raises(WorkerFailed) as caught:
        odd.call("refuse", deadline_s=30.0)
    assert str(caught.value) == "the device is busy"
    assert odd.call("echo", deadline_s=30.0, a=1) == {"a": 1}


def test_an_unexpected_failure_arrives_with_its_type(odd):
    with pytest.raises(WorkerFailed) as caught:
        odd.call("fault", deadline_s=30.0)
    assert str(caught.value) == "KeyError: 'x'"
    assert odd.last_output == "KeyError: 'x'"
    assert odd.call("echo", deadline_s=30.0, a=1) == {"a": 1}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("no.such.module:Class", "ModuleNotFoundError: No module named 'no'"),
        (f"{HERE}:Nothing", "AttributeError: .*Nothing"),
        ("/no/such/file.py:Class", "No such file"),
    ],
)
def test_a_target_that_is_not_there_is_named(target, expected):
    worker = Worker(target, name="odd")
    with pytest.raises(WorkerFailed, match=expected):
        worker.start(30.0)
    assert worker.pid is None


def test_a_failed_constructor_leaves_no_child():
    worker = Worker(ODD, name="odd")
    with pytest.raises(WorkerFailed, match=r"^no such device$"):
        worker.start(30.0, fail="refuse")
    assert worker.pid is None
    with pytest.raises(WorkerCrashed, match="found none; start it first"):
        worker.call("echo", deadline_s=1.0)
    with pytest.raises(WorkerCrashed, match="found none; start it first"):
        worker.memory(1)


def test_an_interpreter_that_is_not_there_leaks_nothing():
    before = open_descriptors()
    worker = Worker(ODD, name="odd", python="/no/such/python")
    with pytest.raises(WorkerCrashed, match="cannot start a child process with /no/such/python"):
        worker.start(30.0)
    assert open_descriptors() == before


def test_chatter_never_blocks_the_child_and_only_its_end_is_kept(odd):
    odd.call("chatter", deadline_s=30.0, size=300_000, end="\nlast of it\n")
    assert odd.last_output == "last of it"
    odd.call("chatter", deadline_s=30.0, size=300_000, end="last of it")
    assert odd.last_output.endswith("xlast of it")
    assert len(odd.last_output) <= 4096


def test_a_child_that_closes_its_stderr_is_still_served(odd):
    odd.call("mute", deadline_s=30.0)
    assert odd.call("echo", deadline_s=30.0, a=1) == {"a": 1}
    with pytest.raises(WorkerTimeout):
        odd.call("hang", deadline_s=0.2)


def test_a_request_too_long_for_a_message_is_refused(odd):
    with pytest.raises(ValueError, match="use `memory`"):
        odd.call("echo", deadline_s=30.0, text="x" * 70_000)


def test_the_environment_reaches_the_child(monkeypatch):
    monkeypatch.setenv("EDGE_FER_OTHER", "no")
    with Worker(ODD, name="odd", environment={"EDGE_FER_TEST": "yes", "EDGE_FER_OTHER": None}) as worker:
        worker.start(30.0)
        assert worker.call("environment", deadline_s=30.0, name="EDGE_FER_TEST") == {"value": "yes"}
        assert worker.call("environment", deadline_s=30.0, name="EDGE_FER_OTHER") == {"value": None}
        assert worker.call("environment", deadline_s=30.0, name="PATH") == {"value": os.environ["PATH"]}


@pytest.mark.parametrize("python", [None, sys.executable])
def test_only_our_own_interpreter_gets_our_path(python, monkeypatch):
    """A foreign one, as picamera2's, must not meet our numpy."""
    monkeypatch.syspath_prepend("/only/here")
    with Worker(ODD, name="odd", python=python) as worker:
        worker.start(30.0)
        assert ("/only/here" in worker.call("path", deadline_s=30.0)["value"]) == (python is None)


def test_close_lets_the_target_close_itself(tmp_path):
    note = tmp_path / "note"
    with Worker(ODD, name="odd") as worker:
        worker.start(30.0, note=str(note))
    assert note.read_text() == "closed"
    worker.close()
    worker.kill()


def test_close_kills_a_child_that_does_not_leave(odd):
    pid = odd.pid
    os.kill(pid, signal.SIGSTOP)
    odd.close(deadline_s=0.1)
    assert not Path(f"/proc/{pid}").exists()
    assert odd.abandoned == 0


def test_only_the_parent_ends_the_child(odd):
    os.kill(odd.pid, signal.SIGINT)
    os.kill(odd.pid, signal.SIGTERM)
    assert odd.call("echo", deadline_s=30.0, a=1) == {"a": 1}


@pytest.mark.slow
def test_fifty_restarts_leak_nothing_and_are_counted():
    with Worker(ODD, name="odd") as worker:
        worker.start(30.0)
        before = len(open_descriptors())
        for number in range(50):
            if number % 2:
                worker.kill()
            worker.start(30.0)
        assert worker.restarts == 50
        assert len(open_descriptors()) == before
        assert abandoned() == worker.abandoned == 0


class Unkillable:
    """A process in state D: SIGKILL does not end it until it is let go."""

    def __init__(self, process):
        self._process = process
        self.let_go = False

    def kill(self):
        pass

    def poll(self):
        return self._process.poll() if self.let_go else None

    def wait(self, timeout):
        raise subprocess.TimeoutExpired("child", timeout)


def test_an_unkillable_child_is_abandoned_counted_and_reaped_later():
    worker = Worker(ODD, name="odd", max_abandoned=1)
    worker.start(30.0)
    before, real = open_descriptors(), worker._child.process
    stuck = Unkillable(real)
    worker._child.process = stuck
    worker.kill()
    assert (worker.abandoned, abandoned(), worker.pid) == (1, 1, None)
    assert len(open_descriptors()) < len(before)
    with pytest.raises(WorkerCrashed, match="stuck in the kernel"):
        worker.start(30.0)
    real.wait(5.0)  # the closed socket ends it
    stuck.let_go = True
    assert abandoned() == 0
    with worker:
        assert worker.start(30.0) == {"answer": 42}


PARENT = """
import sys, threading
from edge_fer.process.worker import Worker
worker = Worker(sys.argv[1], name="odd")
worker.start(30.0)
print(worker.pid, flush=True)
if sys.argv[2] == "hang":
    worker.call("hang", deadline_s=60.0)
threading.Event().wait()
"""


@pytest.mark.parametrize("doing", ["idle", "hang"])
def test_the_child_dies_with_its_parent(doing):
    command = [sys.executable, "-c", PARENT, ODD, doing]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        pid = int(parent.stdout.readline())
        assert not gone(pid, within_s=0.1)
        parent.kill()
    assert gone(pid)


def test_the_childs_side_needs_the_standard_library_only():
    code = (
        "import runpy, sys; sys.argv[1:] = []\n"
        f"runpy.run_path({worker_child.__file__!r}, run_name='child')\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('numpy', 'cv2', 'edge_fer', 'pydantic')])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_serve_answers_until_the_parent_hangs_up(tmp_path):
    """The child's loop in this process: what only a child's own coverage would show otherwise."""
    note = tmp_path / "note"
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    memory = Memory(os.memfd_create("test"))
    with ours, theirs:
        server = threading.Thread(target=worker_child.serve, args=(theirs, memory))
        server.start()

        def ask(message: bytes) -> bytes:
            ours.send(message)
            return ours.recv(65536)

        start = b'{"method": "start", "arguments": {"target": "%s", "path": [], "arguments": {"note": "%s"}}}'
        assert ask(start % (ODD.encode(), str(note).encode())) == b'{"result": {"answer": 42}}'
        assert ask(b'{"method": "fill", "arguments": {"size": 3, "value": 1}}') == b'{"result": {}}'
        assert ask(b'{"method": "refuse", "arguments": {}}') == b'{"error": "the device is busy"}'
        assert ask(b'{"method": "fault", "arguments": {}}') == b'{"error": "KeyError: \'x\'"}'
        ours.shutdown(socket.SHUT_RDWR)
        server.join(5.0)
    assert note.read_text() == "closed"
    assert bytes(memory.view(3)) == b"\x01\x01\x01"
    memory.close()
