from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.errors import ConfigError
from edge_fer.settings import Settings, load_settings
from edge_fer.settings.recording_name import RecordingName, Segment, parse_segment

AT = datetime(2026, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("text", "base", "path"),
    [
        ("out.mp4", ".", "out.mp4"),
        ("a/b/out.MKV", "a/b", "a/b/out.MKV"),
        ("/var/lib/edge-fer/%Y-%m-%d/%H-%M-%S.mkv", "/var/lib/edge-fer", "/var/lib/edge-fer/2026-01-02/03-04-05.mkv"),
        ("/a/%y/b/%j.jpg", "/a", "/a/26/b/002.jpg"),
        ("shots/", ".", "shots/picture.jpg"),
        ("/a/%Y/shots/", "/a", "/a/2026/shots/picture.jpg"),
        ("100%%.png", ".", "100%.png"),
        ("/x.mkv", "/", "/x.mkv"),
        ("../x.mkv", "..", "../x.mkv"),
    ],
)
def test_names_become_paths_below_a_folder_that_must_exist(text: str, base: str, path: str) -> None:
    name = RecordingName(text)
    assert (name.base, name.path(AT, "picture")) == (Path(base), Path(path))


@given(
    st.lists(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=8), max_size=3),
    st.sampled_from(["%Y", "%H-%M-%S", "%y%%%j", "a", "-2"]),
    st.sampled_from([".mkv", ".MP4", ".jpg"]),
    st.datetimes(datetime(1970, 1, 1)),
)
def test_every_path_is_known_again_by_its_patterns(folders: list[str], stem: str, suffix: str, at: datetime) -> None:
    """So that what was recorded is deleted some day, and nothing else."""
    name = RecordingName("/".join([*(folder.replace("%", "%%") for folder in folders), stem + suffix]))
    path, patterns = name.path(at, ""), list(name.patterns())
    parts = path.relative_to(name.base).parts
    assert [bool(pattern.fullmatch(part)) for pattern, part in zip(patterns, parts, strict=True)] == [True] * len(parts)
    assert patterns[-1].fullmatch(f"{path.stem}-7{path.suffix}")
    assert not patterns[-1].fullmatch(f"x{path.name}")
    assert not patterns[-1].fullmatch(f"{path.name}.txt")


@given(st.text())
def test_any_text_is_a_name_or_refused_in_one_line(text: str) -> None:
    try:
        name = RecordingName(text)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert name.suffix in (".mp4", ".mkv", ".avi", ".jpg", ".jpeg", ".png")
        assert list(name.patterns())
        assert name.path(AT, "picture").suffix.lower() == name.suffix


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "such as out.mp4, found ''; choose one"),
        ("a/.mp4", "such as out.mp4, found 'a/.mp4'"),
        (
            "out.gif",
            "ends in one of .mp4, .mkv, .avi, .jpg, .jpeg, .png, or a folder for pictures that ends in /",
        ),
        ("out", "ends in one of"),
        ("a%q.mp4", "expected one of %Y, %y, %m, %d, %j, %H, %M, %S, %% in a recording's name, found %q in 'a%q.mp4'"),
        ("a%.mp4", "found %. in"),
        ("%", "ends in one of"),
        ("a\0.mp4", "choose one"),
    ],
)
def test_what_is_no_name_is_an_error_of_the_settings(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(environment={}, flags={"publish.record": text})
    assert "setting `publish.record`: " in str(caught.value)
    assert words in str(caught.value)


def test_a_path_is_a_name() -> None:
    assert Settings.model_validate({"publish": {"record": Path("a/b.mp4")}}).publish.record == "a/b.mp4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", Segment(90)),
        ("10 min", Segment(600)),
        ("1.5 h", Segment(5400)),
        (" 500 MB ", Segment(None, 5e8)),
        ("2GB", Segment(None, 2e9)),
    ],
)
def test_a_segment_is_a_duration_or_a_size(text: str, expected: Segment) -> None:
    assert parse_segment(text) == expected


@pytest.mark.parametrize("text", ["", "10", "10 days", "0 s", "0.5 s", "0.9 MB", "-1 h", "1e9 h", "1 h 5 min", "٣ h"])
def test_what_is_no_segment_is_an_error_of_the_settings(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a duration or a size such as 10 min, 1 h, 500 MB or 2 GB, found"):
        load_settings(environment={}, flags={"publish.record_segment": text})
