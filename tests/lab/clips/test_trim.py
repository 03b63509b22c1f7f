"""Trimmed clips: the frames from start to end, to the number; what is left out and why; and the loader's way back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fer.capture.sources.sample import CLIP
from edge_fer.errors import OutputError, SourceError
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.clips.cut import CutOptions, cut_recording
from edge_fer.lab.clips.marks import Marks
from edge_fer.lab.clips.saved import MarksRecord, find_places, save, sha256_of
from edge_fer.lab.clips.trimming import TrimOptions, trim_clips
from edge_fer.lab.console import SilentReporter
from edge_fer.lab.datasets.clips import load_clips
from edge_fer.lab.datasets.clips_record import read_clips_record
from edge_fer.settings import ClassifySettings
from edge_fer.types import Label
from tests.lab.clips.recordings import frames_in, number_in, numbered, write_recording
from tests.lab.clips.test_cut import Heard

WHOLE = TrimOptions(whole=True)


def mark(
    folder: Path, marks: Mapping[str, Marks], expected: Label | None = "fear", labeller: str | None = None
) -> None:
    """Save marks for clips by name."""
    for place in find_places(folder, labeller):
        if place.clip.stem in marks:
            record = MarksRecord(sha256=sha256_of(place.clip), fps=25, frames=40, expected=expected, labeller=labeller,
                                 at="2026-11-30T12:00:00+00:00")  # fmt: skip
            save(place, marks[place.clip.stem], record)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording of 120 numbered frames, cut into three clips of 40."""
    film = write_recording(tmp_path / "long.mp4", [numbered(number) for number in range(120)])
    cut_recording(film, tmp_path / "clips", CutOptions(every_s=1.6, person="p01"), SilentReporter())
    return tmp_path / "clips"


def shown(clip: Path) -> tuple[list[int], list[int]]:
    """The numbers in the names of a clip's pictures, and those that are drawn into the pictures."""
    paths = sorted(clip.iterdir())
    return [int(path.stem) for path in paths], [number_in(cv2.imread(str(path))) for path in paths]


def test_trimmed_frame_numbers_equal_the_counter_in_the_picture(folder: Path, tmp_path: Path) -> None:
    mark(folder, {"p01_001": Marks(3, 30, 9), "p01_002": Marks(0, 39, 39), "p01_003": Marks(7, 7, 7)})
    record = trim_clips(folder, tmp_path / "out", WHOLE, SilentReporter())
    for name, begin, numbers in (("p01_001", 0, range(3, 31)), ("p01_002", 40, range(40)), ("p01_003", 80, [7])):
        named, drawn = shown(tmp_path / "out" / "fear" / name)
        assert named == list(numbers)
        assert drawn == [begin + number for number in numbers]
    first = record.clips[0]
    assert (first.start, first.end, first.peak, first.person) == (3, 30, 9, "p01")
    assert first.times_ms[0] == 3 * 40
    assert read_clips_record(tmp_path / "out") == record


@pytest.mark.parametrize(
    ("marks", "why"),
    [
        (Marks(1, 5, 3, non_correlating=True), "marked: non-correlating expression"),
        (Marks(1, 5, 3, heavy=True), "marked: heavy face occlusion"),
        (Marks(other=True), "marked: other"),
        (Marks(1, 40, 3), "its end is marked at frame 40, and there are 40 frames"),
    ],
)
def test_what_is_left_out_and_why(folder: Path, tmp_path: Path, marks: Marks, why: str) -> None:
    mark(folder, {"p01_001": Marks(1, 5, 3, limb=True, low=True), "p01_002": marks})
    report = Heard()
    record = trim_clips(folder, tmp_path / "out", WHOLE, report)
    assert [clip.folder for clip in record.clips] == ["fear/p01_001"]
    assert record.left_out["p01_002.mp4"].startswith(why)
    assert record.left_out["p01_003.mp4"] == "not labelled yet"
    assert any(why in line for line in report.lines)
    if marks.is_marked and marks.is_excluded:
        kept = trim_clips(folder, tmp_path / "out", TrimOptions(whole=True, excluded=()), report)
        assert len(kept.clips) == 2


def test_a_clip_that_was_replaced_or_has_no_label_is_left_out(folder: Path, tmp_path: Path) -> None:
    mark(folder, {"p01_001": Marks(1, 5, 3), "p01_002": Marks(1, 5, 3)})
    mark(folder, {"p01_003": Marks(1, 5, 3)}, expected=None)
    write_recording(folder / "p01_002.mp4", [numbered(number) for number in range(20)])
    record = trim_clips(folder, tmp_path / "out", WHOLE, SilentReporter())
    assert "another file" in record.left_out["p01_002.mp4"]
    assert "nobody said which expression" in record.left_out["p01_003.mp4"]


def test_marks_of_a_labeller_and_plain_marks_files_are_enough(folder: Path, tmp_path: Path) -> None:
    mark(folder, {"p01_001": Marks(1, 5, 3)}, labeller="anna")
    with pytest.raises(SourceError, match="none to take among 3; the last reason: not labelled yet"):
        trim_clips(folder, tmp_path / "out", WHOLE, SilentReporter())
    assert not (tmp_path / "out").exists()
    assert len(trim_clips(folder, tmp_path / "out", TrimOptions("anna", whole=True), SilentReporter()).clips) == 1
    (folder / "happy").mkdir()
    (folder / "p01_002.mp4").rename(folder / "happy" / "p01_002.mp4")
    (folder / "happy" / "p01_002.txt").write_text("3 9 4 0 0 0 0 0")  # of another tool
    assert trim_clips(folder, tmp_path / "out", WHOLE, SilentReporter()).clips[0].folder == "happiness/p01_002"


def test_a_table_beside_the_clips_says_who_is_who(folder: Path, tmp_path: Path) -> None:
    mark(folder, {name: Marks(1, 5, 3) for name in ("p01_001", "p01_002", "p01_003")})
    (folder / "subjects.csv").write_text("clip,person\np01_001,anna\np01_002,ben\n")
    record = trim_clips(folder, tmp_path / "out", WHOLE, SilentReporter())
    assert [clip.person for clip in record.clips] == ["anna", "ben"]
    assert record.left_out["p01_003.mp4"].startswith("expected the clip p01_003 in")


def test_nobody_s_files_are_replaced(folder: Path, tmp_path: Path) -> None:
    mark(folder, {"p01_001": Marks(1, 5, 3)})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.pdf").write_text("years of work")
    for out in (tmp_path / "out", folder, folder / "out", tmp_path):
        with pytest.raises(OutputError):
            trim_clips(folder, out, WHOLE, SilentReporter())
    assert (tmp_path / "out" / "thesis.pdf").read_text() == "years of work"


@pytest.mark.slow
def test_the_runtime_finds_and_cuts_the_face_of_the_clip(tmp_path: Path) -> None:
    pictures = [image for _, image in frames_in(CLIP)[60:100]]
    (tmp_path / "clips").mkdir()
    for number in (1, 2, 3, 4):
        write_recording(tmp_path / "clips" / f"p{number}_001.mp4", pictures)
    mark(tmp_path / "clips", {f"p{number}_001": Marks(10, 35, 20) for number in (1, 2, 3, 4)}, expected="happiness")
    record = trim_clips(tmp_path / "clips", tmp_path / "out", TrimOptions(), SilentReporter())
    usual = ClassifySettings().model
    assert (record.content, record.classifier) == ("faces", usual)
    size = ModelStore().spec(usual, "classify").input.size
    assert record.size == size
    assert record.clips[0].frames == tuple(range(10, 36))
    loaded = load_clips(tmp_path / "out")
    assert loaded.crop == record.crop
    clip = loaded.clips[0]
    assert clip.read().shape == (26, size, size)
    assert clip.peak == 10
    assert float(np.std(clip.read())) > 20  # a face, not a flat picture
    assert sorted(loaded.splits.tolist()) == [0, 0, 1, 2]
