"""One scene after the other, each with faces of its own: many short tracks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache

from edge_fer.faces.keyframes import is_cut, shrink
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Image

FACES = 5
"""Faces in each scene."""

_POOL = 6


def cut_scenes(scenes: int, frames: int) -> Iterator[Image]:
    """The pictures of so many scenes, of so many frames each; every change of scene is a cut.

    Args:
        scenes: how many.
        frames: pictures of each.
    """
    for scene in itertools.islice(itertools.cycle(_pool(frames)), scenes):
        yield from scene


@cache
def _pool(frames: int) -> tuple[tuple[Image, ...], ...]:
    """Scenes of which each is another than the one before it, round and round."""
    pool: list[tuple[Image, ...]] = []
    for seed in itertools.count():
        scene = crowd_scene(seed=seed, faces=FACES, frames=frames)
        pictures = tuple(scene.render(frame) for frame in range(frames))
        if not pool or _differ(pool[-1][-1], pictures[0]):
            pool.append(pictures)
        if len(pool) >= _POOL and _differ(pool[-1][-1], pool[0][0]):
            return tuple(pool)
    raise AssertionError("seeds do not end")


def _differ(one: Image, other: Image) -> bool:
    return is_cut(shrink(one), shrink(other))
