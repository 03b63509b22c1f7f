from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_fer.errors import OutputError
from edge_fer.publish.systemd import Notifier, SystemdSink, summary
from tests.support.records import make_face_reading, make_reading, make_status, make_track
from tests.support.waiting import Clock


class Manager:
    """systemd's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def received(self) -> list[list[str]]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode().splitlines())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


def test_the_watchdog_is_fed_four_times_an_interval_at_most(manager: Manager) -> None:
    clock = Clock(100.0)
    notifier = Notifier({"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "8000000"}, clock)
    for clock.now in (100.0, 101.9, 102.0, 103.0, 104.1):
        notifier.beat()
    assert manager.received() == [["WATCHDOG=1"]] * 3
    notifier.close()


def test_nobody_is_told_where_nobody_listens() -> None:
    notifier = Notifier({})
    notifier.beat()
    notifier.notify("READY=1")
    notifier.close()


def test_a_service_without_a_watchdog_feeds_none(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(manager.path)})
    notifier.beat()
    assert manager.received() == []
    notifier.close()


def test_a_reload_carries_its_time(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(manager.path)}, Clock(100.0))
    notifier.reloading()
    assert manager.received() == [["RELOADING=1", "MONOTONIC_USEC=100000000"]]
    notifier.close()


def test_an_abstract_socket_is_reached() -> None:
    name = f"edge-fer-test-{id(object())}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        notifier = Notifier({"NOTIFY_SOCKET": "@" + name})
        notifier.notify("READY=1")
        assert listener.recv(100) == b"READY=1"
        notifier.close()


def test_a_manager_that_does_not_listen_is_not_waited_for(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(manager.path)})
    for _ in range(10_000):
        notifier.notify("STATUS=" + "x" * 1000)
    assert 0 < len(manager.received()) < 10_000
    notifier.close()


def test_a_socket_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"expected systemd's socket at .*, found: No such file"):
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "none")})


def test_the_service_is_ready_once_it_runs_or_waits_for_its_camera(manager: Manager) -> None:
    for state in ("running", "waiting_for_camera", "degraded"):
        notifier = Notifier({"NOTIFY_SOCKET": str(manager.path)})
        sink = SystemdSink(notifier, Clock(100.0))
        sink.publish(make_status("starting", "opening 0"), None)
        assert manager.received() == [["STATUS=starting: opening 0"]]
        for _ in range(2):
            sink.publish(make_status(state, "so it is"), None)
        assert manager.received() == [[f"STATUS={state}: so it is", "READY=1"], [f"STATUS={state}: so it is"]]
        notifier.close()


def test_what_the_manager_did_not_take_is_told_again(manager: Manager) -> None:
    clock = Clock(100.0)
    notifier = Notifier({"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "8000000"}, clock)
    while notifier.notify("STATUS=full"):
        pass
    sink = SystemdSink(notifier, clock)
    sink.publish(make_reading(1), None)
    notifier.beat()
    manager.received()
    sink.publish(make_reading(2), None)
    notifier.beat()
    assert manager.received()[0][1:] == ["READY=1"]
    manager.close()
    assert not notifier.notify("STATUS=nobody there"), "while it starts anew, as after an upgrade"
    notifier.close()


def test_a_face_that_has_left_says_nothing_of_the_service(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(manager.path)})
    sink = SystemdSink(notifier, Clock(100.0))
    sink.publish(make_track(), None)
    sink.publish(make_status("starting", "opening 0"), None)
    assert manager.received() == [["STATUS=starting: opening 0"]]
    notifier.close()


def test_readings_are_told_once_a_second(manager: Manager) -> None:
    clock = Clock(100.0)
    notifier = Notifier({"NOTIFY_SOCKET": str(manager.path)})
    sink = SystemdSink(notifier, clock)
    for clock.now in (100.0, 100.5, 101.0):
        sink.publish(make_reading(faces=(make_face_reading(),)), None)
    assert manager.received() == [["STATUS=29.9 FPS on cpu, 1 face", "READY=1"], ["STATUS=29.9 FPS on cpu, 1 face"]]
    notifier.close()


def test_a_summary_says_what_is_wrong() -> None:
    from dataclasses import replace

    reading = replace(make_reading(), degraded=True, reason="the stick is away")
    assert summary(reading) == "29.9 FPS on cpu, 0 faces; degraded: the stick is away"
    assert "\n" not in summary(make_status("degraded", "two\nlines"))
