"""Clips are cut where they should be, to the frame, and what is left out is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_fer.errors import ConfigError, EdgeFerError, OutputError, SourceError
from edge_fer.lab.clips.cut import CutOptions, cut_recording
from edge_fer.lab.clips.cut_record import read_cuts
from edge_fer.lab.clips.spans import Span
from edge_fer.lab.console import SilentReporter
from edge_fer.publish.recording import Recording
from edge_fer.publish.recording.film import Film
from edge_fer.publish.recording.new_file import FileMaker
from edge_fer.publish.recording.provenance import Provenance
from edge_fer.schema import to_json
from edge_fer.settings import PublishSettings
from edge_fer.settings.recording_name import RecordingName
from edge_fer.types import Box
from tests.lab.clips.recordings import frames_in, number_in, numbered, write_recording
from tests.lab.clips.test_beeps import sound
from tests.support.records import make_face_reading, make_reading


class Heard(SilentReporter):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def numbers(path: Path, left: int = 0, top: int = 0) -> list[int]:
    """The numbers in the frames of a clip."""
    return [number_in(image, left, top) for _, image in frames_in(path)]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Twenty seconds with beeps at 2.01, 9 and 16 s, which are at 25 frames a second before frames 51, 225 and 400."""
    pictures = [numbered(number) for number in range(500)]
    return write_recording(tmp_path / "p 01_a.mp4", pictures, sound=sound([2.01, 9.0, 16.0], 1000, 20, snr_db=20))


def test_a_clip_begins_at_its_beep_and_ends_after_its_seconds_or_at_the_next(film: Path, tmp_path: Path) -> None:
    report = Heard()
    cut = cut_recording(film, tmp_path / "clips", CutOptions(), report)
    found = {path.name: numbers(path) for path in sorted((tmp_path / "clips").glob("*.mp4"))}
    assert list(found) == ["p-01-a_001.mp4", "p-01-a_002.mp4", "p-01-a_003.mp4"]
    for shown, first, last in zip(found.values(), (51, 225, 400), (201, 375, 500), strict=True):
        assert abs(shown[0] - first) <= 1  # the beep is found within 20 ms, half a frame
        assert shown == list(range(shown[0], min(shown[0] + 150, 500)))
        assert abs(shown[-1] + 1 - last) <= 1
    assert cut.by == "beeps"
    assert cut.frequency_hz == pytest.approx(1000, abs=20)
    assert report.lines[0] == "3 beeps of 1000 Hz"
    assert [line for line in report.lines if line.startswith("left out")] == ["left out: 4.0 s between the clips"]
    assert [clip.name for clip in read_cuts(tmp_path / "clips").values()] == [Path(name).stem for name in found]
    assert cut_recording(film, tmp_path / "short", CutOptions(seconds=3), report).clips[0].times_ms[-1] == 74 * 40


def test_by_time_every_frame_is_in_one_clip(film: Path, tmp_path: Path) -> None:
    cut_recording(film, tmp_path / "clips", CutOptions(every_s=6, person="anna"), SilentReporter())
    paths = sorted((tmp_path / "clips").glob("anna_*.mp4"))
    assert [number for path in paths for number in numbers(path)] == list(range(500))
    assert [len(numbers(path)) for path in paths] == [150, 150, 150, 50]


def test_times_that_vary_are_kept_and_told(tmp_path: Path) -> None:
    times = np.cumsum([0, *np.random.default_rng(2).choice([20, 40, 90], 149)]).tolist()
    path = write_recording(tmp_path / "a.mp4", [numbered(number) for number in range(150)], times_ms=times)
    report = Heard()
    cut_recording(path, tmp_path / "clips", CutOptions(every_s=2), report)
    shown = [frame for clip in sorted((tmp_path / "clips").glob("*.mp4")) for frame in frames_in(clip)]
    assert [number_in(image) for _, image in shown] == list(range(150))
    for clip in read_cuts(tmp_path / "clips").values():
        at = np.array(times)[number_in(frames_in(tmp_path / "clips" / f"{clip.name}.mp4")[0][1]) :][
            : len(clip.times_ms)
        ]
        assert np.allclose(at - at[0], clip.times_ms, atol=1)
    assert any(line.startswith("variable frame rate: 20 to 90 ms") for line in report.lines)


def test_the_expected_expressions_are_in_the_names(film: Path, tmp_path: Path) -> None:
    (tmp_path / "order.txt").write_text("happy\ncontempt\nSadness\n")
    options = CutOptions(expected=tmp_path / "order.txt", person="anna")
    cut = cut_recording(film, tmp_path / "clips", options, SilentReporter())
    assert [clip.name for clip in cut.clips] == ["anna_001_happiness", "anna_002", "anna_003_sadness"]


def run_of(
    folder: Path, name: str, *, plain: bool = True, file: str | None = None, dropped: range = range(0)
) -> tuple[Path, Path]:
    """A run that records 60 numbered pictures of 320x240; face 3 moves through them all, face 5 through 30 to 49."""
    record = Recording(PublishSettings(record=str(folder / name), record_plain=plain))
    lines = ["{}", '{"schema":"edge-fer/status/1"}']
    random = np.random.default_rng(1)
    at_ns = 5 * 10**9
    for frame in range(60):
        at_ns += int(random.integers(30, 50)) * 1_000_000
        faces = [replace(make_face_reading(), id=3, box=Box(100 + frame, 80, 40, 50))]
        faces += [replace(make_face_reading(), id=5, box=Box(20, 150, 30, 30))] if 30 <= frame < 50 else []
        reading = make_reading(frame + 7, tuple(faces), captured_ns=at_ns)
        reading = replace(reading, size=(320, 240), run="a-run")
        if file:
            reading = replace(reading, source_file=file, position_ms=frame * 40.0)
        if frame not in dropped:
            record.publish(reading, numbered(frame, 100, 80, (240, 320)))
        lines += [to_json(replace(reading, run="another")), to_json(reading)]
    record.close()
    (folder / "readings.jsonl").write_text("\n".join(lines) + '\n{"schema":"edge-fer/rea')
    return folder / name, folder / "readings.jsonl"


@pytest.mark.parametrize("name", ["run.mp4", "run.mkv"])
def test_a_run_is_cut_by_its_tracks(tmp_path: Path, name: str) -> None:
    film, readings = run_of(tmp_path, name)
    report = Heard()
    cut = cut_recording(film, tmp_path / "clips", CutOptions(readings=readings), report)
    assert [(clip.name, clip.track, len(clip.times_ms)) for clip in cut.clips] == [
        ("run_t0003-01", 3, 60),
        ("run_t0005-01", 5, 20),
    ]
    first, second = cut.clips
    left, top, right, bottom = first.window
    assert (left, top, right - left, bottom - top) == (60, 30, 180, 150)  # a face's size around all places of it
    assert first.boxes[0] == (100 - left, 80 - top, 40, 50)
    assert first.boxes[-1] == (159 - left, 80 - top, 40, 50)
    assert numbers(tmp_path / "clips" / "run_t0003-01.mp4", 100 - left, 80 - top) == list(range(60))
    assert len(second.boxes) == len(frames_in(tmp_path / "clips" / "run_t0005-01.mp4")) == 20
    assert None not in second.boxes
    assert "left out: 2 lines of readings.jsonl without a record" in report.lines


def test_a_track_that_was_away_or_stays_long_becomes_several_clips(tmp_path: Path) -> None:
    film, readings = run_of(tmp_path, "run.mp4")
    options = CutOptions(readings=readings, seconds=1.0)
    cut = cut_recording(film, tmp_path / "clips", options, SilentReporter())
    parts = [clip for clip in cut.clips if clip.track == 3]
    starts = [clip.start_ms for clip in parts]
    lengths = [clip.times_ms[-1] for clip in parts]
    assert len(parts) >= 2
    assert all(length < 1000 for length in lengths)
    assert all(
        20 <= after - before - length <= 50 for before, after, length in zip(starts, starts[1:], lengths, strict=False)
    )


def test_pictures_that_the_recording_has_lost_are_told_and_shift_nothing(tmp_path: Path) -> None:
    film, readings = run_of(tmp_path, "run.mkv", dropped=range(20, 35))
    report = Heard()
    cut = cut_recording(film, tmp_path / "clips", CutOptions(readings=readings), report)
    first = cut.clips[0]
    left, top, *_ = first.window
    kept = [number for number in range(60) if not 20 <= number < 35]
    assert numbers(tmp_path / "clips" / "run_t0003-01.mp4", 100 - left, 80 - top) == kept
    assert [box[0] + left - 100 for box in first.boxes if box is not None] == kept  # each is at its own place
    assert "left out: 20 pictures that the recording lacks, of those that were read" in report.lines


def test_the_film_that_was_read_is_cut_by_the_positions_in_it(tmp_path: Path) -> None:
    _, readings = run_of(tmp_path, "run.mp4", file="/films/party.mp4")
    film = write_recording(tmp_path / "party.mp4", [numbered(number, 100, 80, (240, 320)) for number in range(60)])
    cut = cut_recording(film, tmp_path / "clips", CutOptions(readings=readings), SilentReporter())
    second = cut.clips[1]
    assert (second.track, second.start_ms, len(second.times_ms)) == (5, 30 * 40, 20)


def drawn(tmp_path: Path) -> tuple[Path, CutOptions]:
    film, readings = run_of(tmp_path, "run.mp4", plain=False)
    return film, CutOptions(readings=readings)


def hidden(tmp_path: Path) -> tuple[Path, CutOptions]:
    """A recording without recognisable faces."""
    comment = Provenance(run="a-run", frame=7, content="hidden").comment()
    film = Film(FileMaker(RecordingName(str(tmp_path / "a.mp4"))).make(datetime(2026, 1, 1)), (128, 64), comment)
    for number in range(30):
        film.write(numbered(number), number * 40, 40)
    film.close()
    return tmp_path / "a.mp4", CutOptions(every_s=1)


def another_run(tmp_path: Path) -> tuple[Path, CutOptions]:
    film, readings = run_of(tmp_path, "run.mp4")
    readings.write_text("\n".join(line for line in readings.read_text().splitlines() if "a-run" not in line))
    return film, CutOptions(readings=readings)


def an_avi(tmp_path: Path) -> tuple[Path, CutOptions]:
    film, readings = run_of(tmp_path, "run.avi")
    return film, CutOptions(readings=readings)


def another_film(tmp_path: Path) -> tuple[Path, CutOptions]:
    _, readings = run_of(tmp_path, "run.mp4", file="party.mp4")
    return write_recording(tmp_path / "b.mp4", [numbered(1)] * 30), CutOptions(readings=readings)


def silent(tmp_path: Path) -> tuple[Path, CutOptions]:
    return write_recording(tmp_path / "b.mp4", [numbered(1)] * 30), CutOptions()


def no_beeps(tmp_path: Path) -> tuple[Path, CutOptions]:
    return write_recording(tmp_path / "b.mp4", [numbered(1)] * 30, sound=sound([], 1000, 3)), CutOptions(
        frequency_hz=900
    )


def too_short(tmp_path: Path) -> tuple[Path, CutOptions]:
    return write_recording(tmp_path / "b.mp4", [numbered(1)] * 30), CutOptions(every_s=0.3)


def wrong_number(tmp_path: Path) -> tuple[Path, CutOptions]:
    film, readings = run_of(tmp_path, "run.mp4")
    (tmp_path / "order.txt").write_text("happy")
    return film, CutOptions(readings=readings, expected=tmp_path / "order.txt")


def no_expression(tmp_path: Path) -> tuple[Path, CutOptions]:
    film, _ = silent(tmp_path)
    (tmp_path / "order.txt").write_text("glad")
    return film, CutOptions(every_s=1, expected=tmp_path / "order.txt")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (drawn, SourceError, "boxes and labels drawn into them; record with publish.record_plain: true"),
        (hidden, SourceError, "faces that were made unrecognisable"),
        (another_run, SourceError, "expected readings of the run a-run"),
        (an_avi, SourceError, "an AVI has none; record .mkv or .mp4"),
        (another_film, SourceError, "expected readings of the film b.mp4"),
        (silent, SourceError, "no sound track"),
        (no_beeps, SourceError, "expected beeps of 900 Hz"),
        (too_short, SourceError, "expected clips of 0.5 s or more"),
        (wrong_number, SourceError, "expected 2 expressions"),
        (no_expression, SourceError, "found 'glad'"),
        (lambda folder: (folder / "none.mp4", CutOptions(every_s=1)), SourceError, "check the path"),
        (lambda folder: (folder / "a.mp4", CutOptions(every_s=1, readings=folder)), ConfigError, "found both"),
        (lambda folder: (folder / "a.mp4", CutOptions(every_s=1, person="../a")), ConfigError, "expected --person"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path: Path, make, error: type, words: str) -> None:
    film, options = make(tmp_path)
    with pytest.raises(error) as raised:
        cut_recording(film, tmp_path / "clips", options, SilentReporter())
    assert isinstance(raised.value, EdgeFerError)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "clips").exists() or list((tmp_path / "clips").iterdir()) == []


def test_clips_that_are_there_are_never_replaced(tmp_path: Path) -> None:
    film, _ = silent(tmp_path)
    cut_recording(film, tmp_path / "clips", CutOptions(every_s=1), SilentReporter())
    before = {path.name: path.read_bytes() for path in (tmp_path / "clips").iterdir()}
    (tmp_path / "clips" / ".b.partial").mkdir()  # of a run that was killed
    with pytest.raises(OutputError, match="expected no clips of b"):
        cut_recording(film, tmp_path / "clips", CutOptions(every_s=1), SilentReporter())
    cut_recording(film, tmp_path / "clips", CutOptions(every_s=1, person="b2"), SilentReporter())
    assert {name: (tmp_path / "clips" / name).read_bytes() for name in before} == before


def test_a_recording_that_breaks_off_gives_the_clips_before(tmp_path: Path) -> None:
    film, readings = run_of(tmp_path, "run.mkv")
    content = film.read_bytes()
    film.write_bytes(content[: len(content) * 2 // 3])
    report = Heard()
    cut = cut_recording(film, tmp_path / "clips", CutOptions(readings=readings), report)
    assert 10 < len(cut.clips[0].times_ms) < 60


def test_readings_of_a_later_version_are_read(tmp_path: Path) -> None:
    film, readings = run_of(tmp_path, "run.mp4")
    readings.write_text(
        readings.read_text().replace('"fps"', '"mood":{"a":1},"fps"').replace('"score"', '"x":1,"score"')
    )
    assert len(cut_recording(film, tmp_path / "c", CutOptions(readings=readings), SilentReporter()).clips) == 2


def test_a_film_of_another_size_than_was_read_is_refused(tmp_path: Path) -> None:
    _, readings = run_of(tmp_path, "run.mp4", file="party.mp4")
    film = write_recording(tmp_path / "party.mp4", [numbered(number) for number in range(60)])
    with pytest.raises(SourceError, match=r"expected pictures of 320x240 in .*, found 128x64"):
        cut_recording(film, tmp_path / "clips", CutOptions(readings=readings), SilentReporter())


COORDINATE, SIDE = st.floats(-500, 900), st.floats(0, 400)


@example([Box(0, 0, 0, 0), Box(17, 0, 0, 0)])
@given(st.lists(st.builds(Box, COORDINATE, COORDINATE, SIDE, SIDE), min_size=1, max_size=5))
def test_a_window_is_in_the_picture_and_even_wherever_the_face_is(boxes: list[Box]) -> None:
    left, top, right, bottom = Span("a", 0, 1, 3, tuple((0.0, box) for box in boxes)).window(321, 241)
    assert 0 <= left < right <= 321
    assert 0 <= top < bottom <= 241
    assert (right - left) % 2 == (bottom - top) % 2 == 0
    for box in boxes:
        assert left <= max(box.x, 0) or left >= 321 - 17
        assert right >= min(box.x + box.width, 320)
