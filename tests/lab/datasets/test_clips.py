"""Clips are read with their labels, and nobody is in two splits."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.clips import Clip, draw_frames, load_clips
from edge_fer.lab.datasets.dataset import Split
from edge_fer.types import LABELS


def write(folder: Path, *clips: str, frames: int = 3, size: int = 8) -> Path:
    """Clips of grey pictures whose values are their numbers."""
    for clip in clips:
        (folder / clip).mkdir(parents=True)
        for number in range(frames):
            cv2.imwrite(str(folder / clip / f"{number + 9}.png"), np.full((size, size), number + 9, np.uint8))
    return folder


def people(count: int, clips: int = 3) -> list[str]:
    return [f"{LABELS[number % 7]}/p{person:02d}_{number:03d}" for person in range(count) for number in range(clips)]


def test_a_clip_is_its_faces_in_the_order_of_time(tmp_path: Path) -> None:
    loaded = load_clips(write(tmp_path, *people(4), frames=12))
    clip = loaded.clips[0]
    assert clip.frames.tolist() == list(range(9, 21))  # by number: 10.png is after 9.png
    assert clip.read()[:, 0, 0].tolist() == list(range(9, 21))
    assert clip.read([2, 0])[:, 0, 0].tolist() == [11, 9]
    assert clip.peak is None
    assert len(loaded) == 12
    assert loaded.labels.tolist() == sorted(loaded.labels.tolist())
    assert loaded.counts().sum() == 12


def test_whole_persons_are_in_a_split_and_always_the_same(tmp_path: Path) -> None:
    first = load_clips(write(tmp_path, *people(20)))
    for split in Split:
        inside = set(first.only(split).subjects)
        assert inside
        assert not inside & {person for other in Split if other != split for person in first.only(other).subjects}
    assert [len(first.only(split)) for split in Split] == [42, 6, 12]
    assert load_clips(tmp_path).splits.tolist() == first.splits.tolist()
    assert load_clips(tmp_path, seed=1).splits.tolist() != first.splits.tolist()


def test_splits_by_clip_must_be_asked_for(tmp_path: Path) -> None:
    write(tmp_path, *people(2, 10))
    with pytest.raises(SourceError, match=r"expected clips of 3 persons or more .* ask for splits by clip"):
        load_clips(tmp_path)
    assert set(load_clips(tmp_path, by="clip").splits.tolist()) == {0, 1, 2}


def test_folders_of_splits_are_kept_and_nobody_may_be_in_two(tmp_path: Path) -> None:
    write(tmp_path / "good", "train/happy/p1_1", "valid/sad/p2_1", "test/anger/p3_1")
    assert load_clips(tmp_path / "good").splits.tolist() == [2, 0, 1]
    write(tmp_path / "bad", "train/happy/p1_1", "test/anger/p1_2")
    with pytest.raises(SourceError, match=r"expected each person in one split of .*, found p1 in"):
        load_clips(tmp_path / "bad")
    assert len(load_clips(tmp_path / "bad", by="clip")) == 2


def test_a_table_says_who_is_who(tmp_path: Path) -> None:
    write(tmp_path, "happy/a_1", "happy/b_1", "sad/c_1", "sad/d_1")
    (tmp_path / "subjects.csv").write_text("clip,person\na_1,anna\nb_1,anna\nc_1,ben\nd_1,eva\n")
    loaded = load_clips(tmp_path)
    assert loaded.subjects == ("anna", "anna", "ben", "eva")
    (tmp_path / "subjects.csv").write_text("clip,person\na_1,anna\n")
    with pytest.raises(SourceError, match="expected the clip b_1 in"):
        load_clips(tmp_path)
    with pytest.raises(SourceError, match="a table with the columns"):
        load_clips(tmp_path, subjects=tmp_path / "who.csv")
    (tmp_path / "subjects.csv").write_text("file,who\n")
    with pytest.raises(SourceError, match="expected the columns clip and person"):
        load_clips(tmp_path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "none", "check the path"),
        (lambda folder: folder, "clips trim` makes them"),
        (lambda folder: write(folder, "glad/p1_1"), "found glad; rename it"),
        (lambda folder: (write(folder, "happy/p1_1"), (folder / "happy" / "x.png").write_bytes(b""))[0], "found x.png"),
        (lambda folder: ((folder / "clips.json").write_text("{}"), folder)[1], "edge-fer/clips/1"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(tmp_path: Path, make, words: str) -> None:
    with pytest.raises(SourceError) as raised:
        load_clips(make(tmp_path))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_faces_of_several_sizes_are_told() -> None:
    mixed = [np.zeros((4, 4), np.uint8), np.zeros((5, 5), np.uint8)]
    with pytest.raises(SourceError, match="expected faces of one size"):
        Clip("a", mixed, 0, "p", np.arange(2)).read()


@given(st.integers(1, 60), st.integers(1, 8), st.integers(0, 99), st.data())
def test_a_frame_is_drawn_from_each_part_and_the_peak_from_its_own(count: int, parts: int, seed: int, data) -> None:
    peak = data.draw(st.none() | st.integers(0, count - 1))
    drawn = draw_frames(count, parts, np.random.default_rng(seed), peak)
    assert drawn.shape == (parts,)
    assert (np.diff(drawn) >= 0).all()
    assert drawn.min() >= 0
    assert drawn.max() < count
    assert peak is None or peak in drawn
    if count >= parts:
        edges = np.arange(parts + 1) * count // parts
        assert ((drawn >= edges[:-1]) & (drawn < edges[1:])).all()
