"""A drone that takes a picture when somebody smiles at it.

    python examples/smile.py --camera 0

Replace `take_picture` by what your drone should do. A smile counts when it has lasted: one frame is a guess.
"""

from __future__ import annotations

import argparse
import sys

from edge_fer import EdgeFer
from edge_fer.errors import EdgeFerError
from edge_fer.schema import Reading, Status

LASTING_S = 0.5
SURE = 0.8


class Smiles:
    """Tells when a face has smiled for long enough, once a smile."""

    def __init__(self) -> None:
        self._since_ns: dict[int, int] = {}
        self._told: set[int] = set()

    def new(self, reading: Reading) -> list[int]:
        """Ids of the faces whose smile has just lasted `LASTING_S`."""
        smiling = {face.id for face in reading.faces if face.label == "happiness" and face.confidence >= SURE}
        self._told &= smiling
        self._since_ns = {key: self._since_ns.get(key, reading.captured_ns) for key in smiling}
        lasting = {
            key for key, since in self._since_ns.items() if reading.captured_ns - since >= LASTING_S * 1e9
        } - self._told
        self._told |= lasting
        return sorted(lasting)


class News:
    """Says what has changed, once."""

    def __init__(self) -> None:
        self._told = ""

    def tell(self, status: Status) -> None:
        """Print the sentence of a status, unless it is that of the one before."""
        if status.message != self._told:
            self._told = status.message
            print(status.message)


def take_picture(face: int) -> None:
    """Stands for the drone's own camera command."""
    print(f"face {face} smiles: click")


def main() -> None:
    """Watch a camera until it ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--camera", default="sample", help="as in `edge-fer run`")
    source = parser.parse_args().camera
    smiles = Smiles()
    with EdgeFer(capture__source=source, capture__realtime=True, on_status=News().tell) as fer:
        for reading in fer:
            for face in smiles.new(reading):
                take_picture(face)


if __name__ == "__main__":
    try:
        main()
    except EdgeFerError as error:
        sys.exit(str(error))
