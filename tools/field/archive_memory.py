"""The memory of a worker over a long recording: it must stay flat, and small.

python -m tools.field.archive_memory --frames 200000

The film is made first: a scene with faces, over and over. It ends when a worker takes more than it may, or more
and more.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av

from edge_fer.synthetic.scenes import FPS, sample_scene

MOST_MB = 350.0
GROWTH_MB = 20.0  # from the second quarter of the time that it reads to the last one
PERIOD_S = 0.25


def make_film(path: Path, frames: int) -> None:
    """Write a film of so many frames, 320x180."""
    scene = sample_scene(seed=1, size=(320, 180))
    pictures = [scene.render(number) for number in range(min(scene.frames, frames))]
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS, options={"g": "150"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(pictures[number % len(pictures)], format="bgr24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def workers_of(process: int) -> list[Path]:
    """The folders in /proc of the workers of a job."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [Path("/proc") / child for child in children]


def resident_mb(folder: Path) -> float:
    """The memory that a process has now; 0 where it is no more."""
    try:
        found = re.search(r"^VmRSS:\s+(\d+) kB", (folder / "status").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    """Make the film, read it, and watch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/archive_memory"))
    parser.add_argument("--frames", type=int, default=200_000)
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    film = given.out / "long.mkv"
    make_film(film, given.frames)
    print(f"{given.frames} frames, {film.stat().st_size >> 20} MiB", flush=True)
    command = [
        sys.executable,
        "-m",
        "edge_fer",
        "label",
        str(film),
        "--out",
        str(given.out / "tables"),
        "--workers",
        "1",
    ]
    began, reading, joining = time.monotonic(), list[float](), list[float]()
    with subprocess.Popen(command) as job:
        while job.poll() is None:
            is_read = any((given.out / "tables" / ".parts").glob("*/*/part.json"))
            sizes = joining if is_read else reading
            sizes.append(max((resident_mb(folder) for folder in workers_of(job.pid)), default=0.0))
            time.sleep(PERIOD_S)
    seconds = time.monotonic() - began
    assert job.returncode == 0, f"the job ended with {job.returncode}"
    quarter = max(len(reading) // 4, 1)
    early, late = max(reading[quarter : 2 * quarter], default=0.0), max(reading[-quarter:], default=0.0)
    most, joined = max(reading + joining), max(joining, default=0.0)
    print(
        f"{given.frames / seconds:.1f} frames a second; at most {most:.0f} MB; while it reads {early:.0f} MB, then "
        f"{late:.0f} MB; while it writes tables {joined:.0f} MB"
    )
    assert most <= MOST_MB, f"expected {MOST_MB:.0f} MB at most"
    assert late - early <= GROWTH_MB, f"expected at most {GROWTH_MB:.0f} MB more"


if __name__ == "__main__":
    main()
