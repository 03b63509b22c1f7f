"""Films: when pictures are shown, how long a film gets, what is kept, and what is left of one that is cut off."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import av
import numpy as np
import pytest

from edge_fer.errors import OutputError
from edge_fer.publish.recording import film as film_module
from edge_fer.publish.recording.new_file import NewFile
from edge_fer.publish.recording.provenance import Provenance, parse_comment
from edge_fer.publish.recording.timeline import Timeline
from edge_fer.schema import Reading
from edge_fer.types import Image
from tests.publish.recording.films import PICTURE, at, opened, record, shown, taken, times
from tests.support.records import make_face_reading, make_reading
from tests.support.waiting import Clock

NOISE = np.random.default_rng(0)


def noise(height: int = 120, width: int = 160) -> Image:
    return NOISE.integers(0, 256, (height, width, 3), np.uint8)


def still(name: str) -> Reading:
    return replace(make_reading(), source_file=name)


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([taken(0), taken(0.2), taken(0.21), taken(7)], [0, 0.2, 0.21, 7]),  # of a camera: when they were taken
        ([at(500), at(533.367), at(900)], [0, 0.033, 0.4]),  # of a film: their place in it
        ([still("a.jpg"), still("b.jpg"), still("c.jpg")], [0, 1, 2]),  # of a folder: a second each
        ([at(0), at(100), at(0), at(100)], [0, 0.1, 0.2, 0.3]),  # of a film that is played again
        ([taken(0), taken(0.1), taken(90_000), taken(90_000.1)], [0, 0.1, 0.2, 0.3]),  # a day without a camera
        ([taken(0), taken(0.1), taken(-50), taken(-49.8)], [0, 0.1, 0.2, 0.4]),
        ([still("a.jpg"), at(0), at(40), still("b.jpg")], [0, 1, 1.04, 2.04]),  # a folder with a film in it
    ],
)
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_each_picture_is_shown_at_its_time(
    tmp_path: Path, name: str, readings: list[Reading], expected: list[float]
) -> None:
    sink = opened(tmp_path, name)
    record(sink, *readings)
    sink.close()
    assert times(tmp_path / name) == pytest.approx(expected, abs=0.0011)


def test_the_last_picture_is_shown_as_long_as_the_one_before(tmp_path: Path) -> None:
    sink = opened(tmp_path, "out.mp4")
    record(sink, still("a.jpg"), still("b.jpg"))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.duration == pytest.approx(2_000_000, abs=2000)


def test_times_always_grow() -> None:
    chance, timeline, last = random.Random(0), Timeline(), -1.0
    kinds = [taken, lambda value: at(1000 * value), lambda _: still("a.jpg")]
    for _ in range(2000):
        before, last = last, timeline.at(chance.choice(kinds)(chance.uniform(-1e6, 1e6)))
        assert before < last
        assert 0 < timeline.step_ms <= 1000


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_a_film_that_is_cut_off_anywhere_plays_up_to_there(tmp_path: Path, name: str) -> None:
    """As by a full disk, a stick that is pulled or a loss of power: the last two seconds may be missing."""
    sink = opened(tmp_path, name)
    for frame in range(120):
        sink.publish(at(100.0 * frame), noise(64, 64))
    sink.close()
    content = (tmp_path / name).read_bytes()
    cut = tmp_path / f"cut{name}"
    for length in random.Random(0).sample(range(5000, len(content)), 6):
        cut.write_bytes(content[:length])
        found = times(cut)
        assert len(found) > 120 * length / len(content) - 40
        assert found == pytest.approx([0.1 * frame for frame in range(len(found))], abs=0.0011)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_a_film_is_h264_that_browsers_play(tmp_path: Path, name: str) -> None:
    sink = opened(tmp_path, name)
    record(sink, *(at(125.0 * frame) for frame in range(48)), picture=PICTURE[:119, :159])
    sink.close()
    with av.open(str(tmp_path / name)) as film:
        (stream,) = film.streams
        found = stream.codec_context
        assert (found.name, found.pix_fmt, found.width, found.height) == ("h264", "yuv420p", 160, 120)
        keys = [float(packet.pts * packet.time_base) for packet in film.demux(video=0) if packet.is_keyframe]
    assert keys == pytest.approx([0, 2, 4]), "what a player can go to"


def test_colours_are_those_of_the_picture(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    for index, colour in enumerate(((250, 20, 20), (20, 240, 20), (20, 20, 250), (255, 255, 255), (0, 0, 0))):
        sink.publish(at(40.0 * index), np.full((64, 64, 3), colour, np.uint8))
    sink.close()
    means = [one.picture[32:, 32:].mean(axis=(0, 1)) for one in shown(tmp_path / "out.mkv")]
    assert np.abs(np.array(means) - [(250, 20, 20), (20, 240, 20), (20, 20, 250), (255,) * 3, (0,) * 3]).max() < 8


@pytest.mark.parametrize(
    ("shape", "bars", "inside"),
    [
        ((240, 320), None, np.s_[:, :]),
        ((240, 160), np.s_[:, :36], np.s_[:, 46:114]),
        ((60, 320), np.s_[:41, :], np.s_[51:69, :]),
        ((2, 320), np.s_[:55, :], None),
    ],
)
def test_pictures_of_another_size_are_scaled_into_the_first_and_keep_their_shape(
    tmp_path: Path, shape: tuple[int, int], bars: slice | None, inside: slice | None
) -> None:
    sink = opened(tmp_path)
    record(sink, at(0), picture=np.zeros((120, 160, 3), np.uint8))
    record(sink, at(40), picture=np.full((*shape, 3), 200, np.uint8))
    sink.close()
    frames = [one.picture for one in shown(tmp_path / "out.mkv")]
    assert [frame.shape for frame in frames] == [(120, 160, 3)] * 2
    assert bars is None or frames[1][bars].max() < 40
    assert inside is None or np.median(frames[1][inside]) > 180


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (15, 17)])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.avi"])
def test_the_smallest_pictures_are_recorded(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    sink = opened(tmp_path, name)
    record(sink, at(0), at(40), picture=np.zeros((*size, 3), np.uint8))
    sink.close()
    assert len(times(tmp_path / name)) == 2


def test_a_film_ends_after_its_time_and_the_next_begins(tmp_path: Path) -> None:
    sink = opened(tmp_path, record_segment="2 s")
    record(sink, *(at(250.0 * frame) for frame in range(18)))
    sink.close()
    assert [times(tmp_path / name) for name in ("out.mkv", "out-2.mkv", "out-3.mkv")] == [
        pytest.approx([0.25 * frame for frame in range(count)], abs=0.0011) for count in (8, 8, 2)
    ]


def test_a_film_ends_at_its_size_and_the_next_begins(tmp_path: Path) -> None:
    sink = opened(tmp_path, record_segment="1 MB")
    for frame in range(60):
        sink.publish(at(40.0 * frame), noise(240, 320))
    sink.close()
    sizes = [path.stat().st_size for path in sorted(tmp_path.iterdir())]
    assert len(sizes) > 2
    assert max(sizes) < 1.2e6


def bounded(tmp_path: Path, name: str) -> list[int]:
    """How much a recording of 1 MB takes while it goes on, bytes; it would be half as much again or more."""
    taken_bytes = []
    sink = opened(tmp_path, name, record_keep_mb=1)
    for frame in range(64):
        sink.publish(at(40.0 * frame), noise(180, 240))
        taken_bytes.append(sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()))
    sink.close()
    return taken_bytes


@pytest.mark.parametrize("name", ["out.mkv", "%Y/out.mp4", "shots/", "out.jpg"])
def test_recordings_never_take_more_than_they_may(tmp_path: Path, name: str) -> None:
    for number in range(5):  # what killed runs have left
        (tmp_path / f"out-{number + 10}.mkv").write_bytes(bytes(10**5))
        os.utime(tmp_path / f"out-{number + 10}.mkv", (0, number))
    others = [tmp_path / name for name in ("out.txt", "outer.mkv", "out-b.mkv", "notes.mp4")]
    for other in others:
        other.touch()
    found = bounded(tmp_path, name)
    assert max(found) <= 1.05e6 + 5e5 * (name != "out.mkv")
    assert found[-1] > 5e5, "not more is deleted than must be"
    assert all(other.exists() for other in others)
    assert (tmp_path / "out-14.mkv").exists() == (name != "out.mkv")


def test_what_is_too_old_is_deleted_at_the_start_and_while_it_records(tmp_path: Path) -> None:
    now, clock = datetime(2026, 1, 10), Clock()
    moment = [now]
    for name, days in (("01/a.mkv", 9.0), ("05/a.mkv", 5.5), ("08/a.mkv", 2.0), ("08/a.mp4", 9.0), ("x/a.mkv", 9.0)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (0, (now - timedelta(days=days)).timestamp()))
    sink = opened(tmp_path, "%d/a.mkv", record_keep_days=5, now=lambda: moment[0], clock=clock)
    record(sink, at(0))
    assert not (tmp_path / "01").exists()
    assert not (tmp_path / "05").exists()
    assert (tmp_path / "08/a.mkv").exists()
    moment[0], clock.now = now + timedelta(days=2.1), 60.0
    record(sink, at(40))
    sink.close()
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.m*")} == {"10/a.mkv", "08/a.mp4", "x/a.mkv"}


def test_what_is_being_recorded_by_another_run_is_not_deleted(tmp_path: Path) -> None:
    first = opened(tmp_path)
    record(first, at(0))
    os.utime(tmp_path / "out.mkv", (0, 0))
    second = opened(tmp_path, record_keep_days=1)
    record(second, at(0))
    record(first, at(40))
    first.close()
    second.close()
    assert len(times(tmp_path / "out.mkv")) == 2


def test_without_an_encoder_for_h264_the_best_other_one_is_taken_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(film_module.av, "codecs_available", {"mpeg4"})
    sink = opened(tmp_path, "out.mp4")
    record(sink, at(0), at(40))
    sink.close()
    assert caplog.messages == [
        "the library `av` has no H.264 here: the recording is MPEG-4 Part 2, which browsers do not play"
    ]
    assert times(tmp_path / "out.mp4") == [0, 0.04]
    monkeypatch.setattr(film_module.av, "codecs_available", set())
    sink = opened(tmp_path, "none.mp4")
    with pytest.raises(OutputError, match=r"expected one of libx264, .* in the library `av`, found none"):
        record(sink, at(0))
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.avi", "out.jpg"])
@pytest.mark.parametrize("fails_after", [0, 1, 700, 60_000])
def test_a_disk_that_refuses_is_an_error_in_one_line_and_the_rest_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fails_after: int
) -> None:
    sink = opened(tmp_path, name)
    left = [fails_after]

    def write_some(file: NewFile, data: memoryview) -> int:
        if left[0] == 0:
            raise OSError(5, "Input/output error")
        written = os.write(file._file.fileno(), data[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(NewFile, "_write_some", write_some)
    with pytest.raises(OutputError, match=f"expected to write the recording .*{name}, found: Input/output error; "):
        record(sink, *(at(100.0 * frame) for frame in range(300)), picture=noise())
    with suppress(OutputError):  # what it should end with cannot be written, either
        sink.close()
    sink.close()
    if fails_after == 60_000:
        assert len(times(tmp_path / name)) >= 1


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.avi"])
@pytest.mark.parametrize("plain", [True, False])
def test_a_film_says_which_run_it_is_of_and_whether_anything_is_drawn_in(
    tmp_path: Path, name: str, *, plain: bool
) -> None:
    sink = opened(tmp_path, name, record_plain=plain)
    face = make_face_reading()
    readings = [make_reading(frame, (face,), captured_ns=frame * 10**8) for frame in (7, 8)]
    record(sink, *readings)
    sink.close()
    with av.open(f"file:{tmp_path / name}") as film:
        comments = [value for key, value in film.metadata.items() if key.lower() == "comment"]
    expected = Provenance(run=readings[0].run, frame=7, content="plain" if plain else "drawn")
    assert [parse_comment(comment) for comment in comments] == [expected]
    spread = float(np.std(shown(tmp_path / name)[0].picture))
    assert (spread < 3) == plain  # nothing but one grey


@pytest.mark.parametrize("comment", ["", "a holiday", "{}", '{"schema":"edge-fer/recording/1"}', "[" * 2000])
def test_a_comment_of_somebody_else_is_none_of_ours(comment: str) -> None:
    assert parse_comment(comment) is None
