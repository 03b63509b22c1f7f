"""A day in ten minutes: `python -m tools.field.day --minutes 10 --every 3`. Not part of the test suite.

`edge-fer run` as a service would run it, with a camera on the network, an Edge TPU (tests/support/fake_edgetpu), a real
mosquitto, a file that is rotated, MAVLink and its web site. Every few seconds something breaks: a fault of each kind,
in random order, then each again. Ends with 1 unless

- after each fault everything was well again within 5 s of its end: `/healthz` says so, the Edge TPU reads faces, and
  such a reading has come over MQTT;
- readings were in order, and none was lost on the way to the broker or came out without being counted;
- the last tenth of the day holds no more memory, descriptors, threads or processes than the second.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.support.mjpeg_server import sample_jpegs
from tests.support.resource_use import ResourceUse
from tools.field.day_box import Day
from tools.field.day_faults import FAULTS, RESTARTING

BROKEN_S = 1.5
WELL_S = 5.0
GROWTH = 0.02
MEASURED = ("rss_mib", "descriptors", "memfds", "threads", "children")


class Outcome(NamedTuple):
    """What has happened.

    Attributes:
        recovered_s: by fault, how long recovery took each time, seconds.
        measured: the resources in use after each fault.
        uncounted: faults that ended a child process without any status that counts its restart.
    """

    recovered_s: dict[str, list[float]]
    measured: list[ResourceUse]
    uncounted: list[str]


def live(day: Day, faults: list[str], minutes: float, every_s: float, seed: int) -> Outcome:
    """Let faults happen, one after the other.

    Args:
        day: the box.
        faults: names of the faults, from `FAULTS`.
        minutes: how long.
        every_s: seconds from one fault to the next.
        seed: seed of the faults' order.
    """
    chosen, bag = random.Random(seed), list[str]()
    outcome = Outcome({name: [] for name in faults}, [], [])
    day.wait_until_healthy(0, 30)
    start = time.monotonic()
    for number in range(int(minutes * 60 / every_s)):
        bag = bag or chosen.sample(faults, len(faults))
        name, restarts = bag.pop(), sum(day.out.restarts.values())
        with FAULTS[name](day):
            time.sleep(BROKEN_S)
        seconds = day.wait_until_healthy(time.monotonic_ns(), WELL_S)
        outcome.recovered_s[name].append(seconds)
        outcome.measured.append(day.measure())
        at, memory = time.monotonic() - start, outcome.measured[-1].rss_mib
        print(f"{at:6.1f} s  {memory:6.1f} MiB  {name}, felt for {seconds:.2f} s", flush=True)
        time.sleep(max(0.0, start + (number + 1) * every_s - time.monotonic()))
        if name in RESTARTING and sum(day.out.restarts.values()) == restarts:
            outcome.uncounted.append(name)
    return outcome


def judge(day: Day, outcome: Outcome, code: int) -> int:
    """Print what happened; 0 when all is well."""
    print(f"{sum(day.out.restarts.values())} restarts; not counted: {', '.join(outcome.uncounted) or 'none'}")
    kept = {"exit code 0": code == 0, "each fault counted": not outcome.uncounted}
    kept |= {**judge_returns(outcome.recovered_s), **judge_leaks(outcome.measured), **judge_readings(day)}
    broken = [promise for promise, is_kept in kept.items() if not is_kept]
    print(f"NOT as it should be: {', '.join(broken)}" if broken else "all is well")
    return 1 if broken else 0


def judge_returns(recovered_s: dict[str, list[float]]) -> dict[str, bool]:
    """How long each kind of fault was felt."""
    for name, times in recovered_s.items():
        if times:
            print(f"{name}: {len(times)} times, felt for {statistics.median(times):.2f} s, {max(times):.2f} s at most")
    return {f"well again within {WELL_S:g} s": all(time < WELL_S for times in recovered_s.values() for time in times)}


def judge_leaks(measured: list[ResourceUse]) -> dict[str, bool]:
    """What was held early in the day, and late."""
    promises = {}
    tenth = max(len(measured) // 10, 1)
    for name in MEASURED:
        values = [getattr(one, name) for one in measured]
        early, late = statistics.median(values[tenth : 2 * tenth] or values), statistics.median(values[-tenth:])
        print(f"{name}: {early:g} early, {late:g} late, {max(values):g} at most")
        promises[f"no more {name}"] = late <= early * (1 + GROWTH if name == "rss_mib" else 1)
    return promises


def judge_readings(day: Day) -> dict[str, bool]:
    """What came out, and what of it came over MQTT."""
    out, over_mqtt = day.out.readings, list(dict.fromkeys(day.over_mqtt.readings))
    again = len(day.over_mqtt.readings) - len(over_mqtt)
    missing, dropped = len(set(out) - set(over_mqtt)), sum(day.out.dropped.values())
    print(f"{len(out)} readings in {len(day.out.dropped)} runs")
    print(f"over MQTT {again} of them came again, {missing} never; {dropped} were dropped and counted")
    runs = {run: number for number, run in enumerate(dict.fromkeys(run for run, _ in out))}

    def in_order(readings: list[tuple[str, int]]) -> bool:
        return readings == sorted(set(readings), key=lambda one: (runs[one[0]], one[1]))

    return {"readings in order": in_order(out), "in order over MQTT": in_order(over_mqtt),
            "all over MQTT, or counted": missing <= dropped}  # fmt: skip


def main() -> int:
    """Live through it, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=3.0, help="seconds from one fault to the next")
    parser.add_argument("--only", action="append", choices=FAULTS, help="this fault; may be repeated", metavar="FAULT")
    parser.add_argument("--seed", type=int, default=0, help="of their order")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        day = Day(Path(folder), stack, sample_jpegs())
        outcome = live(day, options.only or sorted(FAULTS), options.minutes, options.every, options.seed)
        return judge(day, outcome, day.end())


if __name__ == "__main__":
    sys.exit(main())
