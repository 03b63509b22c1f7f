"""The commands, as a person types them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_fer.lab.clips.marks import Marks
from tests.lab.clips.pages import write_clips
from tests.lab.clips.recordings import numbered, write_recording
from tests.lab.clips.test_beeps import sound
from tests.support import ROOT

pytestmark = pytest.mark.slow


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`edge-fer lab clips ...` in a folder."""
    command = [sys.executable, "-m", "edge_fer", "lab", "clips", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_cut_trim_and_agree(tmp_path: Path) -> None:
    write_recording(
        tmp_path / "p01.mp4", [numbered(number) for number in range(350)], sound=sound([2.0, 9.0], 1000, 14)
    )
    cut = call(tmp_path, "cut", "p01.mp4", "--seconds", "3")
    assert cut.returncode == 0, cut.stderr
    assert "2 beeps of 1000 Hz" in cut.stdout
    assert "2 clips of 150 frames in clips" in cut.stdout
    for labeller, peak in (("anna", 9), ("ben", 12)):
        (tmp_path / "clips/marks" / labeller).mkdir(parents=True)
        for name in ("p01_001", "p01_002"):
            (tmp_path / "clips/marks" / labeller / f"{name}.txt").write_bytes(Marks(3, 30, peak).line())
    agreed = call(tmp_path, "agree", "clips/marks/anna", "clips/marks/ben")
    assert "labelled by both: 2 clips" in agreed.stdout
    assert re.search(r"peak +3\.0 +0%", agreed.stdout)
    refused = call(tmp_path, "trim", "clips", "--labeller", "anna", "--whole")
    assert refused.returncode == 3
    assert "nobody said which expression it should show" in refused.stderr
    (tmp_path / "clips/happy").mkdir()
    for path in (tmp_path / "clips").glob("*.mp4"):
        path.rename(tmp_path / "clips/happy" / path.name)
    (tmp_path / "clips/marks/anna/happy").mkdir()
    for path in (tmp_path / "clips/marks/anna").glob("*.txt"):
        path.rename(path.parent / "happy" / path.name)
    trimmed = call(tmp_path, "trim", "clips", "--labeller", "anna", "--whole")
    assert trimmed.returncode == 0, trimmed.stderr
    assert "2 clips of 1 person in tracks" in trimmed.stdout
    assert len(list((tmp_path / "tracks/happiness/p01_001").iterdir())) == 28


def test_bad_input_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    for arguments, code in ((("cut", "none.mp4"), 3), (("trim", "none"), 3), (("agree", "a", "b"), 3), (("label",), 3),
                            (("cut", "a.mp4", "--every", "2", "--runs", "r.jsonl"), 2)):  # fmt: skip
        failed = call(tmp_path, *arguments)
        assert failed.returncode == code, failed.stderr
        assert failed.stderr.count("\n") == 1
        assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_page_and_leaves_no_frames(tmp_path: Path, number: signal.Signals) -> None:
    write_clips(tmp_path / "clips", ("a_1",), count=3)
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "edge_fer", "lab", "clips", "label", str(tmp_path / "clips"), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("1 clip; open http://127.0.0.1:")
        process.stdout.readline()
        assert list((tmp_path / "tmp").iterdir())
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 0, told
    assert "Traceback" not in told
    assert list((tmp_path / "tmp").iterdir()) == []
