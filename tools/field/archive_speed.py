"""How quick an archive is read: by one worker, by two, on Ray; and by a plain loop over the `fer` package.

python -m tools.field.archive_speed --clips 24 --frames 300 --csv out/archive_speed.csv [--fer-python PYTHON]

On a quiet machine of two cores: two workers should be 1.8 times as quick as one, and Ray at most 10 % slower than two
workers. Each way is timed several times, in turns, and the quickest counts. A way's time has everything in it: starting
processes, opening networks, writing tables. Ray's cluster is there before.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
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
    """Read the archive; frames, faces and seconds."""
    shutil.rmtree(out, ignore_errors=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "edge_fer", "label", str(archive), "--out", str(out), *more]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    rows = {
        name: sum(parquet.read_metadata(path).num_rows for path in (out / name).rglob("*.parquet"))
        for name in ("frames", "faces")
    }
    return {**rows, "seconds": seconds}


def fer(python: str, archive: Path) -> Row:
    """Read it with the `fer` package."""
    clips = [str(path) for path in sorted(archive.rglob("*.mp4"))]
    done = subprocess.run([python, str(LOOP), *clips], check=True, capture_output=True, text=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def quickest(ways: dict[str, Callable[[], Row]], rounds: int) -> dict[str, Row]:
    """The quickest round of each way; they take turns."""
    rows: dict[str, list[Row]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            rows[name].append(way())
            print(f"{number + 1} of {rounds}: {name}: {rows[name][-1]}", flush=True)
    return {name: min(each, key=lambda row: float(str(row["seconds"]))) for name, each in rows.items()}


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
        found = quickest(ways, given.rounds)
    rows = [
        {"way": name, **row, "fps": round(int(str(row["frames"])) / float(str(row["seconds"])), 1)}
        for name, row in found.items()
    ]
    for row in rows:
        print(row)
    seconds = {name: float(str(row["seconds"])) for name, row in found.items()}
    print(f"two workers: {seconds['one worker'] / seconds['two workers']:.2f} times as quick as one")
    print(f"ray: {seconds['ray'] / seconds['two workers'] - 1:+.1%} of the time of two workers")
    if given.csv is not None:
        given.csv.parent.mkdir(parents=True, exist_ok=True)
        with given.csv.open("w", newline="") as file:
            table = csv.DictWriter(file, ["way", "frames", "faces", "seconds", "fps"])
            table.writeheader()
            table.writerows(rows)


if __name__ == "__main__":
    main()
