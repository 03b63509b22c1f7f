from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from io import FileIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge_fer.errors import OutputClosed, OutputError
from edge_fer.publish import recording
from edge_fer.publish.drawing.annotate import COLOURS, annotate
from edge_fer.publish.jsonl import JsonLines
from edge_fer.publish.partial_file import claim
from edge_fer.publish.recording import Pace, Recording
from edge_fer.publish.stdout import Stdout
from edge_fer.publish.text import TextLine, _Summary
from edge_fer.schema import FaceReading, Record, json_schema, to_json
from edge_fer.settings import Settings
from edge_fer.types import LABELS, Box, Label
from tests.support import ROOT
from tests.support.records import face_at, make_face_reading, make_reading, make_status

PICTURE = np.full((360, 640, 3), 90, np.uint8)


def test_a_reading_is_the_documented_record() -> None:
    """Field names and nesting are the public contract; later versions only add to them."""
    record = json.loads(to_json(make_reading(faces=(make_face_reading(),))))
    assert list(record) == [
        "schema", "device", "run", "frame", "captured_at", "captured_ns", "clock_synced", "age_ms", "source", "size",
        "model", "backend", "degraded", "reason", "fps", "dropped", "faces",
        "source_file", "position_ms",
    ]  # fmt: skip
    assert record["schema"] == "edge-fer/reading/1"
    (face,) = record["faces"]
    assert list(face) == [
        "id", "box", "score", "landmarks", "label", "confidence", "probabilities", "label_age_ms", "why",
        "smoothed", "pose",
    ]  # fmt: skip
    assert face["box"] == [100, 50, 80, 80]
    assert list(face["landmarks"]) == ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"]
    assert len(face["landmarks"]["left_eye"]) == 2
    assert list(face["probabilities"]) == list(LABELS)


def test_a_status_is_the_documented_record() -> None:
    record = json.loads(to_json(make_status()))
    assert list(record) == [
        "schema", "device", "run", "at", "source", "model", "backend", "state", "fps", "dropped", "restarts",
        "stages", "temperatures", "throttled", "label_rate", "recovery", "abandoned", "stuck", "degraded_s", "sinks",
        "message",
    ]  # fmt: skip
    assert record["schema"] == "edge-fer/status/1"


@pytest.mark.parametrize("record", [make_reading(faces=(make_face_reading(),)), make_status()])
def test_the_schema_requires_every_field_of_a_record(record: Record) -> None:
    schema: Any = json_schema()[record.schema]
    content = json.loads(to_json(record))
    assert list(schema["properties"]) == schema["required"] == list(content)
    for face in content.get("faces", []):
        assert schema["$defs"]["FaceReading"]["required"] == list(face)


def test_json_lines_are_written_one_by_one() -> None:
    written: list[str] = []
    sink = JsonLines(written.append)
    sink.publish(make_status(), None)
    sink.publish(make_reading(), PICTURE)
    sink.close()
    assert [json.loads(line)["schema"] for line in written] == ["edge-fer/status/1", "edge-fer/reading/1"]
    assert all(line.endswith("}\n") for line in written)


def test_text_lives_on_one_line_of_a_terminal() -> None:
    written: list[str] = []
    sink = TextLine(written.append, in_place=True)
    sink.publish(make_status(message="opening sample"), None)
    sink.publish(make_reading(), PICTURE)
    sink.publish(make_reading(faces=(make_face_reading(),)), PICTURE)
    sink.publish(make_status("stopping", "sample has ended"), None)
    sink.close()
    opening, in_place, ended, summary, stages, rest = "".join(written).split("\n")
    assert opening == "opening sample"
    assert in_place.count("\r") == 2
    assert "29.9 FPS" in in_place
    assert in_place.endswith("[7] happiness 93%"), "the last reading stays readable"
    assert ended == "sample has ended"
    assert summary == "2 frames, 3 dropped, 1 face: 1 happiness"
    assert "detect 27.1/31.9" in stages
    assert rest == ""


def test_each_picture_of_a_folder_has_a_line_with_its_name() -> None:
    written: list[str] = []
    sink = TextLine(written.append, in_place=True)
    for number, name in enumerate(("a\x1b.jpg", "b.jpg", "c.mp4", "c.mp4")):
        face = replace(make_face_reading("fear" if number else None, "blurred"), id=number)
        reading = make_reading(frame=number, faces=(face,))
        sink.publish(replace(reading, source="/photos", source_file=f"/photos/{name}"), PICTURE)
    sink.publish(make_status("stopping", "photos has ended"), None)
    lines = "".join(written).split("\n")
    assert lines[0].endswith(r"cpu  a\x1b.jpg  frame 0  [0] blurred")
    assert lines[1].endswith("cpu  b.jpg  frame 1  [1] fear 93%")
    assert lines[2].count("\r") == 1, "a film lives on one line"
    assert lines[2].endswith("cpu  c.mp4  frame 3  [3] fear 93%")
    assert lines[3:5] == ["photos has ended", "4 frames, 3 dropped, 4 faces: 3 fear, 1 without a label"]


def test_a_summary_remembers_few_ids() -> None:
    summary = _Summary()
    for number in range(10_000):
        summary.add(make_reading(faces=(replace(make_face_reading(), id=number), replace(make_face_reading(), id=0))))
    assert summary.text(0).startswith("10000 frames, 0 dropped, 100")
    assert len(summary._ids) <= 2000


def test_text_repeats_no_sentence() -> None:
    written: list[str] = []
    sink = TextLine(written.append, in_place=True)
    for _ in range(3):
        sink.publish(make_status("waiting_for_camera", "no camera; trying again in 1 s"), None)
    assert written == ["no camera; trying again in 1 s\n"]


def test_text_elsewhere_is_one_line_a_reading() -> None:
    written: list[str] = []
    sink = TextLine(written.append, in_place=False)
    sink.publish(make_reading(), PICTURE)
    sink.publish(make_reading(faces=(make_face_reading(None, "too small"),)), PICTURE)
    lines = "".join(written).splitlines()
    assert lines[0].endswith("no face")
    assert lines[1].endswith("[7] too small")


def test_standard_output_writes_more_than_a_pipe_holds() -> None:
    reader, writer = os.pipe()
    text = "x" * 200_000
    heard = b""

    def listen() -> None:
        nonlocal heard
        while piece := os.read(reader, 65536):
            heard += piece

    thread = threading.Thread(target=listen)
    thread.start()
    Stdout(writer).write(text)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert heard == text.encode()


def test_a_closed_pipe_is_an_end_and_not_a_fault() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(OutputClosed, match="closed by its reader") as caught:
        Stdout(writer).write("x")
    assert caught.value.exit_code == 0
    os.close(writer)


def test_a_reader_that_stalls_does_not_hold_up_a_stop() -> None:
    reader, writer = os.pipe()
    asked = 0

    def stopping() -> bool:
        nonlocal asked
        asked += 1
        return asked == 2

    with pytest.raises(OutputClosed, match="not read any more"):
        Stdout(writer, stopping).write("x" * 200_000)
    assert asked == 2
    os.close(reader)
    os.close(writer)


def test_a_full_disk_is_a_fault() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        Stdout(full).write("x")
    assert caught.value.exit_code == 6
    os.close(full)


def test_a_closed_standard_output_is_a_fault() -> None:
    descriptor = os.open("/dev/null", os.O_WRONLY)
    os.close(descriptor)
    with pytest.raises(OutputError, match="Bad file descriptor"):
        Stdout(descriptor).write("x")


def test_annotation_draws_without_touching_the_frame() -> None:
    frame = PICTURE.copy()
    frame.setflags(write=False)
    picture = annotate(frame, make_reading(faces=(make_face_reading(), make_face_reading(None, "too small"))))
    assert picture.shape == frame.shape
    assert (picture[50:130, 100] != 90).any(), "the box's left side"


def face_with(label: Label, x: float, y: float) -> FaceReading:
    """A face of 80 pixels whose only colour is that of its label."""
    return replace(
        make_face_reading(label), box=Box(x, y, 80.0, 80.0), landmarks=face_at(x, y, 80).landmarks, probabilities={}
    )


def painted(*faces: FaceReading, label: Label | None) -> int:
    """Pixels in the colour of a label, with these faces in the picture."""
    assert label is not None
    return int((annotate(PICTURE, make_reading(faces=faces)) == COLOURS[label]).all(axis=2).sum())


@pytest.mark.parametrize("corner", [(2, 2), (558, 2), (2, 278), (558, 278), (100, -30), (-30, 100)])
def test_a_face_at_the_edge_keeps_its_label_and_the_rate_is_seen(corner: tuple[float, float]) -> None:
    face = face_with("happiness", *corner)
    plate = painted(face_with("happiness", 300, 150), label="happiness") / 2
    assert painted(face, label="happiness") > plate
    without, picture = (annotate(PICTURE, make_reading(faces=faces)) for faces in ((), (face,)))
    hidden = (without[:14, :20] != picture[:14, :20]).any(axis=2).sum()
    assert hidden < 50, "the lines of the box, at most"


@pytest.mark.parametrize("aside", [(84, 0), (-84, 0), (0, 84), (60, 84), (84, 5), (-84, -5)])
def test_faces_side_by_side_keep_their_labels(aside: tuple[int, int]) -> None:
    happy, sad = face_with("happiness", 300, 150), face_with("sadness", 300 + aside[0], 150 + aside[1])
    for face in (happy, sad):
        assert painted(happy, sad, label=face.label) > 0.9 * painted(face, label=face.label)


def frames_of(path: Path) -> list[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    frames = []
    while (picture := video.read()[1]) is not None:
        frames.append(picture)
    video.release()
    return frames


FILE = Pace(25, live=False)
CAMERA = Pace(25, live=True)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_a_recording_plays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    sink = Recording(path, lambda: FILE)
    for frame in range(10):
        sink.publish(make_reading(frame), np.full((120, 160, 3), 20 * frame, np.uint8))
        sink.publish(make_status(), None)
    sink.close()
    sink.close()
    frames = frames_of(path)
    assert len(frames) == 10
    assert abs(float(frames[9][60:].mean()) - 180) < 6
    assert list(tmp_path.iterdir()) == [path]


def test_a_live_recording_plays_at_the_speed_of_life(tmp_path: Path) -> None:
    """Four readings in one second at 25 FPS fill 26 frames; ten seconds without a camera are cut."""
    path = tmp_path / "out.avi"
    sink = Recording(path, lambda: CAMERA)
    for seconds in (0.0, 0.2, 0.5, 1.0):
        sink.publish(make_reading(captured_ns=round(seconds * 1e9)), PICTURE)
    sink.publish(make_reading(captured_ns=round(1.001 * 1e9)), PICTURE)
    sink.close()
    assert len(frames_of(path)) == 26
    sink = Recording(path, lambda: CAMERA)
    for seconds in (0.0, 10.0, 10.04):
        sink.publish(make_reading(captured_ns=round(seconds * 1e9)), PICTURE)
    sink.close()
    assert len(frames_of(path)) == 1 + 25 + 1


def test_a_stream_that_claims_a_thousand_frames_a_second_is_recorded_at_thirty(tmp_path: Path) -> None:
    path = tmp_path / "out.avi"
    sink = Recording(path, lambda: Pace(1000, live=True))
    for seconds in (0.0, 1.0):
        sink.publish(make_reading(captured_ns=round(seconds * 1e9)), np.zeros((120, 160, 3), np.uint8))
    sink.close()
    assert len(frames_of(path)) == 31


@pytest.mark.parametrize(
    ("shape", "bars", "inside"),
    [
        ((240, 320), None, np.s_[:, :]),
        ((240, 160), np.s_[:, :36], np.s_[:, 44:116]),
        ((60, 320), np.s_[:41, :], np.s_[49:71, :]),
        ((2, 320), np.s_[:55, :], None),
    ],
)
def test_frames_of_another_size_are_scaled_into_the_first_and_keep_their_shape(
    tmp_path: Path, shape: tuple[int, int], bars: Any, inside: Any
) -> None:
    path = tmp_path / "out.avi"
    sink = Recording(path, lambda: FILE)
    sink.publish(make_reading(), np.zeros((120, 160, 3), np.uint8))
    sink.publish(make_reading(), np.full((*shape, 3), 200, np.uint8))
    sink.close()
    frames = frames_of(path)
    assert [frame.shape for frame in frames] == [(120, 160, 3)] * 2
    assert bars is None or frames[1][bars].max() < 30
    assert inside is None or np.median(frames[1][inside]) > 180


def test_a_recording_that_cannot_be_written_fails_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    for path, words in (
        (tmp_path / "none" / "out.mp4", "No such file or directory; choose another place"),
        (tmp_path / "out.gif", r"ends in one of \.mp4, \.avi, \.mkv, found .*out\.gif"),
        (tmp_path / "folder.mp4", "it is a folder"),
        (Path(), "such as out.mp4, found no name; choose one"),
        (tmp_path / ".mp4", r"such as out.mp4, found only an ending in .*/\.mp4"),
        (tmp_path / "b\udcff.mp4", "a name in UTF-8"),
    ):
        with pytest.raises(OutputError, match=words):
            Recording(path, lambda: FILE)


def test_two_runs_do_not_record_to_one_name(tmp_path: Path) -> None:
    path = tmp_path / "out.avi"
    first = Recording(path, lambda: FILE)
    first.publish(make_reading(), PICTURE)
    with pytest.raises(OutputError, match=r"expected no other run that records .*out\.avi, found one; end it, or"):
        Recording(path, lambda: FILE)
    recording.check(settings_recording(path))
    first.publish(make_reading(), PICTURE)
    first.close()
    assert len(frames_of(path)) == 2
    Recording(path, lambda: FILE).close()
    assert list(tmp_path.iterdir()) == [path]


def test_a_part_that_was_completed_between_opening_and_locking_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    first = claim(tmp_path / "out.avi")
    assert first is not None

    def complete_first(file: FileIO, operation: int) -> None:
        monkeypatch.undo()
        first.complete()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", complete_first)
    second = claim(tmp_path / "out.avi")
    assert second is not None
    assert second.path.exists()
    second.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["out.avi"]


def settings_recording(path: Path) -> Settings:
    return Settings.model_validate({"publish": {"record": path}})


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from edge_fer.publish.partial_file import claim
from edge_fer.publish.recording import Pace, Recording
from tests.support.records import make_reading
sink = Recording(Path(sys.argv[1]), lambda: Pace(25, live=False))
noise = np.random.default_rng(0)
for frame in range(100):
    sink.publish(make_reading(frame), noise.integers(0, 256, (120, 160, 3), np.uint8))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_what_a_run_that_was_killed_has_recorded_is_renamed_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    path = tmp_path / f"out{suffix}"
    (tmp_path / f"out-interrupted{suffix}").write_bytes(b"an older one")
    ended = subprocess.run([sys.executable, "-c", KILLED, path], timeout=30, check=False, cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL
    recording.check(settings_recording(path))
    assert len(list(tmp_path.iterdir())) == 2, "a check touches nothing"
    with caplog.at_level("WARNING", "edge_fer"):
        Recording(path, lambda: FILE).close()
    aside = tmp_path / f"out-interrupted-2{suffix}"
    assert {file.name for file in tmp_path.iterdir()} == {f"out-interrupted{suffix}", aside.name}
    assert f"{path} was interrupted; what it wrote is {aside}" in caplog.text
    assert ("an .mkv would" in caplog.text) == (suffix == ".mp4")
    assert (len(frames_of(aside)) > 30) == (suffix != ".mp4")


def test_a_recording_without_frames_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"an older recording")
    Recording(path, lambda: FILE).close()
    assert path.read_bytes() == b"an older recording"
    assert list(tmp_path.iterdir()) == [path]


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))


def test_a_disk_that_fills_up_ends_the_recording_and_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.avi"
    sink = Recording(path, lambda: FILE)
    sink.publish(make_reading(), PICTURE)
    fill_disk(monkeypatch)
    for _ in range(29):
        sink.publish(make_reading(), PICTURE)
    with pytest.raises(OutputError, match="found 1 MiB; what was recorded so far is kept; free some space"):
        sink.publish(make_reading(), PICTURE)
    sink.close()
    assert len(frames_of(path)) == 30


def test_a_full_disk_is_told_before_the_first_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.avi"
    words = (
        r"^expected 16 MiB of free space to record .*out\.avi, found 1 MiB; free some space, or choose another place$"
    )
    waiting = Recording(path, lambda: FILE)
    fill_disk(monkeypatch)
    with pytest.raises(OutputError, match=words):
        waiting.publish(make_reading(), PICTURE)
    waiting.close()
    with pytest.raises(OutputError, match=words):
        Recording(path, lambda: FILE)
    with pytest.raises(OutputError, match=words):
        recording.check(settings_recording(path))
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_does_not_play_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    sink = Recording(path, lambda: FILE)
    sink.publish(make_reading(), PICTURE)
    (tmp_path / ".out.part.mp4").unlink()
    with pytest.raises(OutputError, match="is the disk full"):
        sink.close()
    assert list(tmp_path.iterdir()) == []
