"""What every recording keeps to, whatever it is written as."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edge_fer.errors import OutputError
from edge_fer.publish import recording
from edge_fer.settings import Settings
from tests.publish.recording.films import at, opened, record, shown, times
from tests.support import ROOT
from tests.support.records import make_face_reading, make_reading, make_status

NAMES = ["out.mp4", "out.mkv", "out.avi", "out.jpg", "out.png", "folder/", "%Y-%m-%d/%H-%M-%S.mkv", "%Y%j/"]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_is_recorded_with_its_faces_and_nothing_is_left_beside(tmp_path: Path, name: str) -> None:
    sink = opened(tmp_path, name)
    for frame in range(10):
        sink.publish(make_status(), None)
        reading = replace(at(40.0 * frame, frame), faces=(make_face_reading(),))
        sink.publish(reading, np.full((360, 640, 3), 20 * frame, np.uint8))
    sink.close()
    sink.close()
    made = [tmp_path / file for file in files(tmp_path)]
    if sink.is_film:
        (path,) = made
        pictures = [one.picture for one in shown(path)]
    else:
        pictures = sorted((cv2.imread(str(path)) for path in made), key=lambda picture: picture[-1, -1, 0])
    assert len(pictures) == 10
    assert [round(float(picture[200:, 400:].mean()) / 20) for picture in pictures] == list(range(10))
    assert pictures[0][50:130, 98:103].max() > 150, "the box's left side"
    assert all(path.stat().st_mode & 0o777 == 0o640 for path in made)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_ever_replaced(tmp_path: Path, name: str) -> None:
    """Neither by a second run, nor after a reload, nor by one at the same time."""
    first, second = opened(tmp_path, name), opened(tmp_path, name)
    record(first, at(0))
    record(second, at(0))
    before = {file: (tmp_path / file).stat().st_ino for file in files(tmp_path)}
    first.close()
    second.close()
    third = opened(tmp_path, name)
    record(third, at(0))
    third.close()
    assert len(files(tmp_path)) == 3
    assert all((tmp_path / file).stat().st_ino == inode for file, inode in before.items())
    assert {file.rpartition("-")[2][0] for file in files(tmp_path)} >= {"2", "3"}


@pytest.mark.parametrize("name", NAMES)
def test_without_a_picture_there_is_no_file_and_no_folder(tmp_path: Path, name: str) -> None:
    sink = opened(tmp_path, name)
    sink.publish(make_status(), None)
    sink.close()
    recording.check(Settings.model_validate({"publish": {"record": f"{tmp_path}/{name}"}}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["12:00:00.mkv", "a b\udcff.mp4", "100%%.mkv", "x" * 240 + ".mp4", "Ä-\U0001f600.JPG"])
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        sink = opened(tmp_path, name)
        record(sink, at(0))
        sink.close()
    first = Path(name.replace("%%", "%"))
    assert files(tmp_path) == sorted([first.name, f"{first.stem}-2{first.suffix}"])


def test_names_have_the_time_when_the_file_begins(tmp_path: Path) -> None:
    moments = iter([datetime(2026, 1, 2, 3, 4, 5), datetime(2026, 11, 12, 13, 14, 15)])
    sink = opened(tmp_path, "%Y-%m-%d/%y%j/%H-%M-%S.mkv", now=lambda: next(moments))
    record(sink, at(0))
    sink.close()
    assert files(tmp_path) == ["2026-11-12/26316/13-14-15.mkv"]


def test_a_folder_has_the_names_of_the_pictures(tmp_path: Path) -> None:
    sink = opened(tmp_path, "shots/")
    record(sink, replace(at(0), source_file="/in/b.png", position_ms=None), make_reading(7))
    record(sink, replace(at(0), source_file="/in/50%.webp", position_ms=None))
    sink.close()
    assert files(tmp_path) == ["shots/000007.jpg", "shots/50%.jpg", "shots/b.jpg"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "none/out.mp4",
            r"expected to write the recording .*none/out\.mp4, found: No such file or directory; make room",
        ),
        ("none/%Y/out.mp4", "No such file or directory"),
        ("none/folder/", "No such file or directory"),
        ("file/out.jpg", "Not a directory"),
        ("x" * 300 + ".mkv", "File name too long"),
    ],
)
def test_what_cannot_be_written_is_told_at_once(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=words):
        opened(tmp_path, name)
    with pytest.raises(OutputError, match=words):
        recording.check(Settings.model_validate({"publish": {"record": f"{tmp_path}/{name}"}}))
    assert files(tmp_path) == ["file"]


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=256, f_frsize=4096))


def test_a_disk_that_fills_up_ends_the_recording_and_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (
        "^expected 16 MiB of free space to record .*out.mkv, found 1 MiB; what was recorded so far is kept; "
        "free some space, or choose another place$"
    )
    sink = opened(tmp_path)
    record(sink, at(0), at(40))
    fill_disk(monkeypatch)
    with pytest.raises(OutputError, match=words):
        record(sink, at(80))
    sink.close()
    assert len(times(tmp_path / "out.mkv")) == 2
    with pytest.raises(OutputError, match=words):
        opened(tmp_path)
    assert files(tmp_path) == ["out.mkv"]


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_a_recording_that_is_deleted_or_moved_is_told_and_the_next_one_is_well(tmp_path: Path, name: str) -> None:
    """What is written to a deleted file is lost: it must not look well."""
    sink = opened(tmp_path, f"%Y/{name}")
    record(sink, at(0))
    (tmp_path / "2026").rename(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"2026/out.*, found it moved or deleted; leave it"):
        record(sink, at(40))
    sink.close()
    assert len(times(tmp_path / "elsewhere" / name)) == 1
    sink = opened(tmp_path, f"%Y/{name}")
    record(sink, at(80))
    sink.close()
    assert len(times(tmp_path / "2026" / name)) == 1


KILLED = """
import os, signal, sys
import numpy as np
from edge_fer.publish.recording import Recording
from edge_fer.settings import PublishSettings
from tests.support.records import make_reading
sink = Recording(PublishSettings(record=sys.argv[1]))
noise = np.random.default_rng(0)
for frame in range(100):
    sink.publish(make_reading(frame, captured_ns=frame * 100_000_000), noise.integers(0, 256, (120, 160, 3), np.uint8))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_what_a_run_that_was_killed_has_recorded_plays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    ended = subprocess.run([sys.executable, "-c", KILLED, path], timeout=60, check=False, cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL
    assert len(times(path)) > 70, "all but the last two seconds"
    sink = opened(tmp_path, path.name)
    record(sink, at(0))
    sink.close()
    assert files(tmp_path) == [f"out-2{suffix}", f"out{suffix}"]
