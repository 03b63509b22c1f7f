"""The record of each face that has left, through whole runs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fer.capture.sources import SourceFrame
from edge_fer.errors import BackendError, OutputError, SourceLost
from edge_fer.expression.classifier import Classifier
from edge_fer.pipeline import Pipeline
from edge_fer.publish import Sink
from edge_fer.schema import Reading, Record, Status, TrackRecord
from edge_fer.settings import Settings, load_settings
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import AlignedFace, Expression, Image
from tests.support.waiting import wait_until


class Kept(Sink):
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def publish(self, record: Record, image: Image | None) -> None:
        self.records.append(record)

    @property
    def readings(self) -> list[Reading]:
        return [record for record in self.records if isinstance(record, Reading)]

    @property
    def tracks(self) -> list[TrackRecord]:
        return [record for record in self.records if isinstance(record, TrackRecord)]

    @property
    def shown(self) -> Counter[int]:
        """In how many readings each face was."""
        return Counter(face.id for reading in self.readings for face in reading.faces)


def settings_for(source: object) -> Settings:
    flags = {"capture.source": str(source), "classify.backend": "fake", "capture.retry_s": 0.3, "detect.min_face": 40}
    return load_settings(environment={}, flags=flags)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures with two faces each."""
    folder = tmp_path_factory.mktemp("scenes")
    for seed in range(3):
        cv2.imwrite(str(folder / f"{seed}.png"), crowd_scene(seed=seed + 3, faces=2, frames=1).render(0))
    return folder


def assert_one_record_for_each_face(sink: Kept) -> None:
    """Each once, after its last reading and before the end of the run, and with as many readings as there were."""
    assert {track.id: track.frames_seen for track in sink.tracks} == sink.shown
    assert len(sink.tracks) == len(sink.shown)
    for track in sink.tracks:
        after = sink.records[sink.records.index(track) :]
        assert all(face.id != track.id for one in after if isinstance(one, Reading) for face in one.faces)
        assert isinstance(after[-1], Status)
        assert sum(track.shares.values()) + track.withheld == pytest.approx(1, abs=1e-3)


def test_every_face_of_pictures_has_its_record(scenes: Path) -> None:
    sink = Kept()
    with Pipeline(settings_for(scenes), [sink]) as pipeline:
        pipeline.run()
    assert_one_record_for_each_face(sink)
    assert len(sink.tracks) == 6
    for track, reading in zip(sink.tracks, [one for one in sink.readings for _ in range(2)], strict=True):
        assert (track.device, track.run, track.source) == (reading.device, reading.run, reading.source)
        assert track.first_at == track.last_at == reading.captured_at
        assert track.first_ns == track.last_ns == reading.captured_ns
        assert (track.source_file, track.last_position_ms) == (reading.source_file, None)
        assert (track.frames_seen, track.frames_read, track.best_frame) == (1, 1, reading.frame)


class Scripted:
    """A live source that shows one scene after the other, and is lost after the last.

    Each picture comes once the one before was read, so that none is overwritten, however busy the machine is.
    """

    name, live, fps, skipped = "webcam", True, 100.0, 0

    def __init__(self, pictures: list[Image], sink: Kept, frames: int = 8) -> None:
        self._left = [picture for picture in pictures for _ in range(frames)]
        self._sink, self._shown = sink, len(sink.readings)

    def read(self) -> SourceFrame | None:
        wait_until(lambda: len(self._sink.readings) >= self._shown)
        if not self._left:
            raise SourceLost("the cable is out")
        self._shown += 1
        noise = np.random.default_rng(len(self._left)).integers(0, 3, self._left[0].shape, np.uint8)
        return SourceFrame(cv2.add(self._left.pop(0), noise).astype(np.uint8), time.monotonic_ns())

    def close(self) -> None: ...


def test_faces_have_left_when_the_scene_changes_the_camera_is_lost_and_the_run_ends(scenes: Path) -> None:
    pictures = [np.asarray(cv2.imread(str(path)), np.uint8) for path in sorted(scenes.iterdir())]
    stopping, opened = threading.Event(), iter([pictures[:2], pictures[2:], []])

    def opener(*_: object) -> Scripted:
        following = next(opened)
        if not following:
            stopping.set()
        return Scripted(following, sink)

    sink = Kept()
    with Pipeline(settings_for("0"), [sink], stopping, opener=opener) as pipeline:
        pipeline.run(duration_s=60)
    assert_one_record_for_each_face(sink)
    assert len(sink.tracks) == 6, "two of each scene, and none twice, although the third is like the first"
    told = [record.state for record in sink.records if isinstance(record, Status)]
    assert told.count("waiting_for_camera") >= 2
    lost = next(
        i for i, one in enumerate(sink.records) if isinstance(one, Status) and one.state == "waiting_for_camera"
    )
    back = next(i for i, one in enumerate(sink.records[lost:], lost) if isinstance(one, Reading))
    before = [track.id for track in sink.tracks if sink.records.index(track) < lost]
    while_away = [track.id for track in sink.tracks if lost < sink.records.index(track) < back]
    assert (len(before), len(while_away)) == (2, 2), "the first two left at the cut, the next two with the camera"


def test_a_device_that_fails_for_good_keeps_no_record_back(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, asked = Classifier.classify, Counter[str]()

    def classify(self: Classifier, face: AlignedFace) -> Expression:
        asked["times"] += 1
        if asked["times"] == 4:
            raise BackendError("the stick is gone")
        return answer(self, face)

    monkeypatch.setattr(Classifier, "classify", classify)
    sink = Kept()
    with Pipeline(settings_for(scenes), [sink]) as pipeline, pytest.raises(BackendError, match="stick"):
        pipeline.run()
    assert_one_record_for_each_face(sink)
    assert len(sink.tracks) == 2


def test_a_sink_that_ends_the_run_keeps_no_record_from_the_others(scenes: Path) -> None:
    class Broken(Kept):
        name = "broken"

        def publish(self, record: Record, image: Image | None) -> None:
            if isinstance(record, Reading):
                raise OutputError("the disk is full")

    sink = Kept()
    with Pipeline(settings_for(scenes), [sink, Broken()]) as pipeline, pytest.raises(OutputError, match="full"):
        pipeline.run()
    assert sink.shown
    assert {track.id for track in sink.tracks} == set(sink.shown)
    assert len(sink.tracks) == len(sink.shown)
