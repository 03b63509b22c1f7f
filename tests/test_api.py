from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

import edge_fer
from edge_fer import EdgeFer, ForkError, Reading, TrackRecord, __version__, draw, load_settings, to_dict, to_json
from edge_fer.errors import ConfigError, SourceError
from edge_fer.schema import Status
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import LABELS


def run_threads() -> list[str]:
    """Names of Python's threads beside the main one; a decoder's threads that once logged stay listed as dummies."""
    names = {thread.name for thread in threading.enumerate() if thread is not threading.main_thread()}
    return sorted(name for name in names if not name.startswith("Dummy-"))


def test_every_frame_of_a_file_is_given_in_order_however_slowly_it_is_taken() -> None:
    statuses: list[Status] = []
    with EdgeFer(capture__source="sample", on_status=statuses.append, detect__min_face=60) as fer:
        frames = []
        for reading in fer:
            frames.append(reading.frame)
            if reading.frame == 20:
                break
    assert frames == list(range(21))
    assert [status.state for status in statuses] == ["starting", "running", "stopping"]
    assert run_threads() == []


def test_what_was_seen_of_each_face_is_told_when_it_has_left(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "two.png"), crowd_scene(seed=3, faces=2, frames=1).render(0))
    tracks: list[TrackRecord] = []
    with EdgeFer(capture__source=str(tmp_path), on_track=tracks.append) as fer:
        (reading,) = fer
    assert [track.id for track in tracks] == [face.id for face in reading.faces]
    assert all(isinstance(track, TrackRecord) for track in tracks)
    assert json.loads(to_json(tracks[0])) == to_dict(tracks[0])
    assert run_threads() == []


def test_a_live_source_is_not_held_up_and_the_newest_reading_is_given() -> None:
    with EdgeFer(capture__source="sample", capture__realtime=True) as fer:
        readings = iter(fer)
        first, pause = next(readings), threading.Event()
        assert not pause.wait(1.0)  # what is taken slowly is what is tested
        taken = [next(readings).frame for _ in range(3)]
        readings.close()
    assert taken == sorted(taken)
    assert taken[-1] > first.frame + 10, "what came meanwhile was replaced by what came later"


def test_it_can_run_twice(tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    cv2.imwrite(str(path), crowd_scene(seed=3, faces=2, frames=1).render(0))
    with EdgeFer(capture__source=str(path)) as fer:
        runs = [[len(reading.faces) for reading in fer] for _ in range(2)]
    assert runs == [[2], [2]]


def test_what_ends_a_run_is_raised_to_whoever_iterates() -> None:
    with EdgeFer(capture__source="/no/such/file.mp4") as fer, pytest.raises(SourceError, match="expected"):
        list(fer)
    assert run_threads() == []


def test_closing_from_another_thread_ends_the_iteration() -> None:
    fer = EdgeFer(capture__source="sample", capture__realtime=True)
    for reading in fer:
        if reading.frame >= 3:
            threading.Thread(target=fer.close).start()
    assert run_threads() == []


def test_closing_ends_every_iteration_not_only_the_last() -> None:
    with EdgeFer(capture__source="sample") as fer:
        first, second = iter(fer), iter(fer)
        assert [next(first).frame, next(second).frame, next(first).frame] == [0, 0, 1]
        fer.close()
        rest = [sum(1 for _ in iteration) for iteration in (first, second)]
    assert max(rest) < 20, "of 450: what was on its way"
    assert run_threads() == []


def test_a_picture_is_read() -> None:
    image = crowd_scene(seed=3, faces=2, frames=1).render(0)
    with EdgeFer(load_settings(environment={}), device="drone-7") as fer:
        for _ in range(2):
            reading = fer.analyze(image)
            assert reading.device == "drone-7"
            assert [sum(face.probabilities.values()) for face in reading.faces] == pytest.approx([1.0, 1.0], abs=0.01)
            assert all(tuple(face.probabilities) == LABELS for face in reading.faces)
        assert fer.analyze(np.full((100, 100, 3), 90, np.uint8)).faces == ()
        assert run_threads() != []
    fer.close()
    assert run_threads() == []


def test_several_threads_take_turns() -> None:
    image = crowd_scene(seed=3, faces=2, frames=1).render(0)
    with EdgeFer() as fer, ThreadPoolExecutor(4) as threads:
        readings = list(threads.map(fer.analyze, [image] * 8))
    assert sorted(reading.frame for reading in readings) == list(range(8))
    assert {len(reading.faces) for reading in readings} == {2}


def test_what_was_closed_reads_no_more() -> None:
    fer = EdgeFer(capture__source="sample")
    fer.close()
    for read in (lambda: fer.analyze(np.zeros((10, 10, 3), np.uint8)), lambda: next(iter(fer))):
        with pytest.raises(RuntimeError, match="found that it was closed; make another"):
            read()
    assert run_threads() == []


@pytest.mark.parametrize(
    "image", [np.zeros((10, 10), np.uint8), np.zeros((10, 10, 3), np.float32), np.zeros((0, 10, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused_in_one_line(image: np.ndarray) -> None:
    with EdgeFer() as fer, pytest.raises(ValueError, match=r"expected a picture \(height, width, 3\) of uint8"):
        fer.analyze(image)


def test_each_picture_is_read_for_itself() -> None:
    """Whatever was seen in the one before, a moment ago."""
    scene = crowd_scene(seed=3, faces=1, frames=60)
    with EdgeFer() as fer:
        (alone,) = fer.analyze(scene.render(40)).faces
    with EdgeFer() as fer:
        first = fer.analyze(scene.render(0))
        second = fer.analyze(scene.render(40))
    assert (first.frame, second.frame) == (0, 1)
    assert second.faces[0].probabilities == alone.probabilities == second.faces[0].smoothed
    assert second.faces[0].id != first.faces[0].id


def test_what_is_no_array_is_told_apart() -> None:
    with EdgeFer() as fer, pytest.raises(TypeError, match=r"found NoneType; cv2\.imread gives one, or None where"):
        fer.analyze(cv2.imread("no such file"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected Settings, found str; single ones are named: capture__source='0'"):
        EdgeFer("0")  # type: ignore[arg-type]


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting `capture.sauce`, did you mean `capture.source`"):
        EdgeFer(capture__sauce="sample")


def test_importing_the_package_loads_no_library() -> None:
    code = "import sys, edge_fer; print(edge_fer.__version__, 'cv2' in sys.modules, 'pydantic' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == [__version__, "False", "False"]


def test_every_public_name_is_there() -> None:
    assert all(getattr(edge_fer, name) is not None for name in edge_fer.__all__)
    assert edge_fer.SourceError is SourceError


def test_a_frame_comes_with_its_reading_and_can_be_drawn_on() -> None:
    with EdgeFer(capture__source="sample") as fer:
        image, reading = next(fer.read(with_frames=True))
    assert isinstance(reading, Reading)
    assert image.shape == (*reading.size[::-1], 3)
    assert not image.flags.writeable
    picture = draw(image, reading)
    assert picture.shape == image.shape
    assert (picture != image).any()
    assert to_dict(reading) == json.loads(to_json(reading))


@pytest.mark.parametrize(
    ("image", "error"), [(None, TypeError), (np.zeros((9, 9)), ValueError), (np.zeros((9, 9, 3)), ValueError)]
)
def test_what_is_no_picture_is_not_drawn_on(image: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"expected a picture \(height, width, 3\) of uint8, BGR, found"):
        draw(image, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a Reading, found NoneType"):
        draw(np.zeros((9, 9, 3), np.uint8), None)  # type: ignore[arg-type]


def test_a_source_may_be_a_path(tmp_path: Path) -> None:
    with EdgeFer(capture__source=tmp_path) as fer, pytest.raises(SourceError, match=f"the folder {tmp_path}"):
        next(iter(fer))


def in_a_fork(call: Callable[[], object]) -> str:
    """What a call raised in a forked process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            call()
            os.write(writer, b"nothing")
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        os.close(writer)
        return pipe.read().decode()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # which is what is tested
def test_after_a_fork_the_child_is_told_to_make_its_own() -> None:
    image = crowd_scene(seed=3, faces=1, frames=1).render(0)
    with EdgeFer(capture__source="sample") as fer:
        fer.analyze(image)
        readings = iter(fer)
        next(readings)
        for call in (lambda: fer.analyze(image), lambda: next(iter(fer)), lambda: next(readings)):
            assert in_a_fork(call).startswith("ForkError: expected an EdgeFer of this process")
        assert in_a_fork(fer.close) == "nothing"
        assert next(readings).frame == 1, "the parent goes on"
        assert fer.analyze(image).faces
        readings.close()
    assert issubclass(ForkError, RuntimeError)


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'edge_fer' has no attribute 'EdgeFur'"):
        _ = edge_fer.EdgeFur
