"""A made archive for tools/field/archive_cluster.py: clips as people have them, and what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_fer.synthetic.scenes import crowd_scene
from tests.support.films import picture, write_film

SIZE = (320, 240)
_TURNED = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)  # a telephone held upright
KINDS = ("faces", "faces", "rate", "portrait", "none", "faces", "crowd", "broken", "empty", "text")
"""What clip follows what, over and over."""


def make_clips(folder: Path, count: int, frames: int) -> None:
    """Write clips into folders by their kinds.

    Args:
        folder: where.
        count: how many.
        frames: of the longest one.
    """
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        path = folder / kind / f"{number:03}.{_ending(kind, number)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        make_clip(path, kind, number, frames // 2 + number % (frames // 2 + 1))


def _ending(kind: str, number: int) -> str:
    """An MP4 that breaks off has no index, and cannot be read at all; a Matroska film is read up to there."""
    if kind in {"text", "empty"}:
        return "avi"
    return "mkv" if kind == "rate" or (kind == "broken" and number // len(KINDS) % 2) else "mp4"


def make_clip(path: Path, kind: str, seed: int, frames: int) -> None:
    """Write one clip; see `KINDS`."""
    if kind == "empty":
        path.touch()
        return
    if kind == "text":
        path.write_text("a list of clips\n")
        return
    faces = {"none": 0, "crowd": 5, "broken": 1}.get(kind, 1 + seed % 2)
    scene = crowd_scene(seed=seed, faces=faces, frames=frames, size=SIZE)
    pictures = (
        [scene.render(number) for number in range(frames)] if faces else [picture(n, SIZE[::-1]) for n in range(frames)]
    )
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.integers(20, 90, frames)).tolist() if kind == "rate" else None
    if kind == "portrait":
        pictures = [np.ascontiguousarray(np.rot90(image)) for image in pictures]
    write_film(path, pictures, "libx264", times_ms=times, matrix=_TURNED if kind == "portrait" else None)
    if kind == "broken":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
