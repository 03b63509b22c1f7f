"""How quick films are decoded: `python -m tools.decode_speed FILM... --turns 7`.

The package's reader (PyAV) and OpenCV's take turns over each film, to `(height, width, 3)` BGR. A turn is a process of
its own, which loads the libraries of both and tells its peak memory. Other programs change the frames a second of
either; the processor time suffers less.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av  # noqa: F401  (for the sake of the memory)
import cv2

from edge_fer.capture.sources.video import Video

HEAD = (
    "| film | PyAV, frames/s | OpenCV | ratio | PyAV, ms of processor a frame | OpenCV | ratio "
    "| PyAV, peak MB | OpenCV |\n|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("films", nargs="+", type=Path)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--reader", choices=[*READERS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reader is not None:
        print(*turn(options.films[0], options.reader))
        return
    print(HEAD)
    for film in options.films:
        print(row(film, options.turns), flush=True)


def row(film: Path, turns: int) -> str:
    """A film's row of the table."""
    measured: dict[str, list[list[float]]] = {reader: [] for reader in READERS}
    for _ in range(turns):
        for reader in READERS:
            command = [sys.executable, "-m", "tools.decode_speed", str(film), "--reader", reader]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            measured[reader].append([float(number) for number in said.split()])
    cells = [film.name]
    for quantity, digits in ((0, 0), (1, 2)):
        mine, theirs = ([one[quantity] for one in measured[reader]] for reader in READERS)
        ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
        cells += [spread(mine, digits), spread(theirs, digits), spread(ratios, 2)]
    cells += [f"{max(one[2] for one in measured[reader]):.0f}" for reader in READERS]
    return f"| {' | '.join(cells)} |"


def spread(values: list[float], digits: int) -> str:
    """The median, the lowest and the highest."""
    middle, low, high = (f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low}-{high})"


def turn(film: Path, reader: str) -> tuple[float, float, float]:
    """Read a film once.

    Returns:
        Frames a second and milliseconds of processor time a frame, both without opening the film, and the peak memory
        of this process, MB.
    """
    read = READERS[reader](film)
    read()
    frames, began, used = 0, time.perf_counter(), time.process_time()
    while read():
        frames += 1
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    return frames / seconds, 1000 * processor / frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def open_video(film: Path) -> Callable[[], bool]:
    """Reads one frame through the package; false at the end."""
    video = Video(film)
    return lambda: video.read() is not None


def open_opencv(film: Path) -> Callable[[], bool]:
    """Reads one frame through OpenCV; false at the end."""
    capture = cv2.VideoCapture(str(film), cv2.CAP_FFMPEG)
    return lambda: capture.read()[0]


READERS = {"PyAV": open_video, "OpenCV": open_opencv}

if __name__ == "__main__":
    main()
