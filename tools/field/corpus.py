"""Reads every file under a folder, as a user would: `python -m tools.field.corpus FOLDER`, or `--make FOLDER` first.

Each file is read by `edge-fer run --camera FILE --format json`, and judged:

- the run ends by itself, with exit code 0 or 3, within the time and memory that are allowed, without a traceback and
  with a few lines on standard error;
- there is a reading for every frame that is expected, or something is said of those that are missing;
- the time from the first to the last is that of the film.

What is expected stands in `expected.json` where the folder was made here (see `corpus_files.py`), else ffprobe says it.
Prints a line for each file and a summary. Exit code 1 when any file is read wrongly.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.field.corpus_files import EXPECTED, Expected, make

COMMAND = (sys.executable, "-m", "edge_fer", "run", "--format", "json")
STDERR_LINES = 3
ENDED = (0, 3)
TELLS = ("left out", "damaged", "breaks off", "cut short", "colours")
PICTURES = frozenset(("gif", "apng", "image2", "webp_pipe", "tiff_pipe"))  # ffprobe does not see all of these


@dataclass(frozen=True)
class Limits:
    """What a run may take: seconds, and megabytes of memory."""

    seconds: float
    memory_mb: float


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        code: exit code; None when it took too long.
        readings: what it said of each frame.
        told: what it said beside that, on both outputs.
        stderr: lines on standard error.
        seconds: how long it took.
        memory_mb: the most memory that it held.
    """

    code: int | None
    readings: list[dict[str, Any]]
    told: str
    stderr: list[str]
    seconds: float
    memory_mb: float

    @property
    def faces(self) -> int:
        """How many readings show a face."""
        return sum(bool(reading["faces"]) for reading in self.readings)

    @property
    def span_s(self) -> float | None:
        """Time from the first frame to the last; None for pictures that do not move."""
        positions = [reading["position_ms"] for reading in self.readings]
        return None if not positions or None in positions else (positions[-1] - positions[0]) / 1000


@dataclass(frozen=True)
class Probe:
    """What ffprobe finds: how many frames, and the time from the first to the last; None where it does not know."""

    frames: int | None
    span_s: float | None


def run(path: Path, limits: Limits) -> Outcome:
    """Read one file."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([*COMMAND, f"--camera={path}"], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        timer = threading.Timer(limits.seconds, process.kill)
        timer.start()
        _, status, used = os.wait4(process.pid, 0)
        killed = not timer.is_alive()
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        records = [json.loads(line) for line in out if line.endswith(b"\n")]
        stderr = err.read().decode(errors="replace").splitlines()
    readings = [record for record in records if record["schema"] == "edge-fer/reading/1"]
    said = [record["message"] for record in records if "message" in record]
    code = None if killed else process.returncode
    return Outcome(
        code, readings, "\n".join([*said, *stderr]), stderr, time.monotonic() - started, used.ru_maxrss / 1024
    )


def probe(path: Path) -> Probe:
    """Ask ffprobe."""
    command = ["ffprobe", "-v", "quiet", "-select_streams", "V:0", "-show_entries", "format=format_name"]
    command += ["-show_entries", "frame=best_effort_timestamp_time", "-of", "json", f"file:{path}"]
    try:
        answer = subprocess.run(command, capture_output=True, check=True, timeout=120)
        found = json.loads(answer.stdout)
    except (subprocess.SubprocessError, ValueError):
        return Probe(None, None)
    if not PICTURES.isdisjoint(found["format"]["format_name"].split(",")):
        return Probe(None, None)
    times = [
        float(frame["best_effort_timestamp_time"]) for frame in found["frames"] if "best_effort_timestamp_time" in frame
    ]
    return Probe(len(found["frames"]), times[-1] - times[0] if times else None)


def faults(outcome: Outcome, probed: Probe, expected: Expected, limits: Limits) -> list[str]:
    """What is wrong with how a file was read, in words."""
    found = []
    if outcome.code not in ENDED:
        found.append(f"ended with {outcome.code}" if outcome.code is not None else f"took over {limits.seconds:g} s")
    if any("Traceback" in line for line in outcome.stderr):
        found.append("a traceback")
    if len(outcome.stderr) > STDERR_LINES:
        found.append(f"{len(outcome.stderr)} lines on standard error")
    if outcome.memory_mb > limits.memory_mb:
        found.append(f"{outcome.memory_mb:.0f} MB of memory")
    told = outcome.code == 3 or any(word in outcome.told for word in TELLS)
    frames = probed.frames if expected.frames is None else expected.frames
    count = len(outcome.readings)
    if frames is not None and count != frames and not (expected.told and told):
        found.append(f"{count} readings of {frames} frames" + (", told" if told else ", not told"))
    if expected.told and not told and count != frames:
        found.append("nothing was said")
    if expected.faces and count and outcome.faces < count / 2:
        found.append(f"a face in only {outcome.faces} of {count}")
    span = outcome.span_s
    if span is not None and probed.span_s is not None and not told and abs(span - probed.span_s) > 0.1 + 0.02 * span:
        found.append(f"{span:.2f} s of {probed.span_s:.2f} s")
    return found


def main() -> int:
    """Read every file, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--make", action="store_true", help="make the files there first (needs ffmpeg)")
    parser.add_argument("--seconds", type=float, default=90.0, help="a run may take so long")
    parser.add_argument("--memory-mb", type=float, default=1000.0, help="a run may take so much memory")
    parser.add_argument("--jobs", type=int, default=2, help="so many runs beside each other")
    options = parser.parse_args()
    if options.make:
        make(options.folder)
    stated = options.folder / EXPECTED
    known = {name: Expected(**one) for name, one in json.loads(stated.read_text()).items()} if stated.exists() else {}
    paths = [path for path in sorted(options.folder.rglob("*")) if path.is_file() and path != stated]
    limits = Limits(options.seconds, options.memory_mb)

    def read(path: Path) -> tuple[Path, Outcome, Probe]:
        return path, run(path, limits), probe(path)

    ends: Counter[str] = Counter()
    wrong = most_mb = most_s = 0.0
    print(f"{'file':40} {'exit':>4} {'read':>5} {'probe':>5} {'faces':>5} {'span s':>7} {'MB':>5} {'s':>5}")
    with ThreadPoolExecutor(options.jobs) as pool:
        for path, outcome, probed in pool.map(read, paths):
            name = str(path.relative_to(options.folder))
            what = faults(outcome, probed, known.get(name, Expected(None, faces=False)), limits)
            span = "" if outcome.span_s is None else f"{outcome.span_s:.2f}"
            print(
                f"{ascii(name)[1:-1]:40} {outcome.code!s:>4} {len(outcome.readings):5} {probed.frames!s:>5} "
                f"{outcome.faces:5} {span:>7} {outcome.memory_mb:5.0f} {outcome.seconds:5.1f} {'; '.join(what)}",
                flush=True,
            )
            ends[str(outcome.code)] += 1
            wrong += bool(what)
            most_mb, most_s = max(most_mb, outcome.memory_mb), max(most_s, outcome.seconds)
    codes = ", ".join(f"{count} with exit code {code}" for code, count in sorted(ends.items()))
    print(f"{len(paths)} files ({codes}), {wrong:.0f} read wrongly; at most {most_mb:.0f} MB and {most_s:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
