"""A broker that goes away under load: `python -m tests.mqtt_outage`. Not part of the test suite (minutes).

Publishes numbered readings at a steady rate through the MQTT sink to a real mosquitto, ends the broker by a signal,
leaves it away for a while, starts it again, and compares what a `mosquitto_sub` read with what was published. Prints
what came twice, never, or out of order. Exit code 0 when every promise of docs/mqtt.md for that signal was kept:

- SIGTERM, which has mosquitto save its sessions: QoS 2 exactly once and in order; QoS 1 at least once.
- SIGKILL of a broker that keeps nothing on disk: at least once at either, at most `in_flight` of them twice, and
  what came first in order. The sink's link is let through once the reader is back: what a broker loses of what it has
  acknowledged, no client can mend.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edge_fer.publish.mqtt.sink import Mqtt
from edge_fer.settings import MqttSettings
from tests.brokers import Broker, Reader, Wire, closing_all, wait_until
from tests.conftest import make_face_reading, make_reading

IN_FLIGHT = 20


def main() -> int:
    """Run every combination, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outage", type=float, default=30.0, help="seconds without a broker")
    parser.add_argument("--around", type=float, default=5.0, help="seconds of load before, and again after")
    parser.add_argument("--rate", type=float, default=30.0, help="readings a second")
    parser.add_argument("--qos", type=int, nargs="+", default=[2, 1], choices=(1, 2))
    parser.add_argument("--signal", nargs="+", default=["TERM", "KILL"], choices=("TERM", "KILL"))
    options = parser.parse_args()
    well = True
    for name in options.signal:
        for qos in options.qos:
            with tempfile.TemporaryDirectory() as folder:
                outage = Outage(Path(folder), qos, name)
                well &= outage.run(options.rate, options.around, options.outage)
    print("all is well" if well else "NOT as it should be")
    return 0 if well else 1


class Outage:
    """One broker, one reader, one sink.

    Args:
        folder: for the broker's and the reader's files.
        qos: of the sink.
        signal_name: what ends the broker, TERM or KILL.
    """

    def __init__(self, folder: Path, qos: int, signal_name: str) -> None:
        self._qos, self._is_kill = qos, signal_name == "KILL"
        self._broker = Broker(folder, persistent=not self._is_kill)
        # A broker that was killed may have sent a message that it cannot finish any more at QoS 2.
        self._reader = Reader(self._broker.port, "edge-fer/+/reading", folder, session="reader",
                              options=("-q", "1") if self._is_kill else ())  # fmt: skip
        self._wire = Wire(self._broker.port)
        wait_until(lambda: "Sending SUBACK to reader" in self._broker.log)
        settings = MqttSettings(host="127.0.0.1", port=self._wire.port, qos=qos, in_flight=IN_FLIGHT, retry_max_s=1)
        self._sink = Mqtt(settings, "drone-7")
        self._published = 0

    def run(self, rate: float, around_s: float, outage_s: float) -> bool:
        """Publish through an outage; whether what came is what was promised."""
        with closing_all(self._reader, self._wire, self._broker):
            try:
                self._load(rate, around_s)
                self._broker.kill(signal.SIGKILL if self._is_kill else signal.SIGTERM)
                if self._is_kill:
                    self._wire.cut()
                before = self._sink.condition
                self._load(rate, outage_s)
                most = self._sink.condition
                subscribed = self._broker.log.count("Sending SUBACK to reader")
                self._broker.start()
                wait_until(lambda: self._broker.log.count("Sending SUBACK to reader") > subscribed)
                self._wire.mend()
                restarted = time.monotonic()
                self._load(rate, around_s)
                wait_until(lambda: self._sink.condition.waiting == 0, 30)
                caught_up_s = time.monotonic() - restarted
                wait_until(lambda: len(set(self._frames())) == self._published, 10)
            except AssertionError as error:
                print(error)
            finally:
                self._sink.close()
            print(
                f"QoS {self._qos}, SIG{'KILL' if self._is_kill else 'TERM'}, {outage_s:g} s at {rate:g} Hz: published "
                f"{self._published}; when it ended {before.waiting} were under way; at most {most.waiting} buffered; "
                f"{self._sink.condition.dropped} dropped; caught up within {caught_up_s:.1f} s"
            )
            return self._judge(self._frames())

    def _load(self, rate: float, seconds: float) -> None:
        """Publish at a steady rate."""
        begun = time.monotonic()
        for number in range(int(rate * seconds)):
            self._sink.publish(make_reading(self._published, faces=(make_face_reading(),)), None)
            self._published += 1
            time.sleep(max(0.0, begun + (number + 1) / rate - time.monotonic()))

    def _frames(self) -> list[int]:
        return [json.loads(payload)["frame"] for _, _, payload in self._reader.lines]

    def _judge(self, frames: Sequence[int]) -> bool:
        counts = Counter(frames)
        twice = sum(count - 1 for count in counts.values())
        missing = sorted(set(range(self._published)) - set(counts))
        first = list(dict.fromkeys(frames))
        print(f"    read {len(frames)}; {twice} twice, {len(missing)} missing {missing[:10]}, "
              f"{'in order' if first == sorted(first) else 'OUT OF ORDER'}")  # fmt: skip
        allowed_twice = IN_FLIGHT if self._is_kill or self._qos == 1 else 0
        return not missing and twice <= allowed_twice and first == sorted(first)


if __name__ == "__main__":
    sys.exit(main())
