"""Which recordings a command names, and under which names their tables are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fer.archive.recordings import Recording, find_recordings
from edge_fer.errors import ConfigError, SourceError


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Films and other files, in a folder with folders in it."""
    for name in (
        "b.mp4",
        "a.MKV",
        "day/1/c.avi",
        "day/notes.txt",
        "photo.jpg",
        ".hidden.mp4",
        ".trash/d.mp4",
        "out/e.mp4",
    ):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode())
    return tmp_path / "in"


def names(*paths: str | Path, out: Path = Path("/nowhere")) -> list[str]:
    return [one.name for one in find_recordings(map(str, paths), out).recordings]


def test_a_folder_means_all_films_in_it_and_in_its_folders(archive: Path) -> None:
    found = find_recordings([str(archive)], archive / "out")
    assert [one.name for one in found.recordings] == ["a.MKV", "b.mp4", "day/1/c.avi"]
    assert found.left_out == {".txt": 1, ".jpg": 1}
    assert [Path(one.address) for one in found.recordings] == [archive / one.name for one in found.recordings]


def test_a_file_that_is_named_may_end_as_it_likes(archive: Path) -> None:
    assert names(archive / "photo.jpg", archive / "day/1/c.avi") == ["c.avi", "photo.jpg"]


def test_patterns_are_found(archive: Path) -> None:
    assert names(f"{archive}/**/*.avi", f"{archive}/d*") == ["1/c.avi", "c.avi"]


def test_the_same_recording_twice_is_one(archive: Path) -> None:
    assert names(archive / "b.mp4", f"{archive}/day/../b.mp4") == ["b.mp4"]


def test_two_recordings_of_one_name_are_refused(archive: Path) -> None:
    (archive / "day/b.mp4").write_bytes(b"another")
    with pytest.raises(ConfigError, match=r"different names, found .*b\.mp4 and .*day/b\.mp4; name a folder"):
        names(archive / "b.mp4", archive / "day/b.mp4")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nowhere/a.mp4", "found nothing at /nowhere/a.mp4"),
        ("/nowhere/*.mp4", r"recordings that match /nowhere/\*\.mp4, found none"),
        ("s3://bucket", "which names no file"),
        ("http://[::1/a.mp4", "expected a URL"),
    ],
)
def test_what_is_not_there_is_told(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        names(path)


def test_a_url_is_called_by_host_and_path(archive: Path) -> None:
    assert names("https://user:secret@store.example/a%20b/../c.mp4?key=1") == ["store.example/a b/c.mp4"]
    assert "secret" not in Recording("x", "https://user:secret@store.example/c.mp4").shown


@settings(max_examples=30)
@given(st.text(max_size=30))
def test_no_url_has_a_name_outside_the_folder(text: str) -> None:
    try:
        (name,) = names(f"s3://bucket/{text}")
    except ConfigError:
        return
    assert ".." not in Path(name).parts
    assert not name.startswith("/")
    assert "\0" not in name or "\0" in text


def test_another_size_or_time_is_another_recording(archive: Path) -> None:
    recording = Recording("b", str(archive / "b.mp4"))
    before = recording.identity()
    assert recording.identity() == before
    os.utime(archive / "b.mp4", ns=(0, 1))
    assert recording.identity() != before
    (archive / "b.mp4").unlink()
    with pytest.raises(SourceError, match="found: No such file or directory; check the path"):
        recording.identity()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (b"\xff.mp4", r"expected a file name in UTF-8, found \\udcff\.mp4; rename it"),
        (b"a" * 240 + b".mp4", "expected a name of at most 200 bytes, found 244; rename it"),
    ],
)
def test_a_name_that_tables_cannot_have_is_that_recordings_problem(tmp_path: Path, name: bytes, problem: str) -> None:
    for one in (name, b"good.mp4"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + one)).touch()
    good, bad = sorted(
        find_recordings([str(tmp_path)], tmp_path / "out").recordings, key=lambda one: one.problem is not None
    )
    assert good.identity()
    bad.name.encode()
    with pytest.raises(SourceError, match=problem):
        bad.identity()


def test_a_link_to_nothing_is_no_silent_loss(tmp_path: Path) -> None:
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "round.mp4").symlink_to("round.mp4")
    found = find_recordings([str(tmp_path)], tmp_path / "out").recordings
    assert [one.name for one in found] == ["gone.mp4", "round.mp4"]
    for one in found:
        with pytest.raises(SourceError, match="expected a recording at"):
            one.identity()


def test_a_folder_that_cannot_be_read_is_no_silent_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.mp4").touch()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    good, bad = find_recordings([str(tmp_path)], tmp_path / "out").recordings
    assert (good.name, bad.name) == ("a.mp4", "locked")
    with pytest.raises(SourceError, match=r"expected a folder of recordings at .*locked, found: Permission denied"):
        bad.identity()
