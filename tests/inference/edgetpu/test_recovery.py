from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edge_fer.common.backoff import Backoff
from edge_fer.errors import WorkerFailed
from edge_fer.inference.edgetpu.devices import list_tpus
from edge_fer.inference.edgetpu.recovery import (
    RESTARTS,
    USBDEVFS_RESET,
    RecoveryPolicy,
    RecoveryStep,
    UsbPort,
    ask_helper,
    usb_steps,
)
from tests.support import ROOT
from tests.support.fake_edgetpu import FakeEdgeTpu

HELPER = ROOT / "deploy/edge-fer-usb-helper"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def tpu(tmp_path: Path) -> FakeEdgeTpu:
    return FakeEdgeTpu(tmp_path, ["2-1.3"])


def port_of(tpu: FakeEdgeTpu, port: str = "2-1.3") -> Path:
    return tpu.sysfs / "bus/usb/devices" / port


def policy_of(*steps: RecoveryStep, clock: Clock | None = None, steady_s: float = 10.0) -> RecoveryPolicy:
    clock = clock or Clock()
    return RecoveryPolicy(steps, Backoff(0.1, 5.0, clock), park_s=600.0, steady_s=steady_s, clock=clock)


def step(name: str, done: list[str], problem: Exception | None = None) -> RecoveryStep:
    def act() -> None:
        done.append(name)
        if problem is not None:
            raise problem

    return RecoveryStep(name, act)


def test_the_steps_are_tried_one_after_the_other_and_counted() -> None:
    done: list[str] = []
    policy = policy_of(*(step(name, done) for name in ("usb_reset", "reauthorise", "port_power")))
    attempts = [policy.failed() for _ in range(RESTARTS + 5)]
    assert done == ["usb_reset", "reauthorise", "port_power"]
    assert [attempt.pause_s for attempt in attempts] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 600.0, 600.0]
    assert policy.counts == {"restart": 3, "usb_reset": 1, "reauthorise": 1, "port_power": 1, "parked": 2}
    assert attempts[3].text == "usb reset, next start in 0.8 s"


@pytest.mark.parametrize("problem", [PermissionError("not permitted"), WorkerFailed("not permitted")])
def test_a_step_that_is_not_possible_is_reported_and_skipped(problem: Exception) -> None:
    done: list[str] = []
    policy = policy_of(step("usb_reset", done, problem), step("reauthorise", done))
    for _ in range(RESTARTS):
        policy.failed()
    attempt = policy.failed()
    assert done == ["usb_reset", "reauthorise"]
    assert policy.counts["usb_reset"] == 0
    assert attempt.text == "usb_reset was not possible (not permitted); reauthorise, next start in 0.8 s"


def test_a_device_that_worked_for_long_begins_with_restarts_again() -> None:
    clock = Clock()
    policy = policy_of(step("usb_reset", []), clock=clock)
    for _ in range(RESTARTS + 1):
        policy.failed()
    policy.succeeded()
    clock.now += 9.9
    assert "parked" in policy.failed().text, "it worked, but not for long"
    policy.succeeded()
    clock.now += 10
    assert policy.failed().text == "restart, next start in 0.1 s"


def test_a_device_that_a_reset_will_not_help_is_not_reset_but_parked() -> None:
    done: list[str] = []
    policy = policy_of(step("usb_reset", done))
    attempts = [policy.failed(reset_may_help=False) for _ in range(RESTARTS + 2)]
    assert (done, [attempt.name for attempt in attempts]) == ([], ["restart"] * 3 + ["parked"] * 2)
    assert (policy.failed().name, done) == ("usb_reset", ["usb_reset"]), "it crashed since"


def test_a_device_plugged_in_anew_begins_with_restarts_again() -> None:
    policy = policy_of(step("usb_reset", []))
    for _ in range(RESTARTS + 2):
        policy.failed()
    policy.start_over()
    assert policy.failed().text == "restart, next start in 0.1 s"


def test_a_reset_goes_to_the_device_that_hangs_on_the_port(tpu: FakeEdgeTpu) -> None:
    calls: list[tuple[str, int, int]] = []

    def ioctl(descriptor: int, request: int, argument: int) -> None:
        calls.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), request, argument))

    port = UsbPort(None, str(port_of(tpu)), str(tpu.dev), ioctl=ioctl)
    port.usb_reset()
    tpu.unplug("2-1.3")
    tpu.plug_in("2-1.3", 12)
    port.usb_reset()
    assert calls == [(str(tpu.dev / f"bus/usb/002/{number:03}"), USBDEVFS_RESET, 0) for number in (5, 12)]


def test_a_reset_that_the_kernel_refuses_is_an_error(tpu: FakeEdgeTpu) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError, match="ioctl"):
        UsbPort(None, str(port_of(tpu)), str(tpu.dev)).usb_reset()
    assert set(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize("method", ["usb_reset", "reauthorise", "port_power"])
def test_another_device_on_the_port_is_left_alone(tpu: FakeEdgeTpu, method: str) -> None:
    (port_of(tpu) / "idVendor").write_text("046d\n")
    with pytest.raises(OSError, match=r"expected an Edge TPU at USB port 2-1\.3, found 046d:9302"):
        getattr(UsbPort(None, str(port_of(tpu)), str(tpu.dev)), method)()
    assert (port_of(tpu) / "authorized").read_text() == "1\n"
    assert (port_of(tpu) / "port/disable").read_text() == "0\n"


@pytest.mark.parametrize(
    ("method", "file", "off", "on"), [("reauthorise", "authorized", "0", "1"), ("port_power", "port/disable", "1", "0")]
)
def test_a_file_of_the_port_is_switched_off_and_on(tpu: FakeEdgeTpu, method: str, file: str, off: str, on: str) -> None:
    path = port_of(tpu) / file
    between: list[str] = []
    getattr(UsbPort(None, str(port_of(tpu)), str(tpu.dev), sleep=lambda _: between.append(path.read_text())), method)()
    assert (between, path.read_text()) == ([off], on)


def test_power_comes_back_to_a_port_whose_device_has_gone_with_it(tpu: FakeEdgeTpu, tmp_path: Path) -> None:
    hub_port = tmp_path / "2-1-port3"
    (port_of(tpu) / "port").rename(hub_port)
    (port_of(tpu) / "port").symlink_to(hub_port)
    UsbPort(None, str(port_of(tpu)), str(tpu.dev), sleep=lambda _: tpu.unplug("2-1.3")).port_power()
    assert (hub_port / "disable").read_text() == "0"


def test_the_rungs_are_taken_in_a_child_process(tpu: FakeEdgeTpu) -> None:
    reset, reauthorise = usb_steps(port_of(tpu), tpu.dev, None, power=False)
    with pytest.raises(WorkerFailed, match="ioctl"):
        reset.act()
    reauthorise.act()
    assert (port_of(tpu) / "authorized").read_text() == "1"
    assert [step.name for step in usb_steps(port_of(tpu), tpu.dev, None, power=True)][-1] == "port_power"


def variables(sysfs: Path, **changes: str) -> dict[str, str]:
    usual = {"EDGE_FER_SYSFS": str(sysfs), "EDGE_FER_OFF_S": "0", "EDGE_FER_PORT_POWER": "1", "PATH": "/usr/bin:/bin"}
    return {**usual, **changes}


@contextmanager
def helper(tmp_path: Path, sysfs: Path, **changes: str) -> Iterator[str]:
    """The helper behind its socket, as systemd starts it: one process a connection."""
    address = str(tmp_path / "usb.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                subprocess.run(
                    ["sh", HELPER], stdin=connection, stdout=connection, env=variables(sysfs, **changes), check=False
                )

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield address
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_the_user_may_not_do_the_helper_does(
    tpu: FakeEdgeTpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(number, os.strerror(number), str(path))

    path = port_of(tpu)
    (path / "authorized").write_text("0\n")
    (path / "port/disable").write_text("1\n")
    with helper(tmp_path, tpu.sysfs) as address:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", refuse)
            with pytest.raises(OSError, match=os.strerror(number)):
                UsbPort(None, str(path), str(tpu.dev)).reauthorise()
            port = UsbPort(None, str(path), str(tpu.dev), address)
            port.reauthorise()
            port.port_power()
        assert [(path / name).read_text() for name in ("authorized", "port/disable")] == ["1\n", "0\n"]


def test_the_helper_cuts_the_power_even_where_the_user_may(tpu: FakeEdgeTpu, tmp_path: Path) -> None:
    """This process may be killed meanwhile, and the port would stay off."""
    with (
        helper(tmp_path, tpu.sysfs, EDGE_FER_PORT_POWER="0") as address,
        pytest.raises(OSError, match="port_power is not allowed"),
    ):
        UsbPort(None, str(port_of(tpu)), str(tpu.dev), address, sleep=lambda _: None).port_power()
    assert (port_of(tpu) / "port/disable").read_text() == "0\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_helper_that_is_ended_gives_the_port_back(tpu: FakeEdgeTpu, number: int) -> None:
    file = port_of(tpu) / "port/disable"
    with subprocess.Popen(
        ["env", "--default-signal", "sh", HELPER],  # under nohup the shell could not trap SIGHUP
        stdin=subprocess.PIPE, text=True, start_new_session=True,
        env=variables(tpu.sysfs, EDGE_FER_OFF_S="60"),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write("port_power 2-1.3\n")
        process.stdin.flush()
        end = time.monotonic() + 20
        while file.read_text() != "1\n" and time.monotonic() < end:
            threading.Event().wait(0.01)
        assert file.read_text() == "1\n"
        os.killpg(process.pid, number)  # as systemd does
        assert process.wait(20) == 1
    assert file.read_text() == "0\n"


@pytest.mark.parametrize("sent", [b"reauthorise 2-1.3", b"reauthorise 2-1.3" + b" " * 60 + b"\n", b"x" * 1_000_000])
def test_the_helper_reads_a_short_line_only(tpu: FakeEdgeTpu, tmp_path: Path, sent: bytes) -> None:
    with helper(tmp_path, tpu.sysfs) as address, socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(20)
        channel.connect(address)
        with suppress(BrokenPipeError):  # it does not read that much
            channel.sendall(sent)
        channel.shutdown(socket.SHUT_WR)
        assert channel.recv(1000).startswith(b"expected one line of 63 bytes at most")


def test_the_helper_waits_for_its_line_no_longer_than_it_should(tpu: FakeEdgeTpu, tmp_path: Path) -> None:
    with (
        helper(tmp_path, tpu.sysfs, EDGE_FER_READ_S="0.1") as address,
        socket.socket(socket.AF_UNIX) as channel,
    ):
        channel.settimeout(20)
        channel.connect(address)
        channel.sendall(b"reauthorise 2-1.3")
        assert channel.makefile().readline().startswith("expected one line of 63 bytes at most within 0.1 s")


@pytest.mark.parametrize(
    ("action", "port", "words"),
    [
        ("reauthorise", "9-9", "no Edge TPU at USB port 9-9"),
        ("reauthorise", "../../../etc", "expected a USB port"),
        ("reauthorise", "2-1.3 extra", "expected a USB port"),
        ("rm", "2-1.3", "expected reauthorise or port_power"),
        ("reauthorise", "2-9", "no Edge TPU at USB port 2-9"),
    ],
)
def test_the_helper_does_nothing_else(tpu: FakeEdgeTpu, tmp_path: Path, action: str, port: str, words: str) -> None:
    tpu.plug_in("2-9", 20)
    (port_of(tpu, "2-9") / "idProduct").write_text("0001\n")
    with helper(tmp_path, tpu.sysfs) as address, pytest.raises(OSError, match=words):
        ask_helper(address, action, port)
    assert (port_of(tpu) / "authorized").read_text() == "1\n"


def test_a_helper_that_hangs_up_is_an_error(tmp_path: Path) -> None:
    address = str(tmp_path / "usb.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()

        def hang_up() -> None:
            listener.accept()[0].close()

        closing = threading.Thread(target=hang_up)
        closing.start()
        with pytest.raises(OSError, match=r"hung up|reset|Broken pipe"):
            ask_helper(address, "reauthorise", "2-1")
        closing.join()


def test_tpus_are_listed_by_port_whatever_else_there_is(tmp_path: Path) -> None:
    tpu = FakeEdgeTpu(tmp_path, ["2-10", "2-9", "1-1.4"], ["apex_1", "apex_0"])
    tpu.plug_in("1-2", 30)
    (port_of(tpu, "1-2") / "idVendor").write_text("046d\n")  # a camera
    tpu.plug_in("1-3", 31)
    (port_of(tpu, "1-3") / "idVendor").write_text("1a6e\n")
    (port_of(tpu, "1-3") / "idProduct").write_text("089a\n")  # a stick before its first use
    (tpu.sysfs / "bus/usb/devices/1-0:1.0").mkdir()  # an interface has no ids
    assert [(found.name, found.path.name) for found in list_tpus(tpu.sysfs)] == [
        ("usb:0", "1-1.4"), ("usb:1", "1-3"), ("usb:2", "2-9"), ("usb:3", "2-10"),
        ("pci:0", "apex_0"), ("pci:1", "apex_1"),
    ]  # fmt: skip
    assert list_tpus(tmp_path / "nothing") == ()
