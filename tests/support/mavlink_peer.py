"""The other end of a MAVLink link, for tests: pymavlink's own connection, and a cable between two pseudo-terminals."""

from __future__ import annotations

import os
import random
import select
import socket
import threading
import time
import tty
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["MAVLINK20"] = "1"  # read by pymavlink when it is imported

from pymavlink import mavutil
from pymavlink.dialects.v20 import common

from edge_fer.schema import Reading
from edge_fer.types import Box
from tests.support.records import make_face_reading, make_reading

SYSTEM = 42
DEADLINE_S = 8.0


def free_port() -> int:
    """A UDP port of the loopback interface that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """Pymavlink's connection, as the autopilot of our vehicle.

    Attributes:
        mav: sends messages.
        connection: pymavlink's connection.
    """

    def __init__(self, url: str, baud: int = 57600) -> None:
        self.connection = mavutil.mavlink_connection(
            url, baud, source_system=SYSTEM, source_component=1, dialect="common"
        )
        self.mav = self.connection.mav
        self._received: dict[str, deque[Any]] = defaultdict(deque)

    def receive(self, *kinds: str) -> Any:
        """The next message of one of these kinds; fails when none comes in time. Others are kept for later."""
        end = time.monotonic() + DEADLINE_S
        while True:
            for kind in kinds:
                if self._received[kind]:
                    return self._received[kind].popleft()
            left = end - time.monotonic()
            assert left > 0, f"expected {kinds} within {DEADLINE_S:g} s"
            message = self.connection.recv_match(blocking=True, timeout=left)
            if message is not None:
                self._received[message.get_type()].append(message)

    def heartbeat(self) -> None:
        """Send an autopilot's heartbeat."""
        kind, autopilot = common.MAV_TYPE_QUADROTOR, common.MAV_AUTOPILOT_ARDUPILOTMEGA
        self.mav.heartbeat_send(kind, autopilot, 0, 0, common.MAV_STATE_ACTIVE)


@contextmanager
def peer(url: str) -> Iterator[Peer]:
    """Open a peer at one of pymavlink's urls, or at a device."""
    other = Peer(url)
    try:
        yield other
    finally:
        other.connection.close()


class Cable:
    """Two connected pseudo-terminals; while the cable is unplugged, neither exists.

    Args:
        folder: the folder for their paths.

    Attributes:
        ours: path of the sink's end, the same each time it is plugged in.
        theirs: path of the peer's end, the same each time.
    """

    def __init__(self, folder: Path) -> None:
        self.ours, self.theirs = folder / "ttyOurs", folder / "ttyTheirs"
        self._ends: list[int] = []
        self._thread: threading.Thread | None = None
        self._unplugging = threading.Event()

    def plug(self) -> None:
        """Make both ends appear."""
        self._unplugging.clear()
        for path in (self.ours, self.theirs):
            master, slave = os.openpty()
            tty.setraw(slave)
            path.symlink_to(os.ttyname(slave))
            # Without a slave that is open, the master's end reads an error until somebody opens the device.
            self._ends += [master, slave]
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Make both ends disappear."""
        self._unplugging.set()
        if self._thread is not None:
            self._thread.join()
        for end in self._ends:
            os.close(end)
        self._ends.clear()
        for path in (self.ours, self.theirs):
            path.unlink(missing_ok=True)

    def _carry(self) -> None:
        ours, _, theirs, _ = self._ends
        while not self._unplugging.is_set():
            for end in select.select([ours, theirs], [], [], 0.02)[0]:
                os.write(theirs if end == ours else ours, os.read(end, 4096))


def crowd(frame: int, faces: int = 4, captured_ns: int | None = None, label: str | None = "happiness") -> Reading:
    """A reading of several faces, each at another place."""
    found = []
    for number in range(faces):
        face = make_face_reading(label, None if label else "unsure")
        fields = {name: getattr(face, name) for name in face.__dataclass_fields__}
        found.append(type(face)(**{**fields, "id": 100 + number, "box": Box(60.0 * number, 50.0, 40.0 + number, 48.0)}))
    moment = time.monotonic_ns() if captured_ns is None else captured_ns
    return make_reading(frame, tuple(found), moment)


class Jitter:
    """Another clock, and a link to it with varying delays.

    Args:
        offset_ns: that clock less ours, nanoseconds.
        least_ns: shortest delay of each way, nanoseconds.
        more_ns: mean of what each delay has more than that, nanoseconds.
        seed: seed of the delays.
    """

    def __init__(self, offset_ns: int, least_ns: int, more_ns: int, seed: int = 1) -> None:
        self.offset_ns, self._least_ns, self._more_ns = offset_ns, least_ns, more_ns
        self._random = random.Random(seed)

    def exchange(self, now_ns: int) -> tuple[int, int]:
        """Their time in the reply, and our time when it arrives."""
        there = now_ns + self._way()
        return there + self.offset_ns, there + self._way()

    def _way(self) -> int:
        return self._least_ns + round(self._random.expovariate(1 / self._more_ns))
