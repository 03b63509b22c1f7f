"""What the page does, without a page: keys, undo, what is kept and where one goes on."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fer.errors import ConfigError, OutputError, SourceError
from edge_fer.lab.clips.claim import MarksClaim
from edge_fer.lab.clips.frames import FrameCache
from edge_fer.lab.clips.labelling import Labelling
from edge_fer.lab.clips.marks import Marks
from edge_fer.lab.clips.saved import (
    MarksRecord,
    Place,
    expected_in_name,
    find_places,
    read_saved,
    save,
)
from tests.lab.clips.pages import labelling, write_clips
from tests.lab.clips.recordings import number_in, numbered, write_recording
from tests.support import ROOT

RECORD = MarksRecord(sha256="ab", fps=25, frames=20, expected="fear", labeller=None, at="2026-11-30T12:00:00+00:00")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(clips: Path, tmp_path: Path) -> Path:
    """Three clips of 20 frames without marks."""
    (tmp_path / "clips").mkdir()
    for path in clips.glob("*.mp4"):
        (tmp_path / "clips" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "clips"


def press(session: Labelling, index: int, *keys: tuple[str, int]) -> dict:
    answer: dict = {}
    for key, frame in keys:
        answer = session.press(index, key, frame)
    return answer


MARKED = (("S", 3), ("S", 18), ("S", 9))


def test_e_writes_both_files_and_goes_on(folder: Path) -> None:
    with labelling(folder) as session:
        answer = press(session, 0, *MARKED, ("G", 0), ("E", 0))
        assert (answer["saved"], answer["next"], answer["unsaved"]) == (True, 1, False)
        assert [clip["status"] for clip in session.overview()["clips"]] == ["excluded", "open", "open"]
    assert (folder / "p01_001_happiness.txt").read_bytes() == b"3\t18\t9\t1\t0\t0\t0\t0\n"
    record = json.loads((folder / "p01_001_happiness.json").read_text())
    assert record.pop("sha256") == hashlib.sha256(
        (folder / "p01_001_happiness.mp4").read_bytes()).hexdigest()  # fmt: skip
    assert record == {
        "schema": "edge-fer/marks/1",
        "fps": 25.0,
        "frames": 20,
        "expected": "happiness",
        "labeller": None,
        "at": "2026-11-30T12:00:00+00:00",
    }


def test_labelling_goes_on_where_it_was_left(folder: Path) -> None:
    with labelling(folder) as session:
        press(session, 0, *MARKED, ("E", 0))
        press(session, 1, ("S", 1))  # and is not saved
    with labelling(folder) as session:
        assert session.overview()["next"] == 1
        assert session.clip(0)["marks"]["peak"] == 9
        assert session.clip(1)["marks"]["start"] is None


def test_what_is_missing_is_said_and_nothing_is_written(folder: Path) -> None:
    with labelling(folder) as session:
        assert "The end is not marked yet" in press(session, 0, ("S", 3), ("E", 0))["message"]
        assert "Which expression" in press(session, 1, *MARKED, ("E", 0))["message"]
        assert list(folder.glob("*.txt")) == []
        assert press(session, 1, ("7", 0), ("E", 0))["saved"]
        assert json.loads((folder / "p01_002.json").read_text())["expected"] == "neutral"


def test_z_takes_back_one_step_after_the_other(folder: Path) -> None:
    with labelling(folder) as session:
        states = [session.clip(0)]
        for key in (*MARKED, ("T", 0), ("5", 0), ("W", 0)):
            states.append(session.press(0, *key))
        for before in reversed(states[:-1]):
            now = session.press(0, "Z", 0)
            assert (now["marks"], now["expected"]) == (before["marks"], before["expected"])
        assert session.press(0, "Z", 0)["message"] == "There is nothing to take back."
        assert not session.clip(0)["unsaved"]


def test_a_refused_key_is_no_step(folder: Path) -> None:
    with labelling(folder) as session:
        assert "before the start" in press(session, 0, ("S", 5), ("S", 2))["message"]
        assert press(session, 0, ("Z", 0))["marks"]["start"] is None


def test_q_forgets_what_is_not_saved(folder: Path) -> None:
    with labelling(folder) as session:
        press(session, 0, *MARKED, ("E", 0), ("W", 0))
        assert session.clip(0)["status"] == "unsaved"
        assert press(session, 0, ("Q", 0))["marks"]["peak"] == 9
        assert session.press(0, "Z", 0)["message"]


def test_labellers_do_not_see_each_others_marks(folder: Path) -> None:
    for labeller, peak in (("anna", 9), ("ben", 10)):
        with labelling(folder, labeller) as session:
            assert session.overview()["next"] == 0
            press(session, 0, ("S", 3), ("S", 18), ("S", peak), ("E", 0))
    peaks = [(folder / "marks" / name / "p01_001_happiness.txt").read_text().split()[2] for name in ("anna", "ben")]
    assert peaks == ["9", "10"]
    assert json.loads((folder / "marks/ben/p01_001_happiness.json").read_text())["labeller"] == "ben"
    assert len(find_places(folder)) == 3  # marks are no clips
    with pytest.raises(ConfigError, match="expected --labeller"):
        find_places(folder, "../ben")


def test_damaged_marks_are_told_and_can_be_made_again(folder: Path) -> None:
    (folder / "p01_002.txt").write_text("3 2 1")
    with labelling(folder) as session:
        assert session.overview()["clips"][1]["status"] == "damaged"
        assert "expected eight integers" in session.clip(1)["note"]
        press(session, 1, *MARKED, ("4", 0), ("E", 0))
        assert session.clip(1)["note"] == ""


def test_a_clip_that_is_another_file_now_is_told(folder: Path) -> None:
    with labelling(folder) as session:
        press(session, 0, *MARKED, ("E", 0))
    write_recording(folder / "p01_001_happiness.mp4", [numbered(number) for number in range(12)])
    with labelling(folder) as session:
        assert "The end is marked at frame 18, and the clip has 12 frames" in session.clip(0)["note"]


def test_strange_requests_are_refused_in_one_line(folder: Path) -> None:
    with labelling(folder) as session:
        for index, key, frame in ((3, "S", 0), (-1, "S", 0), (0, "S", 20), (0, "S", -1), (0, "F", 0), (0, "SS", 0)):
            with pytest.raises(SourceError):
                session.press(index, key, frame)
        with pytest.raises(SourceError):
            session.jpeg(0, 20)


def test_what_is_no_clip_is_told(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="expected clips"):
        find_places(tmp_path / "empty")
    (folder / "p01_002.mkv").write_bytes(b"")
    with pytest.raises(SourceError, match="expected one clip of each name"):
        find_places(folder)
    (folder / "p01_002.mp4").unlink()
    with labelling(folder) as session, pytest.raises(SourceError, match="cannot be decoded"):
        session.clip(1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.mp4", None), ("happy/a.mp4", "happiness"), ("p1_003_sadness.mp4", "sadness"), ("fear/p1_angry.mp4", "fear"),
     ("contempt/a.mp4", None), ("p01-Surprised-2.mp4", "surprise"), ("sadly.mp4", None),
     ("joy_001.mp4", None), ("joy_001_fear.mp4", "fear")],
)  # fmt: skip
def test_the_expected_expression_is_in_the_name(name: str, expected: str | None) -> None:
    assert expected_in_name(Path("/clips/anger") / name, Path("/clips/anger")) == expected


def test_frames_are_those_of_the_clip_by_number_and_bounded_on_the_disk(folder: Path) -> None:
    places = find_places(folder)
    with FrameCache() as cache:
        frames = [cache.open(place.clip) for place in places]
        for number in (0, 7, 19, 3):
            jpeg = cv2.imdecode(np.frombuffer(frames[1].jpeg(number), np.uint8), cv2.IMREAD_COLOR)
            assert number_in(jpeg) == number
        home, taken = frames[0].folder.parent, frames[0].taken
        assert not frames[0].is_variable
    assert not home.exists()
    with FrameCache(2.5 * taken / 1e6) as cache:
        frames = [cache.open(place.clip) for place in places]
        assert [one.folder.exists() for one in frames] == [False, True, True]
        assert cache.open(places[0].clip).jpeg(0)
    with FrameCache(0.5 * taken / 1e6) as cache, pytest.raises(SourceError, match="cut it"):
        cache.open(places[0].clip)


KILL = """
import os, signal, sys
from pathlib import Path
from edge_fer.lab.clips.marks import Marks
from edge_fer.lab.clips.saved import MarksRecord, Place, save
step, calls = int(sys.argv[1]), 0
def counted(name, function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == step:
            if name == "write":
                arguments[0].write(arguments[1][:3]); arguments[0].flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
os.fsync = counted("fsync", os.fsync)
Path.replace = counted("replace", Path.replace)
Path.unlink = counted("unlink", Path.unlink)
record = MarksRecord(sha256="cd", fps=25, frames=20, expected="anger", labeller=None, at="later")
save(Place(Path("c.mp4"), Path("c")), Marks(5, 9, 7), record)
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", range(1, 8))
def test_a_kill_during_save_leaves_each_file_whole(tmp_path: Path, step: int) -> None:
    place = Place(tmp_path / "c.mp4", tmp_path / "c")
    save(place, Marks(3, 19, 8), RECORD)
    killed = subprocess.run(
        [sys.executable, "-c", KILL, str(step)], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=False
    )
    saved = read_saved(place)
    assert saved is not None
    assert saved.record is not None
    if step <= 6:  # flush, rename and clean up: first the record, then the marks
        assert killed.returncode == -9
    assert saved.marks == (Marks(5, 9, 7) if step >= 6 else Marks(3, 19, 8))
    assert saved.record.expected == ("anger" if step >= 3 else "fear")


def test_a_full_disk_leaves_the_old_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path / "c.mp4", tmp_path / "c")
    save(place, Marks(3, 19, 8), RECORD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save(place, Marks(5, 9, 7), RECORD)
    saved = read_saved(place)
    assert saved is not None
    assert saved.marks == Marks(3, 19, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json", "c.txt"]


def test_two_pages_never_write_the_same_marks(folder: Path) -> None:
    with labelling(folder), labelling(folder, "anna"), labelling(folder, "ben"):
        for labeller in (None, "anna"):
            with (
                pytest.raises(ConfigError, match=r"found another one open; .*--labeller\)$"),
                labelling(folder, labeller),
            ):
                pass
    with labelling(folder) as session:
        assert len(session) == 3


@pytest.mark.slow
def test_a_page_that_was_killed_locks_nobody_out(folder: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom edge_fer.lab.clips.claim import MarksClaim\n"
        "claim = MarksClaim(Path(sys.argv[1]))\nprint('claimed', flush=True)\ntime.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"claimed\n"
            with pytest.raises(ConfigError, match="found another one open"):
                MarksClaim(folder)
        finally:
            process.kill()
    with labelling(folder) as session:
        assert len(session) == 3


def test_where_there_are_no_locks_one_is_told_and_may_label(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with labelling(folder):
        pass
    assert "label on one page only" in caplog.text
