"""Rows, jobs and recordings for these tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_fer.archive.job import Job
from edge_fer.archive.labelling import PART_FACES, PART_FRAMES, Part
from edge_fer.archive.recordings import Recording
from edge_fer.archive.tables import write_table
from edge_fer.settings import load_settings
from edge_fer.types import LABELS

SETTINGS = load_settings(environment={}, flags={"classify.backend": "fake"})


def a_job(out: Path, **changed: Any) -> Job:
    """A job that needs no network to be made."""
    given = {"form": "parquet", "every": 1, "fps": None, "segment_s": None, "networks": {"lite": "0"}, **changed}
    return Job(settings=given.pop("settings", SETTINGS), out=out, abstain_below=0.5, **given)


def a_face(key: int, x: float = 0.0, label: str | None = "neutral", **changed: Any) -> dict[str, Any]:
    """A face of a part: 10x10 pixels, at x."""
    probabilities = {f"p_{one}": 1.0 if one == (label or "neutral") else 0.0 for one in LABELS}
    place = {"id": key, "x": x, "y": 0.0, "width": 10.0, "height": 10.0, "score": 1.0}
    shown = {"label": label, "confidence": 1.0, "why": None if label else "unsure"}
    pose = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "eye_distance": 40.0, "blur": 0.02}
    return {**place, **shown, **probabilities, **pose, **changed}


def write_part(folder: Path, frames: dict[int, list[dict[str, Any]]], period_ns: int = 10**9) -> Path:
    """A part: the faces of each frame, by its number, a second each."""
    folder.mkdir(parents=True)
    with (folder / "frames").open("wb") as frames_file, (folder / "faces").open("wb") as faces_file:
        frame_table = write_table(frames_file, "parquet", PART_FRAMES, {})
        face_table = write_table(faces_file, "parquet", PART_FACES, {})
        for number, faces in frames.items():
            place = {"frame": number, "position_ns": number * period_ns}
            frame_table.add({**place, "faces": len(faces)})
            for face in faces:
                face_table.add({**place, **face})
        frame_table.close()
        face_table.close()
    return folder


def a_part(**changed: Any) -> Part:
    """What a segment came to."""
    given = {
        "identity": "1", "size": (64, 48), "recorded_at": None, "frames": 1, "lost": 0, "damaged": 0, "broken": None,
        "warnings": (), **changed,
    }  # fmt: skip
    return Part(**given)


def a_recording(name: str = "a.mp4", folder: Path = Path("/nowhere")) -> Recording:
    """A recording, which may not be there."""
    return Recording(name, str(folder / name))
