from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_fer import pipeline as pipeline_module
from edge_fer.capture.sources import SourceFrame
from edge_fer.capture.sources.picture import Picture
from edge_fer.common.sensors import Sensor, Vitals
from edge_fer.errors import BackendError, ModelError, OutputClosed, OutputError, SourceError
from edge_fer.expression.classifier import Classifier
from edge_fer.pipeline import Pipeline
from edge_fer.publish import Sink
from edge_fer.schema import Reading, Record, SinkStatus, Status, to_json
from edge_fer.settings import ClassifySettings, Settings, load_settings
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import AlignedFace, Expression, Image
from tests.publish.recording.films import times
from tests.support.waiting import wait_until

STILLS = ["enhance", "detect", "track", "align", "classify"]
"""The stages of pictures of their own; nothing is followed from one to the next."""


class Kept(Sink):
    """A sink that keeps what it is given."""

    pictures = True

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.closed = 0

    def publish(self, record: Record, image: Image | None) -> None:
        assert (image is not None) == isinstance(record, Reading)
        self.records.append(record)

    def close(self) -> None:
        self.closed += 1

    @property
    def readings(self) -> list[Reading]:
        return [record for record in self.records if isinstance(record, Reading)]

    @property
    def states(self) -> list[str]:
        return [record.state for record in self.records if isinstance(record, Status)]


def settings_for(source: Any, **flags: Any) -> Settings:
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    return load_settings(environment={}, flags={"capture.source": str(source), "device": "drone-7", **dotted})


@pytest.fixture(scope="module")
def two_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four pictures of the same two faces, and an empty one at the end."""
    folder = tmp_path_factory.mktemp("pictures")
    scene = crowd_scene(seed=3, faces=2, frames=4)
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), scene.render(index))
    cv2.imwrite(str(folder / "9.png"), np.full((360, 640, 3), 90, np.uint8))
    return folder


def test_a_run_reads_every_frame_in_order(two_faces: Path) -> None:
    sink = Kept()
    with Pipeline(settings_for(two_faces), [sink]) as pipeline:
        pipeline.run()
    assert [reading.frame for reading in sink.readings] == [0, 1, 2, 3, 4]
    assert [len(reading.faces) for reading in sink.readings] == [2, 2, 2, 2, 0]
    ids = [face.id for reading in sink.readings for face in reading.faces]
    assert ids == list(range(1, 9)), "nobody in a picture is known from the one before"
    assert all(face.smoothed == face.probabilities for reading in sink.readings for face in reading.faces)
    assert sink.states == ["starting", "running", "stopping"]
    last = sink.records[-1]
    assert isinstance(last, Status)
    assert list(last.stages) == STILLS
    assert sink.closed == 1
    assert len({record.run for record in sink.records}) == 1
    assert all(record.device == "drone-7" for record in sink.records)


def test_a_reading_keeps_its_promises(two_faces: Path) -> None:
    sink = Kept()
    with Pipeline(settings_for(two_faces, smooth__min_confidence=0), [sink]) as pipeline:
        pipeline.run(max_frames=2)
    reading = sink.readings[1]
    assert len(sink.readings) == 2
    assert reading.size == (640, 360)
    assert reading.source == str(two_faces)
    assert (reading.model, reading.backend) == (ClassifySettings().model, "cpu")
    assert (reading.degraded, reading.reason, reading.dropped) == (False, None, 0)
    assert reading.captured_at.endswith("Z")
    assert reading.age_ms > 0
    assert reading.captured_ns > sink.readings[0].captured_ns
    for face in reading.faces:
        assert face.label is not None
        assert face.smoothed is not None
        assert face.confidence == face.smoothed[face.label]
        assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-3)
        assert face.label_age_ms == reading.age_ms
        assert face.landmarks.left_eye.x < face.landmarks.right_eye.x
    assert len(to_json(reading)) < 2500


def test_stages_are_timed(two_faces: Path) -> None:
    with Pipeline(settings_for(two_faces, enhance__clahe="on", monitor__window_s=600)) as pipeline:
        pipeline.run()
        times = pipeline.monitor.stage_times()
    assert list(times) == STILLS
    assert {name: time.count for name, time in times.items()} == {
        "enhance": 5, "detect": 5, "track": 5, "align": 5, "classify": 8,
    }  # fmt: skip
    assert all(0 < time.p50_ms <= time.p95_ms for time in times.values())


def test_the_recording_holds_every_frame(two_faces: Path, tmp_path: Path) -> None:
    """A folder of pictures is a film in which each stands for a second, or pictures again."""
    path = tmp_path / "out.mp4"
    for record in (path, f"{tmp_path}/shots/"):
        with Pipeline(settings_for(two_faces, publish__record=str(record))) as pipeline:
            pipeline.run()
    assert times(path) == [0, 1, 2, 3, 4]
    assert sorted(shot.name for shot in (tmp_path / "shots").iterdir()) == [
        f"{number}.jpg" for number in (0, 1, 2, 3, 9)
    ]


def test_a_live_source_is_not_held_up_by_its_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device hangs until five frames were published, which say that the face was not read yet."""
    go_on, stopping, answer = threading.Event(), threading.Event(), Classifier.classify

    def classify(self: Classifier, face: AlignedFace) -> Expression:
        assert go_on.wait(60)
        return answer(self, face)

    class StopWhenOld(Kept):
        def publish(self, record: Record, image: Image | None) -> None:
            super().publish(record, image)
            if len([reading for reading in self.readings if reading.faces]) == 5:
                go_on.set()
            if isinstance(record, Reading) and any(face.label is not None for face in record.faces):
                stopping.set()

    monkeypatch.setattr(Classifier, "classify", classify)
    sink = StopWhenOld()
    # In a loop: a busy machine reads few of its frames in time.
    endless = settings_for("sample", capture__realtime=True, capture__loop=True)
    with Pipeline(endless, [sink], stopping) as pipeline:
        pipeline.run(max_frames=400)
    with_faces = [reading for reading in sink.readings if reading.faces]
    assert stopping.is_set()
    for reading in with_faces[:5]:
        for face in reading.faces:
            assert (face.label, face.label_age_ms, face.why, face.probabilities) == (None, None, "not_read_yet", {})
    read = [face for reading in with_faces for face in reading.faces if face.label is not None]
    assert read
    assert all(face.label_age_ms is not None and face.label_age_ms > 0 for face in read)


def test_a_file_that_breaks_off_gives_every_frame_before_that(two_faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.asarray(cv2.imread(str(two_faces / "0.png")), np.uint8)
    delivered = iter([image] * 3)

    def read(_: Picture) -> SourceFrame:
        try:
            return SourceFrame(next(delivered), time.monotonic_ns())
        except StopIteration:
            raise SourceError("the file breaks off") from None

    monkeypatch.setattr(Picture, "read", read)
    sink = Kept()
    with Pipeline(settings_for(two_faces / "0.png"), [sink]) as pipeline, pytest.raises(SourceError, match="breaks"):
        pipeline.run()
    assert [reading.frame for reading in sink.readings] == [0, 1, 2]


def test_a_frame_without_a_face_is_published_at_once(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "empty.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (320, 240))
    for _ in range(4):
        writer.write(np.full((240, 320, 3), 90, np.uint8))
    writer.release()
    sink = Kept()
    with Pipeline(settings_for(tmp_path / "empty.avi", capture__realtime=True), [sink]) as pipeline:
        pipeline.run()
    ages = [reading.age_ms for reading in sink.readings]  # of a busy machine fewer than four
    assert min(ages) < 150, "not when the next frame comes, 200 ms later"


def test_a_device_that_fails_ends_the_run(monkeypatch: pytest.MonkeyPatch, two_faces: Path) -> None:
    def classify(self: Classifier, face: AlignedFace) -> Expression:
        raise BackendError("the stick is gone")

    monkeypatch.setattr(Classifier, "classify", classify)
    sink = Kept()
    with Pipeline(settings_for(two_faces), [sink]) as pipeline, pytest.raises(BackendError, match="stick"):
        pipeline.run()
    assert sink.states[-1] == "stopping"
    assert not [thread for thread in threading.enumerate() if thread.name in ("camera", "labels")]


def test_stopping_ends_a_run_from_another_thread() -> None:
    stopping = threading.Event()

    class StopAfterThree(Kept):
        def publish(self, record: Record, image: Image | None) -> None:
            super().publish(record, image)
            if len(self.readings) == 3:
                threading.Thread(target=stopping.set).start()

    sink = StopAfterThree()
    with Pipeline(settings_for("sample"), [sink], stopping) as pipeline:
        pipeline.run()
    assert 3 <= len(sink.readings) < 450
    assert sink.states[-1] == "stopping"
    assert not [thread for thread in threading.enumerate() if thread.name == "camera"]


def test_a_duration_ends_a_run() -> None:
    sink = Kept()
    with Pipeline(settings_for("sample"), [sink]) as pipeline:
        pipeline.run(duration_s=0)
    assert sink.readings == []


def test_while_a_camera_is_waited_for_its_state_is_told() -> None:
    """Silence would look the same as an empty room; a status comes at once and then every second."""
    sink = Kept()
    settings = settings_for("/dev/video97", capture__wait=True, capture__retry_s=0.05)
    with Pipeline(settings, [sink]) as pipeline:
        pipeline.run(duration_s=1.5)
    waiting = [record for record in sink.records if isinstance(record, Status) and record.state == "waiting_for_camera"]
    assert len(waiting) >= 2
    assert "/dev/video97" in waiting[0].message
    assert sink.readings == []


def test_a_missing_camera_is_told_and_closes_everything_again() -> None:
    sink = Kept()
    with Pipeline(settings_for("/dev/video97"), [sink]) as pipeline, pytest.raises(SourceError, match="/dev/video97"):
        pipeline.run()
    assert sink.states == ["starting", "stopping"]
    assert "/dev/video97" in str(sink.records[-1])
    assert sink.closed == 1


def test_a_recording_that_cannot_be_written_fails_before_the_camera_starts() -> None:
    sink = Kept()
    with pytest.raises(OutputError):
        Pipeline(settings_for("sample", publish__record="/no/such/folder/out.mp4"), [sink])
    assert sink.closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "camera"]


class Broken(Kept):
    """A sink that takes no reading."""

    def publish(self, record: Record, image: Image | None) -> None:
        super().publish(record, image)
        if isinstance(record, Reading):
            raise OutputError("the disk is full")


def test_a_sink_that_fails_ends_the_run_and_hears_no_more() -> None:
    sink = Broken()
    with Pipeline(settings_for("sample"), [sink]) as pipeline, pytest.raises(OutputError, match="the disk is full"):
        pipeline.run()
    assert len(sink.readings) == 1
    assert sink.states == ["starting", "running"]
    assert sink.closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "camera"]


@pytest.mark.parametrize("error", [OutputError("the disk is full"), OutputClosed("nobody reads"), ValueError("a bug")])
def test_a_sink_that_fails_does_not_end_a_run_that_shall_go_on(two_faces: Path, error: Exception) -> None:
    class Failing(Kept):
        def publish(self, record: Record, image: Image | None) -> None:
            super().publish(record, image)
            if isinstance(record, Reading) and record.frame in (1, 2):
                raise error

    failing, kept = Failing(), Kept()
    failing.name = "failing"
    with Pipeline(settings_for(two_faces, publish__keep_going=True), [failing, kept]) as pipeline:
        pipeline.run()
    assert [reading.frame for reading in failing.readings] == [0, 1, 2, 3, 4]
    assert [reading.frame for reading in kept.readings] == [0, 1, 2, 3, 4]
    last = kept.records[-1]
    assert isinstance(last, Status)
    assert (last.sinks["failing"].state, last.sinks["failing"].dropped) == ("ok", 2)


@pytest.mark.slow
def test_a_recording_that_fails_is_told_and_comes_back_in_a_run_that_goes_on(tmp_path: Path) -> None:
    """Its folder is not there at the start, comes, goes with the recording in it, and comes again."""
    folder, kept = tmp_path / "stick", Kept()
    stopping = threading.Event()
    settings = settings_for(
        "synthetic:1", capture__realtime=True, publish__keep_going=True, publish__record=f"{folder}/%Y/out.mkv"
    )

    def told() -> SinkStatus:
        statuses = [record.sinks for record in list(kept.records) if isinstance(record, Status)]
        return next((sinks["recording"] for sinks in reversed(statuses) if "recording" in sinks), SinkStatus())

    with Pipeline(settings, [kept], stopping) as pipeline:
        run = threading.Thread(target=pipeline.run)
        run.start()
        wait_until(lambda: told().state == "failed")
        assert "No such file or directory" in str(told().reason)
        for _ in range(2):
            folder.mkdir()
            wait_until(lambda: told().state == "ok" and any(folder.rglob("*.mkv")))
            shutil.rmtree(folder)
            wait_until(lambda: told().state == "failed")
        stopping.set()
        run.join(10)
        assert not run.is_alive()
    last = pipeline._sinks.conditions["recording"]
    assert last.sent
    assert last.dropped
    assert last.sent + last.dropped == len(kept.readings)


def test_a_missing_model_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=str(tmp_path)):
        Pipeline(settings_for("sample", models=str(tmp_path)))


def test_every_record_is_one_line_of_json(two_faces: Path) -> None:
    sink = Kept()
    with Pipeline(settings_for(two_faces), [sink]) as pipeline:
        pipeline.run()
    for record in sink.records:
        text = to_json(record)
        assert "\n" not in text
        assert json.loads(text)["schema"] in {"edge-fer/reading/1", "edge-fer/status/1", "edge-fer/track/1"}


class Hot:
    """Stands for the box's health: too hot from the second look on, cool again at the end."""

    def __init__(self, settings: object, may_shed: Callable[[], bool]) -> None:
        self.vitals = Vitals((Sensor("0:cpu", 85.0, (80.0,)),), ("throttled",))
        self.looks, self.label_rate = 0, 1.0

    def __enter__(self) -> Hot:
        return self

    def __exit__(self, *_: object) -> None: ...

    def start(self) -> None: ...

    @property
    def reason(self) -> str | None:
        self.looks += 1
        self.label_rate = 0.5 if 1 < self.looks < 6 else 1.0
        return "0:cpu is at 85 °C" if self.label_rate < 1 else None


def test_a_box_that_is_too_hot_says_so(two_faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "Health", Hot)
    sink = Kept()
    with Pipeline(settings_for(two_faces), [sink]) as pipeline:
        pipeline.run()
    statuses = [record for record in sink.records if isinstance(record, Status)]
    hot = [status for status in statuses if status.label_rate < 1]
    assert hot
    assert {(status.state, status.throttled) for status in hot} == {("degraded", ("throttled",))}
    assert "0:cpu is at 85 °C" in [status.message for status in hot]
    assert statuses[-1].temperatures == {"0:cpu": 85.0}
    assert any(reading.degraded and reading.reason == "0:cpu is at 85 °C" for reading in sink.readings)
    assert not sink.readings[-1].degraded


def test_a_file_is_read_whole_however_hot_the_box_is(two_faces: Path) -> None:
    for source, realtime, may_shed in ((two_faces, False, False), ("sample", True, True)):
        with Pipeline(settings_for(source, capture__realtime=realtime)) as pipeline:
            pipeline.run(max_frames=1)
            assert pipeline._health._may_shed() == may_shed


def test_news_of_devices_do_not_hide_that_the_camera_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "Health", Hot)
    sink = Kept()
    with Pipeline(settings_for("/dev/video97", capture__wait=True), [sink]) as pipeline:
        pipeline.run(duration_s=0.5)
    assert any("85" in record.message for record in sink.records if isinstance(record, Status))
    assert set(sink.states) == {"starting", "waiting_for_camera", "stopping"}


class Webcam:
    """A live source: black, then something to see, then that in another size, then frozen; one picture every 10 ms."""

    name, live, fps, skipped = "webcam", True, 100.0, 0

    def __init__(self) -> None:
        self._number = 0

    def read(self) -> SourceFrame | None:
        time.sleep(0.01)
        self._number += 1
        if self._number < 20:
            image = np.zeros((120, 160, 3), np.uint8)
        else:
            size = (120, 160, 3) if self._number < 40 else (240, 320, 3)
            image = np.random.default_rng(min(self._number, 60)).integers(0, 256, size).astype(np.uint8)
        return SourceFrame(image, time.monotonic_ns())

    def close(self) -> None: ...


def test_a_camera_that_sees_nothing_changes_size_or_freezes_is_told_and_never_ends_the_run() -> None:
    sink, stopping = Kept(), threading.Event()
    settings = settings_for("0", capture__blind_s=0.05, capture__frozen_s=0.3, capture__retry_s=0.01)
    opened: list[Webcam] = []
    beats: list[bool] = []

    def opener(*_: object) -> Webcam:
        opened.append(Webcam())
        return opened[-1]

    def beat() -> None:
        beats.append(True)
        if len(opened) == 3:
            stopping.set()

    with Pipeline(settings, [sink], stopping, opener=opener, beat=beat) as pipeline:
        pipeline.run(duration_s=30)
    assert len(opened) == 3
    blind = [reading for reading in sink.readings if reading.degraded]
    assert blind
    assert all("the picture is black" in str(reading.reason) for reading in blind)
    assert {reading.size for reading in sink.readings} == {(160, 120), (320, 240)}
    told = [(record.state, record.message) for record in sink.records if isinstance(record, Status)]
    states = {state for state, message in told if "the picture is black" in message}
    assert states == {"degraded"}
    assert ("running", "the picture is now 320x240, and was 160x120") in told
    assert any(state == "waiting_for_camera" and "is frozen" in message for state, message in told)
    assert len(beats) > 10, "the watchdog is fed all the while"


class Away(Kept):
    """A sink of the settings' that says of itself what the test wants."""

    name = "away"
    condition = None

    def publish(self, record: Record, image: Image | None) -> None:
        self.records.append(record)


def test_a_status_tells_of_every_sink_and_of_each_change(two_faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away, kept = Away(), Kept()
    away.condition = SinkStatus("waiting", 3, 1, 2, "the broker is away")
    monkeypatch.setattr(pipeline_module, "configured_sinks", lambda _: [away])
    with Pipeline(settings_for(two_faces), [kept]) as pipeline:
        pipeline.run()
    statuses = [record for record in kept.records if isinstance(record, Status)]
    assert "sink away is waiting: the broker is away" in [status.message for status in statuses]
    last = statuses[-1].sinks
    assert set(last) == {"sink", "away"}
    assert (last["away"].state, last["away"].sent, last["away"].dropped) == ("waiting", 3, 1)
    assert last["sink"].state == "ok"


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_run_ends_when_nobody_takes_its_readings_unless_it_should_go_on(
    keep_going: bool, two_faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away()
    away.condition = SinkStatus("failed", reason="the broker refused the password")
    monkeypatch.setattr(pipeline_module, "configured_sinks", lambda _: [away])
    with Pipeline(settings_for(two_faces, publish__keep_going=keep_going)) as pipeline:
        if keep_going:
            pipeline.run()
        else:
            with pytest.raises(OutputError, match="the broker refused the password"):
                pipeline.run()
    assert ("stopping" in away.states) == keep_going


def test_the_watchdog_is_not_fed_while_a_thread_is_stuck(two_faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[int] = []
    for missed in (False, True):
        beats.append(0)

        def beat() -> None:
            beats[-1] += 1

        monkeypatch.setattr("edge_fer.common.deadline.Deadline.missed", missed)
        with Pipeline(settings_for(two_faces), beat=beat) as pipeline:
            pipeline.run()
    assert beats[0] >= 5
    assert beats[1] == 0


def test_a_thread_that_is_stuck_is_told_once_and_again_when_it_turns(
    two_faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Turning(Kept):
        def publish(self, record: Record, image: Image | None) -> None:
            super().publish(record, image)
            if len(self.readings) == 2:
                monkeypatch.setattr("edge_fer.common.deadline.Deadline.missed", False)

    sink = Turning()
    monkeypatch.setattr("edge_fer.common.deadline.Deadline.missed", True)
    with Pipeline(settings_for(two_faces), [sink]) as pipeline:
        pipeline.run()
    sentence = "camera: a call has outlived its deadline and cannot be ended"
    statuses = [record for record in sink.records if isinstance(record, Status)]
    assert [status.message for status in statuses].count(sentence) == 1
    (stuck,) = (status for status in statuses if status.message == sentence)
    assert (stuck.state, stuck.stuck) == ("degraded", "camera")
    assert sink.readings[0].reason == sentence
    assert sink.readings[-1].reason is None
    assert ("running", None) in [(s.state, s.stuck) for s in statuses if s.message == "camera: it turns again"]
