"""A long run, as a camera would have it: `python -m tools.field.soak --minutes 10`. Not part of the test suite.

Serves the sample clip and some scenes with many faces, in which tracks come and go, as an endless MJPEG stream at 30
frames a second on the loopback interface, has `edge-fer run` read it, and cuts the connection now and then. Prints what
memory did, what came out and what was dropped. Exit code 0 when resident memory of the process and its children ends
within 2 % of where it was after the warm-up, readings came to the end, and each face left one record; else 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable

from tests.support.cut_scenes import cut_scenes
from tests.support.mjpeg_server import MjpegServer, jpeg, sample_jpegs
from tests.support.resource_use import resource_use
from tools.field.short_tracks import Tally

FPS = 30.0
ALLOWED = 0.02


def count(lines: Iterable[bytes], records: Counter[str], last: dict[str, dict[str, object]], tally: Tally) -> None:
    """Count the records that come out, and keep the last of each kind."""
    for line in lines:
        tally.add(line)
        record = json.loads(line)
        kind = record["schema"].split("/")[1]
        records[record["state"] if kind == "status" else kind] += 1
        last[kind] = record


def main() -> int:
    """Run, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=60.0, help="seconds before memory counts")
    parser.add_argument("--cut", type=float, default=90.0, help="seconds after which the stream breaks off")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks at memory")
    options = parser.parse_args()
    scenes = [jpeg(picture) for picture in cut_scenes(12, 20)]
    server = MjpegServer({"sample": [*sample_jpegs(), *scenes]}, FPS)
    command = [sys.executable, "-m", "edge_fer", "run", "--camera", server.url, "--format", "json"]
    records: Counter[str] = Counter()
    last: dict[str, dict[str, object]] = {}
    samples: list[tuple[float, float]] = []
    tally = Tally()
    with subprocess.Popen([*command, "--duration", str(options.minutes * 60)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=count, args=(process.stdout, records, last, tally))
        reader.start()
        start, cuts = time.monotonic(), 0
        while process.poll() is None:
            at = time.monotonic() - start
            samples.append((at, resource_use(process.pid, family=True).rss_mib * 2**20 / 1e6))
            if at >= (cuts + 1) * options.cut:
                server.stop()
                server.start()
                cuts += 1
            time.sleep(options.every)
        reader.join()
    return judge(samples, records, last, tally, process.returncode, options.warm_up)


def judge(
    samples: list[tuple[float, float]],
    records: Counter[str],
    last: dict[str, dict[str, object]],
    tally: Tally,
    exit_code: int,
    warm_up_s: float,
) -> int:
    """Print what happened; 0 when all is well."""
    settled = [memory for at, memory in samples if at >= warm_up_s]
    third = max(len(settled) // 3, 1)
    early, late = statistics.median(settled[:third]), statistics.median(settled[-third:])
    growth = late / early - 1
    print(f"exit code {exit_code}; records {dict(records)}; {last.get('reading', {}).get('dropped')} frames dropped")
    print(f"restarts of the camera: {last.get('status', {}).get('restarts')}")
    print(
        f"resident memory, MB: first third {early:.1f}, last third {late:.1f} ({growth:+.2%}), most {max(settled):.1f}"
    )
    print(f"{len(tally.shown)} faces; {', '.join(tally.faults) or 'each left one record'}")
    well = exit_code == 0 and records["reading"] > 0 and abs(growth) <= ALLOWED and not tally.faults
    print("all is well" if well else "NOT as it should be")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
