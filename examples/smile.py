"""A drone that takes a picture when somebody smiles at it.

    python examples/smile.py --camera 0

Replace `take_picture` by what your drone should do. A smile counts once it has lasted: a single frame may be wrong.
"""

from __future__ import annotations

import argparse
import sys

from edge_fer import EdgeFer
from edge_fer.errors import EdgeFerError
from edge_fer.schema import Reading, Status

MIN_DURATION_S = 0.5
MIN_CONFIDENCE = 0.8


class Smiles:
    """Finds smiles that have lasted long enough, each once."""

    def __init__(self) -> None:
        self._since_ns: dict[int, int] = {}
        self._reported: set[int] = set()

    def new(self, reading: Reading) -> list[int]:
        """Track ids of the faces whose smile has just lasted `MIN_DURATION_S`."""
        smiling = {face.id for face in reading.faces if face.label == "happiness" and face.confidence >= MIN_CONFIDENCE}
        self._reported &= smiling
        self._since_ns = {key: self._since_ns.get(key, reading.captured_ns) for key in smiling}
        lasting = {key for key, since in self._since_ns.items() if reading.captured_ns - since >= MIN_DURATION_S * 1e9}
        new = lasting - self._reported
        self._reported |= new
        return sorted(new)


class StatusPrinter:
    """Prints the message of each status, unless it is that of the one before."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, status: Status) -> None:
        """Take the next status."""
        if status.message != self._last:
            self._last = status.message
            print(status.message)


def take_picture(face: int) -> None:
    """Stand in for the drone's own camera command."""
    print(f"face {face} smiles: click")


def main() -> None:
    """Read a camera until it ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--camera", default="sample", help="as in `edge-fer run`")
    source = parser.parse_args().camera
    smiles = Smiles()
    with EdgeFer(capture__source=source, capture__realtime=True, on_status=StatusPrinter().show) as fer:
        for reading in fer:
            for face in smiles.new(reading):
                take_picture(face)


if __name__ == "__main__":
    try:
        main()
    except EdgeFerError as error:
        sys.exit(str(error))
