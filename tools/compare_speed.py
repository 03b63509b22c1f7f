"""Whether one checkout is as quick as another: `python -m tools.compare_speed BEFORE AFTER --turns 5`.

Both run alternately in one go, so that whatever else the machine does hits both. A turn of each measures

- `bench`: the rate over the decoded sample, frames a second, by the checkout's own `edge-fer bench`;
- `import edge_fer`: seconds;
- the first reading: seconds from the start of `edge-fer run` to its first reading.

Ratios are formed within a turn; the median and the range are printed. Above 1 the second checkout is quicker.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_STARTS = 5  # a turn, of which the quickest counts

IMPORT = "import time; a = time.perf_counter(); import edge_fer; print(time.perf_counter() - a)"


def command(checkout: Path, *arguments: str) -> subprocess.Popen[str]:
    """Python with the modules of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip


def frames_per_second(checkout: Path, frames: int) -> float:
    """What `edge-fer bench` says of the runtime, decoded frames, median of its turns."""
    with command(checkout, "-m", "edge_fer", "bench", "--frames", str(frames), "--turns", "5", "--json") as bench:
        (report, _) = bench.communicate()
    return float(json.loads(report)["comparison"]["results"][0]["fps"])


def import_rate(checkout: Path) -> float:
    """Imports of the package a second."""
    with command(checkout, "-c", IMPORT) as run:
        return 1 / float(run.communicate()[0])


def first_reading_rate(checkout: Path) -> float:
    """One over the seconds to the first reading."""
    start = time.perf_counter()
    arguments = ("run", "--camera", "sample", "--max-frames", "1", "--format", "json")
    with command(checkout, "-m", "edge_fer", *arguments) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if "edge-fer/reading/1" in line:
                took = time.perf_counter() - start
        return 1 / took


def quickest(measure: Callable[[Path], float]) -> Callable[[Path], float]:
    """The best of several measurements of what takes a moment only."""
    return lambda checkout: max(measure(checkout) for _ in range(_STARTS))


def main() -> int:
    """Measure and print; 1 when the second checkout is slower than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--frames", type=int, default=150)
    arguments = parser.parse_args()
    checkouts = (arguments.before, arguments.after)
    measures = {
        "bench, frames a second": (lambda checkout: frames_per_second(checkout, arguments.frames), 0.97),
        "import edge_fer": (quickest(import_rate), 1 / 1.1),
        "first reading": (quickest(first_reading_rate), 1 / 1.1),
    }
    slower = False
    for name, (measure, least) in measures.items():
        ratios, values = [], []
        for turn in range(arguments.turns):
            order = checkouts if turn % 2 == 0 else checkouts[::-1]
            found = {checkout: measure(checkout) for checkout in order}
            values.append(tuple(found[checkout] for checkout in checkouts))
            ratios.append(found[arguments.after] / found[arguments.before])
        before, after = (statistics.median(column) for column in zip(*values, strict=True))
        ratio = statistics.median(ratios)
        slower |= ratio < least
        print(
            f"{name}: {before:.2f} and {after:.2f} a second; "
            f"ratio {ratio:.3f} ({min(ratios):.3f}-{max(ratios):.3f}), at least {least:.3f}"
        )
    return int(slower)


if __name__ == "__main__":
    sys.exit(main())
