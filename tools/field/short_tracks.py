"""A thousand faces that soon leave: `python -m tools.field.short_tracks --tracks 1000`. Not part of the test suite.

A film of short scenes with five faces each is read by `edge-fer run`: to its end; as a camera would deliver it, ended
by SIGTERM; at full speed, ended by SIGTERM; and with its settings read again (SIGHUP) before that. Exit code 0 when
each face that was in a reading left one record, `edge-fer/track/1`, and no more than one, on standard output as in the
file, and the run to the end left as many as asked for; else 1.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import yaml

from tests.support.cut_scenes import FACES, cut_scenes

FPS, FRAMES = 30, 3  # of the film; of each of its scenes

Face = tuple[str, int]
"""Run and id."""


@dataclass(frozen=True)
class Case:
    """One way to read the film.

    Attributes:
        name: for the report.
        signals: sent in turns, each after so many tracks have ended, as a part of all.
        settings: beside the usual ones.
    """

    name: str
    signals: tuple[tuple[float, signal.Signals], ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()


CASES = (
    Case("to the end"),
    Case("as a camera, SIGTERM", ((0.1, signal.SIGTERM),), (("realtime", True),)),
    Case("SIGTERM", ((0.5, signal.SIGTERM),)),
    Case("SIGHUP, SIGTERM", ((0.3, signal.SIGHUP), (0.6, signal.SIGTERM))),
)


class Tally:
    """Counts what a run has said of each face, line by line."""

    def __init__(self) -> None:
        self.shown: Counter[Face] = Counter()
        self.tracks: Counter[Face] = Counter()
        self.seen: dict[Face, int] = {}
        self.late = 0  # readings of a face after its record

    def add(self, line: str | bytes) -> None:
        """Take one record."""
        record = json.loads(line)
        if record["schema"] == "edge-fer/reading/1":
            faces = [(record["run"], face["id"]) for face in record["faces"]]
            self.shown.update(faces)
            self.late += sum(face in self.tracks for face in faces)
        elif record["schema"] == "edge-fer/track/1":
            face = (record["run"], record["id"])
            self.tracks[face] += 1
            self.seen[face] = record["frames_seen"]

    @property
    def faults(self) -> list[str]:
        """What is not as it should be."""
        missing, extra = self.shown.keys() - self.tracks.keys(), self.tracks.keys() - self.shown.keys()
        twice = [face for face, times in self.tracks.items() if times > 1]
        found = {
            "without a record": len(missing), "never shown": len(extra), "twice": len(twice),
            "readings after the record": self.late,
        }  # fmt: skip
        return [f"{count} {what}" for what, count in found.items() if count]

    @property
    def miscounted(self) -> int:
        """Faces whose record counts other readings than there were: some, where readings of a camera are lost."""
        return sum(self.seen.get(face) != times for face, times in self.shown.items())


def write_film(path: Path, tracks: int) -> None:
    """A film with so many faces, or a few more."""
    size = (640, 360)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, size)
    for picture in cut_scenes(-(-tracks // FACES) + 2, FRAMES):  # two more, should a face be missed
        writer.write(picture)
    writer.release()


def write_settings(path: Path, film: Path, case: Case, device: str, how: tuple[str, str]) -> None:
    """The settings of a run by a backend and a model; another device is a change, as a reload needs it."""
    content = {
        "device": device,
        "capture": {"source": str(film), **dict(case.settings)},
        "classify": dict(zip(("backend", "model"), how, strict=True)),
        "publish": {"file": {"path": str(path.with_suffix(".jsonl")), "max_mb": 1000}},
    }
    path.write_text(yaml.safe_dump(content))


def read_film(film: Path, case: Case, tracks: int, how: tuple[str, str]) -> tuple[Tally, Tally, int]:
    """Read it once: what came on standard output, what is in the file, and the exit code."""
    config = film.with_name(f"{CASES.index(case)}.yaml")
    write_settings(config, film, case, "one", how)
    command = [sys.executable, "-m", "edge_fer", "run", "--config", str(config), "--format", "json"]
    heard, due = Tally(), list(case.signals)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            heard.add(line)
            if due and heard.tracks.total() >= due[0][0] * tracks:
                write_settings(config, film, case, "two", how)
                process.send_signal(due.pop(0)[1])
    written = Tally()
    with config.with_suffix(".jsonl").open() as file:
        for line in file:
            written.add(line)
    return heard, written, process.returncode


def main() -> int:
    """Read the film in every way, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=1000)
    parser.add_argument("--backend", default="cpu", help="what classifies: cpu, or fake to save time")
    parser.add_argument("--model", default="se_resnet50", help="the classifier")
    options = parser.parse_args()
    well = True
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.avi"
        write_film(film, options.tracks)
        for case in CASES:
            began = time.monotonic()
            heard, written, code = read_film(film, case, options.tracks, (options.backend, options.model))
            faults = heard.faults + [f"in the file: {fault}" for fault in written.faults]
            if heard.tracks != written.tracks:
                faults.append("the file has others")
            if heard.miscounted:
                faults.append(f"{heard.miscounted} with other readings than counted")
            if not case.signals and len(heard.tracks) < options.tracks:
                faults.append(f"expected {options.tracks} at least")
            well = well and not faults and code == 0
            print(
                f"{case.name}: {len(heard.shown)} faces in {heard.shown.total()} readings left {len(heard.tracks)} "
                f"records in {len({run for run, _ in heard.tracks})} runs, {time.monotonic() - began:.0f} s, exit code "
                f"{code}; {', '.join(faults) or 'none missing, none twice'}",
                flush=True,
            )
    print("all is well" if well else "NOT as it should be")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
