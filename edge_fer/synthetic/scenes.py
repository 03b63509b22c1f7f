"""The motion of faces in synthetic scenes: the shipped sample clip, and crowds of any size.

A scene is a pure function of its arguments; `portraits.py` draws it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from edge_fer.synthetic.portraits import Course, Head, Part, Pose, Scene, load_heads
from edge_fer.types import Image, Point

FPS = 30
"""Frame rate that scenes are made for, frames a second."""
SIZE = (640, 360)
"""Width and height of the pictures, pixels."""

_WALK = 12.0  # speed of a face that comes in or leaves, pixels a frame
_STROLL = 7.0  # speed of a face that passes behind another, pixels a frame
_ENLARGEMENT = 1.6  # a face is drawn at most this much larger than its portrait: detectors need sharp faces
_LEFT, _RIGHT, _UP, _DOWN = Point(-1.0, 0.0), Point(1.0, 0.0), Point(0.0, -1.0), Point(0.0, 1.0)


def sample_scene(seed: int, entries: int = 6, size: tuple[int, int] = SIZE) -> Scene:
    """One large face; no face; three faces; two that pass each other. This repeats until there are enough entries.

    Args:
        seed: the same seed makes the same scene.
        entries: least number of faces that come into view; a round of about 14 s has 6.
        size: width and height of the picture, pixels.
    """
    story = _Story(np.random.default_rng(seed), size)
    while len(story.cast) < entries:
        story.one_face()
        story.no_face()
        story.three_faces()
        story.two_passing()
    return Scene(_wall(story.rng, size), tuple(story.cast), story.now, tuple(story.parts))


def crowd_scene(seed: int, faces: int, frames: int, size: tuple[int, int] = SIZE) -> Scene:
    """Faces that all stay visible from the first frame to the last, each in its own cell of a grid.

    Args:
        seed: the same seed makes the same scene.
        faces: number of faces; 0: an empty wall.
        frames: number of frames.
        size: width and height of the picture, pixels.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    columns = max(1, math.ceil(math.sqrt(faces * width / height)))
    rows = max(1, math.ceil(faces / columns))
    cell = Point(width / columns, height / rows)
    cast = []
    for place, head in enumerate(_choose(rng, faces)):
        row, column = divmod(place, columns)
        tallest = min(cell.x / 1.45, cell.y / 1.8, 220, _ENLARGEMENT * head.height)
        home = Pose((column + 0.5) * cell.x, (row + 0.5) * cell.y, tallest / 1.12, 0)
        room = (cell.x - 1.3 * tallest) / 2, (cell.y - 1.6 * tallest) / 2
        sway = Pose(min(room[0], 0.1 * width), min(room[1], 0.1 * height), 0.12 * home.height, rng.uniform(8, 20))
        cast.append((head, Course(home, sway, *_rhythm(rng))))
    part = Part("crowd", faces, 0, frames)
    return Scene(_wall(rng, size), tuple(cast), frames, (part,))


class _Story:
    """A scene that is being planned, one part after the other.

    Args:
        rng: source of random numbers.
        size: width and height of the picture, pixels.

    Attributes:
        tall: the height of the largest 16:9 picture that fits, pixels; heights of faces are fractions of it.
        cast: the heads and courses so far.
        parts: the parts so far.
        now: the first frame that nothing is planned for.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.rng = rng
        self.width, self.height = size
        self.tall = min(self.height, self.width * 9 / 16)
        self.cast: list[tuple[Head, Course]] = []
        self.parts: list[Part] = []
        self.now = 0

    def one_face(self) -> None:
        """A large face comes in (or, in the first frame, is there already), stays four seconds, and leaves."""
        (head,) = _choose(self.rng, 1)
        tall = min(0.45 * self.tall, _ENLARGEMENT * head.height / 1.3)
        home = Pose(self.width / 2, self.height / 2, tall, 0)
        sway = Pose(0.14 * self.width, 0.05 * self.height, 0.3 * tall, 20)
        sides = (_LEFT, _RIGHT) if self.rng.random() < 0.5 else (_RIGHT, _LEFT)
        arrives = self.now + self._way(home, sway, sides[0]) if self.now else 0
        departs = arrives + 4 * FPS + 1
        self.cast.append((head, Course(home, sway, *_rhythm(self.rng), arrives, departs, *sides, _WALK)))
        self.parts.append(Part("one face", 1, arrives, departs))
        self.now = departs + self._way(home, sway, sides[1])

    def no_face(self) -> None:
        """A second without a face."""
        self.parts.append(Part("nobody", 0, self.now, self.now + FPS))
        self.now += FPS

    def three_faces(self) -> None:
        """Three faces come in one after the other, each from its own side, and leave in the same order."""
        begin, end = self.now, self.now
        stay = round(2.5 * FPS)
        for place, head in enumerate(_choose(self.rng, 3)):
            tall = self.rng.uniform(0.22, 0.3) * self.tall
            home = Pose((2 * place + 1) / 6 * self.width, self.rng.uniform(0.4, 0.6) * self.height, tall, 0)
            sway = Pose(0.02 * self.width, 0.06 * self.height, 0.2 * tall, self.rng.uniform(10, 20))
            side = (_LEFT, _UP if self.rng.random() < 0.5 else _DOWN, _RIGHT)[place]
            way = self._way(home, sway, side)
            arrives = self.now + way + 10 * place
            departs = arrives + stay
            self.cast.append((head, Course(home, sway, *_rhythm(self.rng), arrives, departs, side, side, _WALK)))
            begin, end = max(begin, arrives), max(end, departs + way)
        first_departs = min(int(course.departs) for _, course in self.cast[-3:])
        self.parts.append(Part("three faces", 3, begin, first_departs))
        self.now = end

    def two_passing(self) -> None:
        """One face stays while another passes behind it and is partly covered on the way."""
        passer, stander = _choose(self.rng, 2)
        tall = min(0.4 * self.tall, _ENLARGEMENT * stander.height / 1.1)
        home = Pose(self.rng.uniform(0.4, 0.6) * self.width, 0.4 * self.height, tall, 0)
        sway = Pose(0.03 * self.width, 0.02 * self.height, 0.1 * tall, self.rng.uniform(10, 20))
        lane = Pose(self.width / 2, 0.78 * self.height, 0.22 * self.tall, 0)
        lane_sway = Pose(0, 0.02 * self.height, 0.1 * lane.height, self.rng.uniform(10, 20))
        sides = (_LEFT, _RIGHT) if self.rng.random() < 0.5 else (_RIGHT, _LEFT)
        half = self._way(lane, lane_sway, sides[0], _STROLL)
        middle = self.now + half
        passing = Course(lane, lane_sway, *_rhythm(self.rng), middle, middle, *sides, _STROLL)
        arrives = self.now + self._way(home, sway, _UP)
        departs = middle + half - self._way(home, sway, _UP)
        standing = Course(home, sway, *_rhythm(self.rng), arrives, departs, _UP, _UP, _WALK)
        self.cast += [(passer, passing), (stander, standing)]
        self.now = middle + half

    def _way(self, home: Pose, sway: Pose, side: Point, speed: float = _WALK) -> int:
        """Number of frames from home until the face is wholly out of view."""
        to_edge = {_LEFT: home.x, _RIGHT: self.width - home.x, _UP: home.y, _DOWN: self.height - home.y}[side]
        beyond = abs(side.x) * sway.x + abs(side.y) * sway.y + 0.9 * (home.height + sway.height)
        return math.ceil((to_edge + beyond) / speed)


def _choose(rng: np.random.Generator, count: int) -> list[Head]:
    """Choose heads: different persons first; in a large crowd each head repeats."""
    heads = [load_heads()[place] for place in rng.permutation(len(load_heads()))]
    persons = [head.person for head in heads]
    order = sorted(range(len(heads)), key=lambda place: persons[:place].count(persons[place]))
    return [heads[order[place % len(order)]] for place in range(count)]


def _rhythm(rng: np.random.Generator) -> tuple[Pose, Pose]:
    """A random period (frames) and phase (radians) for each value of a sway."""
    return Pose(*rng.uniform(100, 150, 4).tolist()), Pose(*rng.uniform(0, 2 * math.pi, 4).tolist())


def _wall(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """A wall in uneven light, `(height, width, 3)` uint8, BGR: a gradient of four muted colours, blotches and grain."""
    width, height = size
    corners = rng.uniform(60, 180, (2, 2, 1)) + rng.uniform(-20, 20, (2, 2, 3))
    across, down = np.linspace(0, 1, width)[:, None], np.linspace(0, 1, height)[:, None, None]
    top, bottom = (row[0] * (1 - across) + row[1] * across for row in corners)
    blotches = cv2.resize(rng.normal(0, 6, (6, 9)), size, interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 2, (height, width))
    wall = top * (1 - down) + bottom * down + (blotches + grain)[..., None]
    return np.asarray(np.clip(np.rint(wall), 0, 255), dtype=np.uint8)
