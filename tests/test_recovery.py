from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_fer.backends.devices import list_tpus
from edge_fer.backends.recovery import RESTARTS, USBDEVFS_RESET, Ladder, Rung, UsbPort, ask_helper, usb_rungs
from edge_fer.backoff import Backoff
from edge_fer.errors import WorkerFailed
from tests.fake_edgetpu import FakeEdgeTpu

HELPER = Path(__file__).resolve().parents[1] / "deploy/edge-fer-usb-helper"


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


def ladder_of(*rungs: Rung, clock: Clock | None = None, steady_s: float = 10.0) -> Ladder:
    clock = clock or Clock()
    return Ladder(rungs, Backoff(0.1, 5.0, clock), park_s=600.0, steady_s=steady_s, clock=clock)


def rung(name: str, done: list[str], problem: Exception | None = None) -> Rung:
    def act() -> None:
        done.append(name)
        if problem is not None:
            raise problem

    return Rung(name, act)


def test_the_ladder_is_climbed_rung_by_rung_and_counted() -> None:
    done: list[str] = []
    ladder = ladder_of(*(rung(name, done) for name in ("usb_reset", "reauthorise", "port_power")))
    steps = [ladder.failed() for _ in range(RESTARTS + 5)]
    assert done == ["usb_reset", "reauthorise", "port_power"]
    assert [step.pause_s for step in steps] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 600.0, 600.0]
    assert ladder.counts == {"restart": 3, "usb_reset": 1, "reauthorise": 1, "port_power": 1, "parked": 2}
    assert steps[3].text == "usb reset, next start in 0.8 s"


@pytest.mark.parametrize("problem", [PermissionError("not permitted"), WorkerFailed("not permitted")])
def test_a_rung_that_cannot_be_taken_is_told_and_passed_over(problem: Exception) -> None:
    done: list[str] = []
    ladder = ladder_of(rung("usb_reset", done, problem), rung("reauthorise", done))
    for _ in range(RESTARTS):
        ladder.failed()
    step = ladder.failed()
    assert done == ["usb_reset", "reauthorise"]
    assert ladder.counts["usb_reset"] == 0
    assert step.text == "usb_reset was not possible (not permitted); reauthorise, next start in 0.8 s"


def test_a_device_that_worked_for_long_begins_at_the_bottom_again() -> None:
    clock = Clock()
    ladder = ladder_of(rung("usb_reset", []), clock=clock)
    for _ in range(RESTARTS + 1):
        ladder.failed()
    ladder.succeeded()
    clock.now += 9.9
    assert "parked" in ladder.failed().text, "it worked, but not for long"
    ladder.succeeded()
    clock.now += 10
    assert ladder.failed().text == "restart, next start in 0.1 s"


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


@pytest.mark.parametrize("method", ["usb_reset", "reauthorise"])
def test_another_device_on_the_port_is_left_alone(tpu: FakeEdgeTpu, method: str) -> None:
    (port_of(tpu) / "idVendor").write_text("046d\n")
    with pytest.raises(OSError, match=r"expected an Edge TPU at USB port 2-1\.3, found 046d:9302"):
        getattr(UsbPort(None, str(port_of(tpu)), str(tpu.dev)), method)()
    assert (port_of(tpu) / "authorized").read_text() == "1\n"


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
    reset, reauthorise = usb_rungs(port_of(tpu), tpu.dev, None, power=False)
    with pytest.raises(WorkerFailed, match="ioctl"):
        reset.act()
    reauthorise.act()
    assert (port_of(tpu) / "authorized").read_text() == "1"
    assert [rung.name for rung in usb_rungs(port_of(tpu), tpu.dev, None, power=True)][-1] == "port_power"


@contextmanager
def helper(tmp_path: Path, sysfs: Path) -> Iterator[str]:
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
                environment = {"EDGE_FER_SYSFS": str(sysfs), "EDGE_FER_OFF_S": "0", "PATH": "/usr/bin:/bin"}
                subprocess.run(["sh", HELPER], stdin=connection, stdout=connection, env=environment, check=False)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield address
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_what_the_user_may_not_do_the_helper_does(
    tpu: FakeEdgeTpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    path = port_of(tpu)
    (path / "authorized").write_text("0\n")
    (path / "port/disable").write_text("1\n")
    with helper(tmp_path, tpu.sysfs) as address:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", refuse)
            with pytest.raises(PermissionError):
                UsbPort(None, str(path), str(tpu.dev)).reauthorise()
            port = UsbPort(None, str(path), str(tpu.dev), address)
            port.reauthorise()
            port.port_power()
        assert [(path / name).read_text() for name in ("authorized", "port/disable")] == ["1\n", "0\n"]


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
