"""How quick an archive is read: by one worker, by two, on Ray; and by a plain loop over the `fer` package.

python -m tools.field.archive_speed --clips 24 --frames 300 --csv out/archive_speed.csv [--fer-python PYTHON]

On a quiet machine of two cores: two workers should be 1.8 times as quick as one, and Ray at most 10 % slower than two
workers. The ways take turns, round after round; the median counts, and ratios are those of a round. A way's time has
everything in it: starting processes, opening networks, writing tables. Ray's cluster is there before.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pyarrow import parquet

from tools.field.archive_clips import make_clip
from tools.field.archive_cluster import cluster

KINDS = ("faces", "none", "crowd", "faces")
LOOP = Path(__file__).with_name("fer_loop.py")

Row = dict[str, object]


def label(archive: Path, out: Path, *more: str) -> Row:
    """Read the archive; frames, faces, seconds, and seconds of the processors but for those of Ray's own processes."""
    shutil.rmtree(out, ignore_errors=True)
    began, used = time.monotonic(), _processor_s()
    command = [sys.executable, "-m", "edge_fer", "label", str(archive), "--out", str(out), *more]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    rows = {
        name: sum(parquet.read_metadata(path).num_rows for path in (out / name).rglob("*.parquet"))
        for name in ("frames", "faces")
    }
    return {**rows, "seconds": seconds, "processor_s": round(_processor_s() - used, 1)}


def _processor_s() -> float:
    """Processor time of the processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def fer(python: str, archive: Path) -> Row:
    """Read it with the `fer` package."""
    clips = [str(path) for path in sorted(archive.rglob("*.mp4"))]
    done = subprocess.run([python, str(LOOP), *clips], check=True, capture_output=True, text=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def in_turns(ways: dict[str, Callable[[], Row]], rounds: int) -> dict[str, list[Row]]:
    """The rounds of each way; they take turns."""
    rows: dict[str, list[Row]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            rows[name].append(way())
            print(f"{number + 1} of {rounds}: {name}: {rows[name][-1]}", flush=True)
    return rows


def seconds(rows: list[Row]) -> list[float]:
    """How long each round took."""
    return [float(str(row["seconds"])) for row in rows]


def summary(name: str, rows: list[Row]) -> Row:
    """One way's line of the table: what it found, and the median and spread of its seconds."""
    times = seconds(rows)
    median, found = statistics.median(times), {name: rows[0][name] for name in ("frames", "faces")}
    spread = {"seconds": round(median, 1), "least": round(min(times), 1), "most": round(max(times), 1)}
    fps, used = (
        round(int(str(found["frames"])) / median, 1),
        statistics.median(float(str(row["processor_s"])) for row in rows),
    )
    return {"way": name, **found, **spread, "processor_s": used, "fps": fps}


def ratio(found: dict[str, list[Row]], way: str, other: str) -> str:
    """How much longer a way took than another in the same round: median, least and most."""
    ratios = [one / two for one, two in zip(seconds(found[way]), seconds(found[other]), strict=True)]
    return f"{way}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times the time of {other}"


def main() -> None:
    """Make the archive, read it in every way, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/archive_speed"))
    parser.add_argument("--csv", type=Path, default=None)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fer-python", default=None, help="a Python that has the package fer")
    given = parser.parse_args()
    archive, out = given.out.resolve() / "archive", given.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    archive.mkdir(parents=True)
    for number in range(given.clips):
        make_clip(archive / f"{number:03}.mp4", KINDS[number % len(KINDS)], number, given.frames)
    with cluster() as nodes:
        ray = ("--engine", "ray", "--address", nodes.address)
        ways: dict[str, Callable[[], Row]] = {
            "one worker": lambda: label(archive, out / "one", "--workers", "1"),
            "two workers": lambda: label(archive, out / "two", "--workers", "2"),
            "ray": lambda: label(archive, out / "ray", *ray),
        }
        if given.fer_python is not None:
            ways["fer"] = lambda: fer(given.fer_python, archive)
        found = in_turns(ways, given.rounds)
    rows = [summary(name, rounds) for name, rounds in found.items()]
    for row in rows:
        print(row)
    print(ratio(found, "one worker", "two workers"))
    print(ratio(found, "ray", "two workers"))
    if "fer" in found:
        print(ratio(found, "fer", "one worker"))
    if given.csv is not None:
        given.csv.parent.mkdir(parents=True, exist_ok=True)
        with given.csv.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)


if __name__ == "__main__":
    main()
