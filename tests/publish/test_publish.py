from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_fer.errors import OutputClosed, OutputError
from edge_fer.publish.jsonl import JsonLines
from edge_fer.publish.stdout import Stdout
from edge_fer.publish.text import TextLine, _Summary
from edge_fer.schema import Record, json_schema, to_json
from edge_fer.types import LABELS
from tests.support.records import make_face_reading, make_reading, make_status, make_track

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
        "smoothed", "pose", "region", "track", "landmarks_lag_ms",
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
        "served", "detector", "detector_backend", "message",
    ]  # fmt: skip
    assert record["schema"] == "edge-fer/status/1"


def test_a_track_is_the_documented_record() -> None:
    """Byte for byte: what people have archived must be read for good."""
    assert to_json(make_track(label=None)) == (
        '{"schema":"edge-fer/track/1","device":"drone-7","run":"3f0c","id":7,"source":"sample","source_file":null,'
        '"model":"se_resnet50","first_at":"2026-11-21T20:23:49.123Z","first_ns":1000000000,"first_position_ms":null,'
        '"last_at":"2026-11-21T20:23:53.323Z","last_ns":5200000000,"last_position_ms":null,"clock_synced":true,'
        '"duration_ms":4200.0,"frames_seen":126,"frames_read":120,"label":null,"confidence":0.93,'
        '"probabilities":{"anger":0.0117,"disgust":0.0117,"fear":0.0117,'
        '"happiness":0.93,"sadness":0.0117,"surprise":0.0117,'
        '"neutral":0.0117},'
        '"shares":{"anger":0.0,"disgust":0.0,"fear":0.0,"happiness":0.65,"sadness":0.0,"surprise":0.25,"neutral":0.0},'
        '"withheld":0.1,"pose":{"yaw":-3.5,"pitch":8.0,"roll":1.2},"best_frame":42}'
    )


@pytest.mark.parametrize("record", [make_reading(faces=(make_face_reading(),)), make_status(), make_track()])
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


def test_a_face_that_has_left_has_a_line_of_its_own() -> None:
    written: list[str] = []
    sink = TextLine(written.append, in_place=True)
    sink.publish(make_reading(), PICTURE)
    sink.publish(make_track(), None)
    sink.publish(make_track(8, label=None), None)
    film = replace(make_track(9), source_file="/clips/a.mp4", last_position_ms=33.3)
    sink.publish(film, None)
    sink.publish(replace(film, last_position_ms=None), None)
    lines = "".join(written).split("\n")
    assert lines[0].endswith("no face"), "the last reading stays readable"
    assert lines[1:] == [
        "[7] was in view for 4.2 s: happiness 93%",
        "[8] was in view for 4.2 s: no label",
        "[9] was in view for 4.2 s: happiness 93%",
        "",
    ], "and nobody leaves a picture of its own"


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


def test_what_was_not_written_to_its_end_stays_a_line_of_its_own() -> None:
    """As on a full disk, or by a reader that stalls while the run stops: what comes next is whole again."""
    reader, writer = os.pipe()
    stdout = Stdout(writer, stopping=lambda: True)
    with pytest.raises(OutputClosed):
        stdout.write("x" * 200_000)
    os.set_blocking(reader, False)
    torn = os.read(reader, 200_000)
    assert set(torn) == {ord("x")}
    stdout.write("{}\n")
    stdout.write("{}\n")
    assert os.read(reader, 200_000) == b"\n{}\n{}\n"
    os.close(reader)
    os.close(writer)


def test_a_closed_standard_output_is_a_fault() -> None:
    descriptor = os.open("/dev/null", os.O_WRONLY)
    os.close(descriptor)
    with pytest.raises(OutputError, match="Bad file descriptor"):
        Stdout(descriptor).write("x")
