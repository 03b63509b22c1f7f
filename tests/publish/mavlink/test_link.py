from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish.mavlink.link import LinkDown
from edge_fer.publish.mavlink.open_link import open_link
from edge_fer.publish.mavlink.serial_line import SerialLink
from edge_fer.publish.mavlink.sink import Opener, try_link
from edge_fer.publish.mavlink.udp import PEER_S, UdpIn, UdpOut
from edge_fer.settings import MavlinkSettings, load_settings
from edge_fer.settings.addresses import Url, parse_url
from tests.support.mavlink_peer import Cable, common, free_port, peer

HOST = "127.0.0.1"
NOBODY = 65534


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("udpout:127.0.0.1:14550", Url("udpout", "127.0.0.1", 14550)),
        ("udpin:0.0.0.0:1", Url("udpin", "0.0.0.0", 1)),
        ("udpout:gcs.local:65535", Url("udpout", "gcs.local", 65535)),
        ("udpout:[::1]:14550", Url("udpout", "[::1]", 14550)),
        ("serial:/dev/ttyAMA0:57600", Url("serial", "/dev/ttyAMA0", 57600)),
        ("serial:/dev/serial/by-path/pci-0:2:1:921600", Url("serial", "/dev/serial/by-path/pci-0:2:1", 921600)),
    ],
)
def test_a_url_is_taken_apart(text: str, url: Url) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "", "udp:1.2.3.4:5", "tcp:1.2.3.4:5", "udpout:127.0.0.1", "udpout:127.0.0.1:", "udpout::14550", "udpin:a:0",
        "udpin:a:65536", "udpin:a:b", "serial:/dev/ttyAMA0", "serial::57600", "serial:/dev/x:0", "/dev/ttyAMA0:57600",
    ],
)  # fmt: skip
def test_a_malformed_url_is_told_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="expected udpout:HOST:PORT") as caught:
        open_link(text)
    assert "\n" not in str(caught.value)
    if text:
        with pytest.raises(ConfigError, match=r"setting `publish.mavlink.url`: .*expected udpout:HOST:PORT"):
            load_settings(flags={"publish.mavlink.url": text})


def complaint(url: str, opener: Opener = open_link) -> str:
    """The error of `check`, in one line."""
    with pytest.raises((OutputError, ConfigError)) as caught:
        try_link(MavlinkSettings(url=url), opener)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_check_sends_one_heartbeat() -> None:
    port = free_port()
    with peer(f"udpin:{HOST}:{port}") as ground:
        try_link(MavlinkSettings(url=f"udpout:{HOST}:{port}", system_id=9))
        heartbeat = ground.receive("HEARTBEAT")
    assert (heartbeat.get_srcSystem(), heartbeat.get_srcComponent(), heartbeat.autopilot) == (9, 191, 8)
    try_link(MavlinkSettings(url=f"udpin:{HOST}:{port}"))


def test_check_needs_a_link() -> None:
    with pytest.raises(ConfigError, match="expected a link to check, found none"):
        try_link(MavlinkSettings())


def test_check_names_a_port_that_is_taken() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, 0))
        port = other.getsockname()[1]
        assert f"listen at {HOST}:{port} for MAVLink, found: Address already in use" in complaint(
            f"udpin:{HOST}:{port}"
        )


def test_check_names_an_address_of_another_box() -> None:
    assert "this box has no such address" in complaint("udpin:192.0.2.1:14550")


def test_check_names_an_unknown_host() -> None:
    assert "expected a host for MAVLink, found 'nobody.invalid'" in complaint("udpout:nobody.invalid:14550")


def test_check_does_not_wait_for_a_name_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait() and [])
    found = complaint("udpout:far.away:14550", lambda url: UdpOut(parse_url(url), resolve_s=0.05))
    assert "found 'far.away': no answer within 0.05 s" in found
    answer.set()


def test_check_names_a_network_that_cannot_be_sent_to() -> None:
    """A broadcast that nobody has allowed is refused by the kernel at once."""
    assert "expected to send MAVLink to 255.255.255.255:14550, found: " in complaint("udpout:255.255.255.255:14550")


def test_check_names_a_missing_device(tmp_path: Path) -> None:
    assert "found no such device; plug it in" in complaint(f"serial:{tmp_path}/ttyUSB0:57600")


def test_check_names_a_device_in_use(tmp_path: Path) -> None:
    cable = Cable(tmp_path)
    cable.plug()
    with SerialLink(Url("serial", str(cable.ours), 57600)):
        assert "found another program at it; end that program" in complaint(f"serial:{cable.ours}:57600")
    try_link(MavlinkSettings(url=f"serial:{cable.ours}:57600"))
    cable.unplug()


def test_check_names_what_is_no_serial_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert "found something else; name the serial device" in complaint(f"serial:{path}:57600")


def test_check_names_a_lack_of_permission(tmp_path: Path) -> None:
    """Root may open everything, so somebody else tries."""
    cable = Cable(tmp_path)
    cable.plug()
    device = os.path.realpath(cable.ours)
    Path(device).chmod(0)
    with as_nobody() as name:
        said = complaint(f"serial:{device}:57600")
    cable.unplug()
    assert said.endswith(f"found no permission; let the user into its group, as by: usermod -aG dialout {name}")


@contextmanager
def as_nobody() -> Iterator[str]:
    """Root becomes nobody for a while, in this process: another one could not enter a private checkout."""
    user = os.geteuid()
    os.seteuid(NOBODY if user == 0 else user)
    try:
        yield pwd.getpwuid(os.geteuid()).pw_name
    finally:
        os.seteuid(user)


def test_without_the_libraries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    assert complaint(f"serial:{tmp_path}:57600").endswith("pip install '.[mavlink]' in its checkout")
    monkeypatch.setitem(sys.modules, "pymavlink.dialects.v20", None)
    assert complaint("udpout:127.0.0.1:14550").endswith("pip install '.[mavlink]' in its checkout")


def test_nothing_is_imported_before_it_is_needed() -> None:
    modules = "sys, edge_fer.publish.mavlink, edge_fer.publish.mavlink.tunnel"
    text = f"import {modules}; print({{'pymavlink', 'serial'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "set()\n"


def wait_for(link: UdpIn | UdpOut) -> bytes:
    """What has come, once something has."""
    end = time.monotonic() + 5
    while not (content := link.read()) and time.monotonic() < end:
        time.sleep(0.002)
    return content


def test_udpin_speaks_to_whom_it_hears_first_until_they_fall_silent() -> None:
    port, now = free_port(), [0.0]
    with (
        UdpIn(Url("udpin", HOST, port), lambda: now[0]) as link,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second,
    ):
        for sender in (first, second):
            sender.settimeout(5)
        assert link.read() == b""
        link.write(b"to nobody")
        assert link.reason is not None
        assert "nobody speaks MAVLink" in link.reason
        first.sendto(b"one", (HOST, port))
        assert wait_for(link) == b"one"
        assert link.reason is None
        second.sendto(b"two", (HOST, port))
        first.sendto(b"three", (HOST, port))
        assert link.read() == b"", "the line is taken"
        assert wait_for(link) == b"three"
        link.write(b"to the first")
        assert first.recv(99) == b"to the first"
        now[0] += PEER_S + 1
        assert link.reason is not None
        second.sendto(b"four", (HOST, port))
        assert wait_for(link) == b"four"
        link.write(b"to the second")
        assert second.recv(99) == b"to the second"


def test_udpout_listens_to_nobody_else() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        there.bind((HOST, 0))
        there.settimeout(5)
        with UdpOut(Url("udpout", HOST, there.getsockname()[1])) as link:
            assert link.read() == b""
            link.write(b"hello")
            _, ours = there.recvfrom(99)
            other.sendto(b"no", ours)
            there.sendto(b"yes", ours)
            assert link.read() == b""
            assert wait_for(link) == b"yes"


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
def test_udp_goes_over_the_newer_protocol_too() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as there:
        there.bind(("::1", 0))
        there.settimeout(5)
        try_link(MavlinkSettings(url=f"udpout:[::1]:{there.getsockname()[1]}"))
        (message,) = common.MAVLink(None).parse_buffer(there.recv(999))
        assert message.get_type() == "HEARTBEAT"


def test_a_serial_line_that_takes_nothing_is_down() -> None:
    master, slave = os.openpty()
    link = SerialLink(Url("serial", os.ttyname(slave), 57600), write_s=0.05)
    with pytest.raises(LinkDown, match=r"/dev/pts/.*Write timeout"):
        link.write(bytes(100_000))
    link.close()
    os.close(master)
    os.close(slave)
