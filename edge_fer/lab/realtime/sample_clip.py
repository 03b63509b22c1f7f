"""Makes the sample clip that ships with the package, and its truth: `edge-fer lab sample`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2

from edge_fer.errors import OutputError
from edge_fer.lab.realtime.ground_truth import Truth, true_frames, write_truth
from edge_fer.synthetic.portraits import Scene
from edge_fer.synthetic.scenes import FPS, SIZE, sample_scene

VERSION = 1
"""Raised when the same seed makes other pictures than before."""


def make_sample(out: Path, seed: int = 7, entries: int = 6) -> tuple[Path, Path]:
    """Write `sample.mp4` and `sample.json`.

    Args:
        out: folder to write to; made when missing.
        seed: seed of the scene.
        entries: faces that come into view, at least; the shipped clip has 6.

    Returns:
        The clip and its truth.

    Raises:
        OutputError: when either cannot be written.
    """
    scene = sample_scene(seed, entries)
    clip, truth = out / "sample.mp4", out / "sample.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"expected a folder to write to, found {out}: {error.strerror}; choose another") from error
    write_clip(clip, scene)
    sha256 = hashlib.sha256(clip.read_bytes()).hexdigest()
    write_truth(truth, Truth(VERSION, seed, SIZE, FPS, sha256, scene.parts, true_frames(scene)))
    return clip, truth


def write_clip(path: Path, scene: Scene) -> None:
    """Write a scene as MPEG-4 part 2 video, which every build of OpenCV can read.

    Raises:
        OutputError: when the file cannot be written.
    """
    height, width = scene.wall.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (width, height))
    if not writer.isOpened():
        raise OutputError(f"expected to write video to {path}, found that it cannot be opened; choose another folder")
    try:
        for index in range(scene.frames):
            writer.write(scene.render(index))
    finally:
        writer.release()
