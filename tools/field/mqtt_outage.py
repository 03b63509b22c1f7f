"""A broker that goes away under load: `python -m tools.field.mqtt_outage`. Not part of the test suite (minutes).

Publishes numbered readings at a steady rate through the MQTT sink to a real mosquitto, ends the broker by a signal
amid a burst of them, leaves it away for a while, starts it again, and compares what `mosquitto_sub` read with what was
published. Prints what came twice, never, or out of order. Exit code 0 when every promise of docs/mqtt.md was kept:

- SIGTERM, which has mosquitto save its sessions: QoS 2 exactly once and in order; QoS 1 at least once. The reader that
  is judged has a session, and fetches all of it at the end. What a second one read meanwhile is printed, too: how
  mosquitto goes on with its own handshakes is not for us to judge.
- SIGKILL of a broker that keeps nothing on disk: at least once at either QoS, at most `in_flight` readings twice. The
  reader reads at QoS 0, and the sink's link is let through once it is back.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from edge_fer.publish.mqtt.sink import Mqtt
from edge_fer.settings import MqttSettings
from tests.support.brokers import Broker, Reader, Wire, closing_all
from tests.support.records import make_face_reading, make_reading
from tests.support.waiting import wait_until

IN_FLIGHT = 20
TOPIC = "edge-fer/+/reading"


def main() -> int:
    """Run every combination, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outage", type=float, default=30.0, help="seconds without a broker")
    parser.add_argument("--around", type=float, default=5.0, help="seconds of load before, and again after")
    parser.add_argument("--rate", type=float, default=30.0, help="readings a second")
    parser.add_argument("--burst", type=int, default=300, help="readings at once when the broker is ended")
    parser.add_argument("--qos", type=int, nargs="+", default=[2, 1], choices=(1, 2))
    parser.add_argument("--signal", nargs="+", default=["TERM", "KILL"], choices=("TERM", "KILL"))
    options = parser.parse_args()
    well = True
    for name in options.signal:
        for qos in options.qos:
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                outage = (Killed if name == "KILL" else Restarted)(Path(folder), stack, qos)
                print(f"QoS {qos}, SIG{name}, {options.outage:g} s at {options.rate:g} Hz:", flush=True)
                outage.run(options.rate, options.around, options.burst, options.outage)
                well &= outage.judge()
    print("all is well" if well else "NOT as it should be")
    return 0 if well else 1


class Restarted:
    """A broker that is asked to end and started again, its readers, and the sink.

    Args:
        folder: for the broker's and the readers' files.
        stack: closes what is opened here.
        qos: of the sink.
    """

    number = signal.SIGTERM
    persistent = True

    def __init__(self, folder: Path, stack: ExitStack, qos: int) -> None:
        self._folder, self._stack, self._qos = folder, stack, qos
        self._broker = Broker(folder, persistent=self.persistent)
        stack.enter_context(closing_all(self._broker))
        self._wire = Wire(self._broker.port)
        stack.enter_context(closing_all(self._wire))
        self._live = self._subscribe()
        settings = MqttSettings(
            host="127.0.0.1", port=self._wire.port, qos=qos, in_flight=IN_FLIGHT, retry_max_s=1, buffer_s=600
        )
        self._sink = stack.enter_context(closing(Mqtt(settings, "drone-7")))
        self._published = 0

    def run(self, rate: float, around_s: float, burst: int, outage_s: float) -> None:
        """Publish through an outage."""
        self._load(rate, around_s)
        sent = self._sink.condition.sent
        for _ in range(burst):
            self._publish()
        wait_until(lambda: self._sink.condition.sent >= sent + burst // 3)
        self._broker.kill(self.number)
        before = self._sink.condition.waiting
        self._load(rate, outage_s)
        most = self._sink.condition.waiting
        self._restart()
        begun = time.monotonic()
        wait_until(lambda: self._sink.condition.waiting == 0, seconds=60)
        caught_up_s = time.monotonic() - begun
        self._load(rate, around_s)
        wait_until(lambda: self._sink.condition.waiting == 0, seconds=60)
        print(
            f"    published {self._published}; {before} not acknowledged when it ended; {most} when it was back, all "
            f"acknowledged {caught_up_s:.2f} s later; {self._sink.condition.dropped} dropped"
        )

    def judge(self) -> bool:
        """Print what the readers have; whether it is what was promised."""
        self._tell("a reader that was there meanwhile", self._live)
        twice, missing, in_order = self._tell("a reader that fetched all at the end", self._read("judged"))
        return not missing and in_order and (self._qos == 1 or not twice)

    def _subscribe(self) -> Reader:
        """One that reads along; another subscribes and leaves."""
        self._read("judged").close()
        return self._read("live")

    def _restart(self) -> None:
        self._broker.start()

    def _read(self, session: str, *options: str) -> Reader:
        subscribed = self._broker.log.count("Sending SUBACK")
        reader = Reader(self._broker.port, TOPIC, self._folder, options, session)
        self._stack.enter_context(closing_all(reader))
        wait_until(lambda: self._broker.log.count("Sending SUBACK") > subscribed)
        return reader

    def _load(self, rate: float, seconds: float) -> None:
        """Publish at a steady rate."""
        begun = time.monotonic()
        for number in range(int(rate * seconds)):
            self._publish()
            time.sleep(max(0.0, begun + (number + 1) / rate - time.monotonic()))

    def _publish(self) -> None:
        self._sink.publish(make_reading(self._published, faces=(make_face_reading(),)), None)
        self._published += 1

    def _tell(self, who: str, reader: Reader) -> tuple[int, int, bool]:
        """How many came twice, how many never, and whether the first of each came in order."""
        deadline = time.monotonic() + 5
        while len(set(frames := self._frames(reader))) < self._published and time.monotonic() < deadline:
            time.sleep(0.1)
        first = list(dict.fromkeys(frames))
        twice, missing, in_order = len(frames) - len(first), self._published - len(first), first == sorted(first)
        print(f"    {who}: {len(frames)} came; {twice} again; {missing} never; "
              f"{'in order' if in_order else 'OUT OF ORDER'}", flush=True)  # fmt: skip
        return twice, missing, in_order

    def _frames(self, reader: Reader) -> list[int]:
        return [json.loads(payload)["frame"] for _, _, payload in reader.lines]


class Killed(Restarted):
    """The same with a broker that is killed and has forgotten everything."""

    number = signal.SIGKILL
    persistent = False

    def judge(self) -> bool:
        """Print what the reader has; whether it is what was promised."""
        twice, missing, in_order = self._tell("a reader at QoS 0", self._live)
        return not missing and in_order and twice <= IN_FLIGHT

    def _subscribe(self) -> Reader:
        return self._read("live", "-q", "0")

    def _restart(self) -> None:
        self._wire.cut()
        subscribed = self._broker.log.count("Sending SUBACK to live")
        self._broker.start()
        wait_until(lambda: self._broker.log.count("Sending SUBACK to live") > subscribed)
        self._wire.mend()


if __name__ == "__main__":
    sys.exit(main())
