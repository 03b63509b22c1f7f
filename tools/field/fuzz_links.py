"""Hostile brokers and vehicles before the real sinks: `python -m tools.field.fuzz_links`. Not part of the test suite.

`mqtt`: a process plays brokers that send packets with random content, floods, packets of any length, broken ones, none
at all, and at times behave. `mavlink`: a process sends datagrams to the sink's port: noise, messages of the vehicle
with right checksums and random content, and floods. Between two attacks the other side is an honest one for a
moment, which shows that the sink is still there. Everything is on loopback.

Prints records or messages that came through, errors that nobody foresaw, memory and bytes of log. Exit code 0 when the
sink was well after each attack, no such error came, memory grew by no more than 24 MiB, and the log by no more than 10
kB a minute; else 1.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing

from pymavlink.dialects.v20 import common

from edge_fer.publish import Sink
from edge_fer.publish.mavlink.sink import Mavlink
from edge_fer.publish.mqtt.sink import Mqtt
from edge_fer.settings import MavlinkSettings, MqttSettings
from tests.support.brokers import free_port
from tests.support.records import make_face_reading, make_reading, make_status
from tests.support.resource_use import resource_use

ROUND_S = 3.0
HONEST_S = 3.0
MEMORY_MIB = 24.0
LOG_BYTES_A_MINUTE = 10_000
SYSTEM = 42

_CONNACK = b"\x20\x03\0\0\0"
_TYPES = (0x20, 0x30, 0x31, 0x32, 0x34, 0x3A, 0x40, 0x50, 0x62, 0x70, 0x90, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0)


class Log(logging.Handler):
    """Counts bytes of log, and errors that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.tracebacks = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one record."""
        self.bytes += len(self.format(record))
        self.tracebacks += record.exc_info is not None


def packet(first: int, body: bytes) -> bytes:
    """An MQTT packet."""
    header, rest = bytearray([first]), len(body)
    while True:
        header.append(rest & 0x7F | (0x80 if rest > 0x7F else 0))
        rest >>= 7
        if not rest:
            return bytes(header) + body


class HostileBroker:
    """Serves one connection after the other.

    Args:
        port: where it listens.
        dice: chooses what it does.
    """

    def __init__(self, port: int, dice: random.Random) -> None:
        self._dice = dice
        self._server = socket.create_server(("127.0.0.1", port))
        self._server.settimeout(0.2)
        self.done: Counter[str] = Counter()
        self._ways: dict[str, Callable[[socket.socket, float], None]] = {
            "random": self._random,
            "acknowledge wrongly": self._acknowledge,
            "flood": self._flood,
            "huge": self._huge,
            "silent": self._read,
            "noise": lambda client, until: client.sendall(self._dice.randbytes(5000)),
        }

    def attack(self, until: float) -> None:
        """Do one thing to all who connect."""
        name = self._dice.choice([*self._ways])
        while time.monotonic() < until:
            client = self._accept()
            if client is not None:
                with client, contextlib.suppress(OSError):  # it hangs up on whom it does not understand
                    client.settimeout(0.5)
                    client.recv(65_536)
                    if name not in {"silent", "noise"}:
                        client.sendall(_CONNACK)
                    self.done[name] += 1
                    self._ways[name](client, until)

    def behave(self, until: float) -> None:
        """Acknowledge everything, as a broker should."""
        while time.monotonic() < until:
            client = self._accept()
            if client is not None:
                with client, contextlib.suppress(OSError):  # it hangs up, and connects again
                    client.recv(65_536)
                    client.sendall(_CONNACK)
                    client.settimeout(0.2)
                    self._acknowledge_all(client, until)

    def _accept(self) -> socket.socket | None:
        try:
            return self._server.accept()[0]
        except TimeoutError:
            return None

    def _read(self, client: socket.socket, until: float) -> None:
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                if not client.recv(65_536):
                    return

    def _random(self, client: socket.socket, until: float) -> None:
        while time.monotonic() < until:
            body = self._dice.randbytes(self._dice.choice((0, 1, 2, 3, 4, 5, 8, 20, 300)))
            client.sendall(packet(self._dice.choice(_TYPES), body))
            time.sleep(0.001)

    def _acknowledge(self, client: socket.socket, until: float) -> None:
        while time.monotonic() < until:
            mid, code = self._dice.randrange(1, 40), self._dice.choice((0, 0x10, 0x80, 0x87, 0x97, 0x99))
            client.sendall(packet(self._dice.choice((0x40, 0x50, 0x70)), struct.pack(">HB", mid, code)))

    def _flood(self, client: socket.socket, until: float) -> None:
        kind = self._dice.choice((0x30, 0x32, 0xD0, 0x40))
        body = {0x30: b"\0\1a\0" + bytes(50), 0x32: b"\0\1a\0\1\0" + bytes(50), 0xD0: b"", 0x40: b"\0\1"}[kind]
        client.settimeout(5)
        while time.monotonic() < until:
            client.sendall(packet(kind, body) * 500)

    def _huge(self, client: socket.socket, until: float) -> None:
        client.sendall(packet(0x30, b"")[:1] + b"\xff\xff\xff\x7f")
        while time.monotonic() < until:
            client.sendall(bytes(1 << 20))

    def _acknowledge_all(self, client: socket.socket, until: float) -> None:
        received = b""
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                data = client.recv(65_536)
                if not data:
                    return
                received += data
            while (cut := _split(received)) is not None:
                first, body, received = cut
                if first >> 4 == 3 and first >> 1 & 3 == 1:
                    topic_length = int.from_bytes(body[:2], "big")
                    client.sendall(packet(0x40, body[2 + topic_length : 4 + topic_length]))
                elif first >> 4 == 12:
                    client.sendall(b"\xd0\0")


def _split(data: bytes) -> tuple[int, bytes, bytes] | None:
    """The first packet's first byte and content, and what follows; None while it is not complete."""
    length = shift = 0
    for place, byte in enumerate(data[1:5], 2):
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return (
                (data[0], data[place : place + length], data[place + length :]) if len(data) >= place + length else None
            )
    return None


class HostileVehicle:
    """Sends datagrams.

    Args:
        port: where to.
        dice: chooses what it does.
    """

    def __init__(self, port: int, dice: random.Random) -> None:
        self._dice, self._address = dice, ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.done: Counter[str] = Counter()
        self._makers = [kind for name, kind in vars(common).items() if hasattr(kind, "crc_extra") and kind.crc_extra]

    def attack(self, until: float) -> None:
        """Send one kind of datagram, as fast as it goes or with pauses."""
        name = self._dice.choice(("noise", "random content", "claims", "broken"))
        pause_s = self._dice.choice((0, 0.0005, 0.01))
        while time.monotonic() < until:
            with contextlib.suppress(OSError):  # the queue is full just now
                self._socket.sendto(self._datagram(name), self._address)
                self.done[name] += 1
            if pause_s:
                time.sleep(pause_s)

    def behave(self, until: float) -> None:
        """Send heartbeats, as a vehicle should."""
        while time.monotonic() < until:
            heartbeat = common.MAVLink_heartbeat_message(2, 3, 0, 0, 4, 3).pack(common.MAVLink(None, SYSTEM, 1))
            with contextlib.suppress(OSError):  # the queue is full just now; the next one follows
                self._socket.sendto(heartbeat, self._address)
            time.sleep(0.2)

    def _datagram(self, name: str) -> bytes:
        if name == "noise":
            return self._dice.randbytes(self._dice.randrange(1, 600))
        made = self._dice.choice(
            (common.MAVLink_heartbeat_message, common.MAVLink_timesync_message, common.MAVLink_attitude_message)
            if name == "claims"
            else self._makers
        )
        sender = common.MAVLink(None, SYSTEM, self._dice.randrange(1, 256))
        content = self._dice.randbytes(made.unpacker.size)
        whole = bytearray(common.MAVLink_message(made.id, made.msgname)._pack(sender, made.crc_extra, content))
        if name == "broken":
            whole[self._dice.randrange(len(whole))] ^= 1 << self._dice.randrange(8)
            del whole[self._dice.randrange(1, len(whole)) :]
        return bytes(whole)


def attack(link: str, port: int, seconds: float, seed: int) -> int:
    """Be the other side, in a process of its own: attacks and honest moments, in turns."""
    dice = random.Random(seed)
    other = HostileBroker(port, dice) if link == "mqtt" else HostileVehicle(port, dice)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        other.attack(time.monotonic() + ROUND_S)
        print("honest", flush=True)
        other.behave(time.monotonic() + HONEST_S)
    print(dict(other.done), flush=True)
    return 0


def open_sink(link: str, port: int) -> Sink:
    """The sink under attack."""
    if link == "mqtt":
        return Mqtt(MqttSettings(host="127.0.0.1", port=port, retry_s=0.05, retry_max_s=0.1), "drone-7")
    return Mavlink(MavlinkSettings(url=f"udpin:127.0.0.1:{port}", system_id=SYSTEM))


def survive(link: str, seconds: float, seed: int) -> bool:
    """Publish through all of it, and judge."""
    log, port, frame = Log(), free_port(), 0
    logging.getLogger("edge_fer").addHandler(log)
    command = [sys.executable, "-m", "tools.field.fuzz_links", link, "--attack", str(port)]
    arguments = ["--seconds", str(seconds), "--seed", str(seed)]
    with (
        subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as other,
        closing(open_sink(link, port)) as sink,
    ):
        time.sleep(1)
        before = peak = resource_use().rss_mib
        began, sent, well, rounds = time.monotonic(), 0, 0, 0
        while other.poll() is None:
            sink.publish(make_reading(frame, faces=(make_face_reading(),)), None)
            if frame % 60 == 0:
                sink.publish(make_status(), None)
                peak = max(peak, resource_use().rss_mib)
                condition = sink.condition
                assert condition is not None
                rounds, well, sent = rounds + 1, well + (condition.sent > sent), condition.sent
            frame += 1
            time.sleep(1 / 60)
        condition, took_s = sink.condition, time.monotonic() - began
        assert other.stdout is not None
        assert condition is not None
        *_, done = other.stdout.read().splitlines()
    print(f"{link}: {took_s:.0f} s, attacks {done}")
    counts = f"{condition.sent} records sent, {condition.dropped} dropped"
    print(f"{link}: {frame} readings, {counts}, {condition.state} in the end")
    print(f"{link}: sent more in {well} of {rounds} seconds; {log.tracebacks} errors that nobody foresaw")
    print(f"{link}: memory {before:.0f} MiB, {peak:.0f} at most; {log.bytes} bytes of log")
    bounded = peak - before <= MEMORY_MIB and log.bytes <= LOG_BYTES_A_MINUTE * max(took_s / 60, 1)
    return bounded and not log.tracebacks and well >= rounds / 4


def main() -> int:
    """Attack each link, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("links", nargs="*", default=["mqtt", "mavlink"], help="mqtt, mavlink")
    parser.add_argument("--seconds", type=float, default=60, help="how long each is attacked")
    parser.add_argument("--seed", type=int, default=1, help="seed of the attacks")
    parser.add_argument("--attack", type=int, metavar="PORT", help="be the other side, at this port")
    options = parser.parse_args()
    if options.attack is not None:
        return attack(options.links[0], options.attack, options.seconds, options.seed)
    results = {link: survive(link, options.seconds, options.seed) for link in options.links}
    is_well = all(results.values())
    print("all is well" if is_well else "NOT as it should be")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
