"""Whether two runs over the same file read exactly the same: `python -m tools.compare_readings BEFORE AFTER`.

Both are JSON lines of `edge-fer run --format json`. Of each frame the faces are compared, in every field that they
have in the first file: fields that are new in the second one are allowed. `label_age_ms` is left out, since it is a
time of the run and not read from the picture. Exit code 0 when they are the same, else 1 and a line a difference.
For two processors, which round differently, see `tools/same_readings.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

TIMED = {"label_age_ms"}
_SHOWN = 20  # differences


def faces_by_frame(path: Path) -> list[tuple[int, list[dict[str, Any]]]]:
    """Each reading of a file: its frame and its faces."""
    records = (json.loads(line) for line in path.read_text().splitlines())
    return [(one["frame"], one["faces"]) for one in records if one["schema"] == "edge-fer/reading/1"]


def differences(before: Path, after: Path) -> Iterator[str]:
    """A line for each difference."""
    for one, other in zip_longest(faces_by_frame(before), faces_by_frame(after)):
        if one is None or other is None or one[0] != other[0]:
            yield f"frame {one and one[0]} against frame {other and other[0]}: frames are missing"
            return
        frame, faces = one
        if len(faces) != len(other[1]):
            yield f"frame {frame}: {len(faces)} faces against {len(other[1])}"
            continue
        for face, twin in zip(faces, other[1], strict=True):
            for name in face.keys() - TIMED:
                if name not in twin or face[name] != twin[name]:
                    yield f"frame {frame}, face {face['id']}: {name} {face[name]} against {twin.get(name, 'nothing')}"


def main(before: str, after: str) -> int:
    """Compare and say so."""
    found = list(differences(Path(before), Path(after)))
    print("\n".join(found[:_SHOWN]))
    readings = faces_by_frame(Path(before))
    faces = sum(len(faces) for _, faces in readings)
    print(f"{len(readings)} frames, {faces} faces: " + (f"{len(found)} differences" if found else "the same"))
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
