"""Four faces at 30 readings a second over a real link, in real time: `python -m tools.field.radio`.

A pymavlink peer plays the flight controller, whose clock is elsewhere, and counts what comes. Exit code 0 when no
second carried more bytes than the budget, no message was missing, every face was told as often as every other, and the
clocks had found each other; else 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from contextlib import closing
from pathlib import Path

from edge_fer.publish.mavlink.sink import Mavlink
from edge_fer.publish.mavlink.tunnel import decode
from edge_fer.settings import MavlinkSettings
from tests.support.mavlink_peer import SYSTEM, Cable, crowd, free_port, peer

FPS = 30.0
AHEAD_NS = 5000 * 10**9


class Count:
    """What has come: bytes by second, messages by kind, faces by track, errors of the capture times, milliseconds."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.faces: Counter[int] = Counter()
        self.errors_ms: list[float] = []
        self.most = 0
        self._last: deque[tuple[float, int]] = deque()

    def take(self, kind: str, size: int) -> None:
        """Note a message."""
        now = time.monotonic()
        self.kinds[kind] += 1
        self.bytes[kind] += size
        self._last.append((now, size))
        while self._last[0][0] <= now - 1:
            self._last.popleft()
        self.most = max(self.most, sum(size for _, size in self._last))


def listen(url: str, count: Count, captured: dict[int, int], ended: threading.Event, ready: threading.Event) -> int:
    """Play the flight controller; how many messages were missing."""
    with peer(url) as ground:
        ready.set()
        while not ended.is_set():
            message = ground.connection.recv_match(blocking=True, timeout=0.2)
            if message is None:
                continue
            kind = message.get_type()
            count.take(kind, len(message.get_msgbuf()))
            if kind == "HEARTBEAT":
                ground.heartbeat()
            elif kind == "TIMESYNC" and message.tc1 == 0:
                ground.mav.timesync_send(time.monotonic_ns() + AHEAD_NS, message.ts1)
            elif kind == "TUNNEL":
                face = decode(message.payload)
                count.faces[face.id] += 1
                if face.fc_captured_us is not None:
                    count.errors_ms.append((face.fc_captured_us * 1000 - AHEAD_NS - captured[face.frame]) / 1e6)
        return int(ground.connection.mav_loss)


def run(ours: str, theirs: str, seconds: float, budget: int) -> tuple[Count, int, float]:
    """Publish for so long; what was counted, what was missing, and the processor time of it all, seconds."""
    count, ended, ready = Count(), threading.Event(), threading.Event()
    captured: dict[int, int] = {}
    missing: list[int] = []
    listener = threading.Thread(target=lambda: missing.append(listen(theirs, count, captured, ended, ready)))
    listener.start()
    ready.wait()
    begun = time.process_time()
    with closing(Mavlink(MavlinkSettings(url=ours, system_id=SYSTEM, bytes_per_s=budget))) as sink:
        start = time.monotonic()
        for frame in range(int(seconds * FPS)):
            captured[frame] = time.monotonic_ns()
            sink.publish(crowd(frame, captured_ns=captured[frame]), None)
            time.sleep(max(0.0, start + (frame + 1) / FPS - time.monotonic()))
    busy = time.process_time() - begun
    ended.set()
    listener.join()
    return count, missing[0], busy


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--budget", type=int, default=1000, help="bytes a second")
    parser.add_argument("--link", choices=["udp", "serial"], default="udp")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cable, port = Cable(Path(folder)), free_port()
        cable.plug()
        ours, theirs = (
            (f"udpout:127.0.0.1:{port}", f"udpin:127.0.0.1:{port}")
            if arguments.link == "udp"
            else (f"serial:{cable.ours}:57600", str(cable.theirs))
        )
        count, missing, busy = run(ours, theirs, arguments.seconds, arguments.budget)
        cable.unplug()
    total = count.bytes.total()
    print(
        f"{total / arguments.seconds:.0f} bytes a second on average, {count.most} in the fullest one; {missing} missing"
    )
    print("messages:", ", ".join(f"{kind} {number} ({count.bytes[kind]} B)" for kind, number in count.kinds.items()))
    print("faces:", dict(sorted(count.faces.items())))
    worst = max(map(abs, count.errors_ms), default=float("inf"))
    print(f"capture times on the other clock: {len(count.errors_ms)}, at most {worst:.3f} ms off")
    print(f"processor time of sink and peer together: {busy / arguments.seconds:.1%} of one core")
    fair = len(count.faces) == 4 and max(count.faces.values()) - min(count.faces.values()) <= 1
    kept = count.most <= arguments.budget and missing == 0 and fair and worst < 5
    print("kept" if kept else "BROKEN")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
