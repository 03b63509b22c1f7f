"""Sinks that fail: `make field-failing_sinks ARGS='--minutes 10'`. Not part of the test suite; as root (it mounts).

A run that keeps going records, and publishes to standard output, a file, a real mosquitto, web
clients and MAVLink. Recordings and file are on a small disk (tmpfs). Every sink fails in every way that is listed here,
one after the other, and then one way of each together, again and again. Ends with 1 unless

- the run never ended, and ended in order when it was told to;
- every failure was told in a status of the run, with its sink, and every sink came back;
- in each status, what was sent, dropped and waits was what had been made, for each sink;
- every recording plays, and they took no more than they may; output and file hold whole lines, but for torn ones that
  the failures explain;
- memory, descriptors and threads did not grow.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import av

from tests.support.resource_use import ResourceUse
from tools.field.failing_sinks_faults import FAULTS, KINDS, Fault
from tools.field.failing_sinks_site import KEEP_MB, Site

TOLD_S, WELL_S = 25.0, 45.0
BROKEN_S = 3.0
GROWTH = 0.05
MEASURED = ("rss_mib", "descriptors", "threads", "children")


class Outcome:
    """What has happened.

    Attributes:
        untold: failures that no status told of.
        unwell: sinks that did not come back, after which failure.
        measured: the resources in use after each failure.
        largest_mb: most that the recordings took together, megabytes.
    """

    def __init__(self) -> None:
        self.untold: list[str] = []
        self.unwell: list[str] = []
        self.measured: list[ResourceUse] = []
        self.largest_mb = 0.0


def fail(site: Site, name: str, faults: list[Fault], outcome: Outcome) -> None:
    """Let sinks fail together, and come back."""
    began = time.monotonic()
    expected = {sink for fault in faults for sink in fault.sinks}
    with ExitStack() as stack:
        for fault in faults:
            stack.enter_context(fault.broken(site))
        told_s = wait(site, lambda told=set(): (told.update(site.not_ok), expected <= told)[1], TOLD_S)
        if told_s is None:
            outcome.untold.append(f"{name}: {', '.join(sorted(expected - site.not_ok))}")
        time.sleep(max(0.0, began + BROKEN_S - time.monotonic()))
    well_s = wait(site, lambda: not site.not_ok, WELL_S)
    if well_s is None:
        outcome.unwell.append(f"{name}: {', '.join(f'{sink} ({site.observed.reasons[sink]})' for sink in site.not_ok)}")
    outcome.measured.append(site.measure())
    outcome.largest_mb = max(outcome.largest_mb, site.recorded_mb)
    told = (
        f"told after {told_s:.1f} s" if expected and told_s is not None else "NOT TOLD" if expected else "nothing told"
    )
    well = f"well {well_s:.1f} s after its end" if well_s is not None else "NOT WELL"
    memory = outcome.measured[-1].rss_mib
    print(f"{time.monotonic() - site.began:6.1f} s  {memory:6.1f} MiB  {name}: {told}, {well}", flush=True)


def wait(site: Site, condition: object, seconds: float) -> float | None:
    """Wait until something is so in a status that was made from now on; how long it took, None where it did not."""
    assert callable(condition)
    began, before = time.monotonic(), site.observed.statuses + 1
    while time.monotonic() < began + seconds:
        if site.observed.ended.is_set():
            return None
        if site.observed.statuses >= before and condition():
            return time.monotonic() - began
        time.sleep(0.05)
    return None


def live(site: Site, minutes: float, seed: int) -> Outcome:
    """Let everything fail, again and again."""
    outcome, chance = Outcome(), random.Random(seed)
    end = site.began + 60 * minutes
    wait(site, lambda: not site.not_ok, WELL_S)
    while not outcome.measured or time.monotonic() < end:
        for name in chance.sample(sorted(FAULTS), len(FAULTS)):
            if time.monotonic() < end and not site.observed.ended.is_set():
                fail(site, name, [FAULTS[name]], outcome)
        for _ in range(3):
            names = [chance.choice(kind) for kind in KINDS]
            if not site.observed.ended.is_set():
                fail(site, " + ".join(names), [FAULTS[name] for name in names], outcome)
    return outcome


def judge(site: Site, outcome: Outcome, code: int, unasked: bool) -> int:
    """Print what happened; 0 when all is well."""
    observed = site.observed
    print(f"{sum(observed.made.values())} records in {len(observed.made)} runs, {observed.statuses} of them statuses")
    for name in sorted({sink for _, sink in observed.dropped}):
        dropped = sum(count for (_, sink), count in observed.dropped.items() if sink == name)
        print(f"{name}: {dropped} dropped, and counted")
    print(f"standard output: {site.reader.lines} lines were read, {site.reader.torn} of them torn")
    files, torn = site.file_lines()
    print(f"file: {files} lines since the disk was last new, {torn} of them torn")
    played, broken = recordings(site.folder)
    print(f"recordings: {played} play, {len(broken)} do not; {outcome.largest_mb:.1f} MB together at most")
    kept = {
        "the run never ended": not unasked, "exit code 0": code == 0,
        f"each failure told within {TOLD_S:g} s": not outcome.untold,
        f"each sink well within {WELL_S:g} s": not outcome.unwell,
        "each loss counted": not observed.wrong,
        "recordings play": played > 0 and not broken,
        f"at most {KEEP_MB} MB of recordings": outcome.largest_mb <= KEEP_MB * 1.05,
        "no traceback": "Traceback" not in site.log,
        **leaks(outcome.measured),
    }  # fmt: skip
    for what in (*outcome.untold, *outcome.unwell, *map(str, observed.wrong.items()), *broken):
        print(f"  {what}")
    wrong = [promise for promise, is_kept in kept.items() if not is_kept]
    print(f"NOT as it should be: {', '.join(wrong)}" if wrong else "all is well")
    return 1 if wrong else 0


def leaks(measured: list[ResourceUse]) -> dict[str, bool]:
    """What was held in the last third of the time, and the most before: each reload gives some back."""
    promises, third = {}, max(len(measured) // 3, 1)
    for name in MEASURED:
        values = [getattr(one, name) for one in measured]
        before, late = max(values[: 2 * third]), statistics.median(values[-third:])
        print(f"{name}: {before:g} at most in the first two thirds, {late:g} in the last, {max(values):g} at most")
        promises[f"no more {name}"] = late <= before * (1 + GROWTH if name == "rss_mib" else 1)
    return promises


def recordings(folder: Path) -> tuple[int, list[str]]:
    """How many recordings play to their end, and which do not."""
    played, broken = 0, []
    for path in sorted(folder.rglob("*.mkv")):
        try:
            with av.open(str(path)) as film:
                count = sum(1 for _ in film.decode(video=0))
        except (OSError, ValueError) as error:
            count = 0
            print(f"  {path.name}: {error}")
        if count:
            played += 1
        else:
            broken.append(f"{path.name} of {path.stat().st_size} bytes")
    return played, broken


def main() -> int:
    """Live through it, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0, help="of the failures' order")
    options = parser.parse_args()
    if os.getuid() != 0:
        print("expected to be root, to mount a small disk; try sudo")
        return 2
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        site = Site(Path(folder), stack)
        outcome = live(site, options.minutes, options.seed)
        unasked = site.observed.ended.is_set()
        return judge(site, outcome, site.end(), unasked)


if __name__ == "__main__":
    sys.exit(main())
