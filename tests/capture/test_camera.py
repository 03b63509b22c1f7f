from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge_fer.capture.camera import STOP_S, Camera
from edge_fer.capture.condition import Condition, ConditionLog
from edge_fer.capture.slot import Slot
from edge_fer.capture.sources import SourceFrame
from edge_fer.capture.sources.child_source import ChildSource
from edge_fer.errors import SourceError, SourceLost, SourceRefused
from edge_fer.settings import CaptureSettings
from edge_fer.types import Frame
from tests.capture.sources.test_sources import GENERATOR, numbered_stream, write_pictures, write_video

SECOND = 1_000_000_000
PATIENCE_S = 30.0  # nothing takes so long; what does has failed


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now_ns = 5 * SECOND

    def __call__(self) -> int:
        return self.now_ns


class Stopping(threading.Event):
    """An event whose waits take no time, but move the clock; remembers them."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        self._clock.now_ns += round(timeout * SECOND)
        return self.is_set()


class Script:
    """A source that does what its list says: a number is a frame, an error is raised, `gate` waits."""

    skipped = 0

    def __init__(self, steps, *, live=True, fps=None, clock=time.monotonic_ns):
        self.name = "script"
        self.live = live
        self.fps = fps
        self.closed = 0
        self._steps = iter(steps)
        self._clock = clock

    def read(self):
        step = next(self._steps, None)
        if isinstance(step, threading.Event):
            assert step.wait(PATIENCE_S)
            step = next(self._steps, None)
        if isinstance(step, Exception):
            raise step
        return None if step is None else SourceFrame(np.full((2, 2, 3), step, np.uint8), self._clock())

    def close(self):
        self.closed += 1


def opener(*results):
    """Opens one thing after the other: a source, or an error."""
    left = iter(results)

    def open_next(settings, cancelled, warn):
        result = next(left)
        if isinstance(result, Exception):
            raise result
        return result

    return open_next


def settings(source="script", **more):
    return CaptureSettings.model_validate({"source": str(source), **more})


def drain(camera):
    """All frames to the end."""
    frames = []
    while (frame := camera.get(PATIENCE_S)) is not None:
        frames.append(frame)
    assert camera.state == "ended"
    return frames


def follow(camera, reached):
    """Take frames until the camera is as it should be; the changes on the way."""
    end, changes = time.monotonic() + PATIENCE_S, []
    while not reached():
        assert time.monotonic() < end, camera.condition
        camera.get(0.02)
        changes += camera.changes()
    return changes + list(camera.changes())


def join_camera():
    """Wait until the camera's thread has ended."""
    for thread in threading.enumerate():
        if thread.name == "camera":
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def value(frame):
    return int(frame.image[0, 0, 0])


def frame(number):
    return Frame(id=number, image=np.zeros((1, 1, 3), np.uint8), captured_ns=number, captured_at=0.0, scene_ns=0)


@pytest.fixture
def started():
    """Starts cameras and stops them in the end."""
    cameras = []

    def start(*arguments, **more):
        camera = Camera(*arguments, **more)
        cameras.append(camera)
        camera.start()
        return camera

    yield start
    for camera in cameras:
        camera.stop()
    join_camera()


# The slot


def test_the_newest_frame_wins_and_the_overwritten_are_counted():
    slot = Slot()
    for number in range(5):
        slot.put(frame(number), overwrite=True)
    assert slot.get(0.0).id == 4
    assert slot.dropped == 4
    assert slot.get(0.0) is None


def test_without_overwriting_a_frame_waits_its_turn():
    slot = Slot()
    slot.put(frame(0), overwrite=False)
    thread = threading.Thread(target=slot.put, args=(frame(1),), kwargs={"overwrite": False})
    thread.start()
    assert [slot.get(PATIENCE_S).id, slot.get(PATIENCE_S).id] == [0, 1]
    thread.join(PATIENCE_S)
    assert slot.dropped == 0


def test_a_closed_slot_gives_what_it_has_and_takes_no_more():
    slot = Slot()
    slot.put(frame(0), overwrite=False)
    thread = threading.Thread(target=slot.put, args=(frame(1),), kwargs={"overwrite": False})
    thread.start()
    slot.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    slot.put(frame(2), overwrite=True)
    assert slot.get(PATIENCE_S).id == 0
    assert slot.get(PATIENCE_S) is None
    assert slot.dropped == 0


def test_closing_wakes_who_waits_for_a_frame():
    slot, got = Slot(), []
    thread = threading.Thread(target=lambda: got.append(slot.get(60.0)))
    thread.start()
    slot.close()
    thread.join(PATIENCE_S)
    assert got == [None]


def test_whoever_waits_for_several_things_is_woken():
    wake_up = threading.Event()
    slot = Slot(wake_up)
    slot.put(frame(1), overwrite=True)
    assert wake_up.is_set()
    wake_up.clear()
    slot.close()
    assert wake_up.is_set()


def test_changes_are_taken_once_and_the_end_only_when_it_may_be():
    log = ConditionLog("opening 0")
    assert (log.current, log.take(lambda: True)) == (("starting", "opening 0"), ())
    log.report("running", "reading 0")
    log.report("ended", "0 has ended")
    assert log.take(lambda: False) == (("running", "reading 0"),)
    assert log.take(lambda: True) == (log.current,) == (("ended", "0 has ended"),)
    assert log.take(lambda: True) == ()


def test_whether_the_end_may_be_taken_is_asked_once_it_is_next():
    """A frame that came in between must be taken first: an answer from before the end would be of no use."""
    log = ConditionLog("opening 0")

    def too_early():
        raise AssertionError("there is no end yet")

    assert log.take(too_early) == ()
    log.report("running", "reading 0")
    assert log.take(too_early) == (("running", "reading 0"),)


# Files


def test_a_file_is_delivered_whole_in_order_and_then_ends(started):
    source = Script(range(50), live=False, fps=25.0)
    camera = started(settings(), opener=opener(source))
    frames = drain(camera)
    assert [value(one) for one in frames] == list(range(50))
    assert [one.id for one in frames] == list(range(50))
    assert (camera.dropped, camera.restarts, camera.live, camera.fps) == (0, 0, False, 25.0)
    assert camera.message == "script has ended"
    assert source.closed == 1
    assert camera.get(0.0) is None


def test_the_time_in_a_file_is_that_of_its_frames_and_pictures_are_stills(started):
    film = drain(started(settings(), opener=opener(Script(range(3), live=False, fps=25.0))))
    assert [(one.scene_ns, one.still) for one in film] == [(0, False), (40_000_000, False), (80_000_000, False)]
    assert [one.position_ns for one in film] == [None] * 3
    pictures = drain(started(settings(), opener=opener(Script(range(2), live=False, fps=None))))
    assert [(one.scene_ns, one.still) for one in pictures] == [(0, True), (10**9, True)]


class Film(Script):
    """A file of uneven rate, read twice without a break."""

    POSITIONS_MS = (200, 240, 900, 940)

    def __init__(self, clock=time.monotonic_ns):
        super().__init__(range(8), live=False, fps=25.0, clock=clock)
        self._positions = iter(self.POSITIONS_MS * 2)

    def read(self):
        taken = super().read()
        return None if taken is None else taken._replace(position_ns=next(self._positions) * 10**6, file="a.mp4")


def test_the_time_in_a_film_of_uneven_rate_is_that_of_its_presentation(started):
    film = drain(started(settings(), opener=opener(Film())))
    assert [one.scene_ns // 10**6 for one in film] == [0, 40, 700, 740, 780, 820, 1480, 1520]
    assert [one.position_ns // 10**6 for one in film] == [*Film.POSITIONS_MS] * 2
    assert {one.file for one in film} == {"a.mp4"}


def test_realtime_paces_a_film_of_uneven_rate_by_its_presentation(started):
    clock = Clock()
    stopping = Stopping(clock)
    started(settings(realtime=True), opener=opener(Film(clock)), stopping=stopping, clock=clock)
    join_camera()
    assert stopping.waits == pytest.approx([0.04, 0.66, 0.04, 0.04, 0.04, 0.66, 0.04])


def test_the_time_of_a_live_source_is_that_of_capture(started):
    (one, *_) = drain(started(settings(), opener=opener(Script(range(1), live=True))))
    assert (one.scene_ns, one.still) == (one.captured_ns, False)


def test_a_file_waits_for_its_reader(started):
    camera = started(settings(), opener=opener(Script([1, 2], live=False)))
    assert [value(one) for one in drain(camera)] == [1, 2]
    assert camera.dropped == 0


def test_the_camera_has_not_ended_before_its_last_frame_was_taken(started):
    camera = started(settings(), opener=opener(Script([7], live=False)))
    join_camera()
    assert camera.condition == ("running", "reading script")
    assert camera.changes() == (("running", "reading script"),)
    assert value(camera.get(0.0)) == 7
    assert camera.condition == ("ended", "script has ended")
    assert camera.changes() == (("ended", "script has ended"),)
    assert camera.changes() == ()


def test_realtime_paces_a_file_at_its_rate_and_drops_what_comes_too_late(started):
    clock = Clock()
    stopping = Stopping(clock)
    source = Script(range(50), live=False, fps=25.0, clock=clock)
    camera = started(settings(realtime=True), opener=opener(source), stopping=stopping, clock=clock, wall=lambda: 1e9)
    join_camera()
    last = camera.get(0.0)
    assert last.id == 49
    assert camera.dropped == 49
    assert stopping.waits == pytest.approx([0.04] * 49)
    assert last.captured_ns == 5 * SECOND + round(49 * 0.04 * SECOND)
    assert camera.get(0.0) is None


def test_a_file_of_unknown_rate_is_paced_at_30(started):
    clock = Clock()
    stopping = Stopping(clock)
    source = Script(range(3), live=False, clock=clock)
    started(settings(realtime=True), opener=opener(source), stopping=stopping, clock=clock)
    join_camera()
    assert stopping.waits == pytest.approx([1 / 30] * 2, abs=1e-6)


def test_a_frame_that_is_late_already_is_not_held_back(started):
    clock = Clock()
    stopping = Stopping(clock)

    class Slow(Script):
        def read(self):
            clock.now_ns += SECOND
            return super().read()

    started(settings(realtime=True), opener=opener(Slow(range(3), live=False, fps=10)), stopping=stopping, clock=clock)
    join_camera()
    assert stopping.waits == []


def test_the_wall_clock_of_a_frame_is_that_of_its_capture(started):
    clock = Clock()

    class Old(Script):
        def read(self):
            taken = super().read()
            return None if taken is None else taken._replace(captured_ns=taken.captured_ns - SECOND // 2)

    camera = started(settings(), opener=opener(Old([1], clock=clock)), clock=clock, wall=lambda: 1000.0)
    got = camera.get(PATIENCE_S)
    assert got.captured_ns == 5 * SECOND - SECOND // 2
    assert got.captured_at == 999.5


def test_an_error_after_the_last_frame_is_raised_when_that_was_taken(started):
    camera = started(settings(), opener=opener(Script([1, SourceError("cut short")], live=False)))
    join_camera()
    assert camera.state == "running"
    assert value(camera.get(PATIENCE_S)) == 1
    with pytest.raises(SourceError, match="cut short"):
        camera.get(PATIENCE_S)
    assert (camera.state, camera.message) == camera.condition == ("ended", "cut short")


def test_an_error_that_comes_after_a_call_gave_up_is_raised_by_the_next(started):
    gate = threading.Event()
    camera = started(settings(), opener=opener(Script([gate, SourceError("cut short")], live=False)))
    assert camera.get(0.0) is None
    gate.set()
    join_camera()
    assert camera.state == "ended"
    for _ in range(2):
        with pytest.raises(SourceError, match="cut short"):
            camera.get(0.0)


def test_a_fault_of_the_program_is_not_swallowed(started):
    camera = started(settings(), opener=opener(Script([ZeroDivisionError("oops")])))
    with pytest.raises(ZeroDivisionError):
        camera.get(PATIENCE_S)


# Live sources


def test_a_live_source_gives_its_newest_frame(started):
    gate = threading.Event()
    camera = started(settings(), opener=opener(Script([*range(10), gate, 77])))
    first = camera.get(PATIENCE_S)
    gate.set()
    join_camera()
    last = camera.get(PATIENCE_S)
    assert value(last) == 77
    assert last.id == 10
    assert camera.dropped == 11 - 2
    assert first.id <= 9


def test_a_lost_camera_is_opened_again_and_the_ids_go_on(started):
    clock = Clock()
    stopping = Stopping(clock)
    gate = threading.Event()
    sources = [Script([1, SourceLost("gone")]), Script([2, gate, 3])]
    camera = started(settings(retry_s=0.5), opener=opener(*sources), stopping=stopping, clock=clock)
    while (got := camera.get(PATIENCE_S)) is not None and value(got) != 2:
        pass
    assert got.id == 1
    assert camera.state == "running"
    assert camera.restarts == 1
    assert stopping.waits == [0.5]
    assert sources[0].closed == 1
    gate.set()


def test_pauses_grow_to_their_cap_and_every_change_is_told(started):
    clock = Clock()
    stopping = Stopping(clock)
    camera = started(
        settings(retry_s=1.0, retry_max_s=4.0),
        opener=opener(
            Script([1, SourceLost("it was unplugged")]),
            *[SourceError(f"expected a camera, found none ({n})") for n in range(4)],
            Script([2]),
        ),
        stopping=stopping,
        clock=clock,
    )
    join_camera()
    camera.get(0.0)
    told = camera.changes()
    assert stopping.waits == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert [state for state, _ in told] == ["running", *["waiting_for_camera"] * 5, "running", "ended"]
    assert told[1] == Condition("waiting_for_camera", "it was unplugged; trying again in 1 s")
    assert told[4].message == "expected a camera, found none (2); trying again in 4 s"
    assert camera.restarts == 1


def test_a_camera_that_refuses_the_password_is_asked_seldom(started):
    """Many cameras lock an account after five attempts."""
    clock = Clock()
    stopping = Stopping(clock)
    refused = [SourceRefused("it answers 401") for _ in range(4)]
    camera = started(
        settings(wait=True, retry_s=1.0, refused_retry_s=5.0, refused_retry_max_s=15.0),
        opener=opener(refused[0], SourceError("no route"), *refused[1:], Script([1])),
        stopping=stopping,
        clock=clock,
    )
    join_camera()
    assert stopping.waits == [5.0, 1.0, 10.0, 15.0, 15.0]
    assert "it answers 401; trying again in 5 s" in [message for _, message in camera.changes()]


def test_of_too_many_changes_the_newest_are_told(started):
    clock = Clock()
    errors = [SourceError(f"none yet ({number})") for number in range(50)]
    results = opener(*errors, Script([], live=False))
    camera = started(settings(wait=True), opener=results, stopping=Stopping(clock), clock=clock)
    join_camera()
    told = camera.changes()
    assert len(told) == 32
    assert told[0].message == "none yet (20); trying again in 1 s"
    assert told[-1].state == "ended"


def test_the_pause_is_short_again_once_the_source_was_steady(started):
    clock = Clock()
    stopping = Stopping(clock)

    class Steady(Script):
        def read(self):
            clock.now_ns += SECOND
            return super().read()

    flaky = [Script([1, SourceLost("gone")], clock=clock) for _ in range(2)]
    steady = Steady([1, 2, 3, SourceLost("gone")], clock=clock)
    started(
        settings(retry_s=1.0, retry_max_s=4.0),
        opener=opener(*flaky, steady, Script([])),
        stopping=stopping,
        clock=clock,
    )
    join_camera()
    assert stopping.waits == [1.0, 2.0, 1.0]


# Start and stop


def test_a_camera_missing_at_the_start_ends_it(started):
    camera = started(settings(), opener=opener(SourceError("expected a camera, found none")))
    with pytest.raises(SourceError, match="expected a camera, found none"):
        camera.get(PATIENCE_S)
    assert camera.condition == ("ended", "expected a camera, found none")
    assert camera.changes() == (camera.condition,)


def test_a_camera_missing_at_the_start_is_waited_for_when_asked(started):
    clock = Clock()
    stopping = Stopping(clock)
    results = (SourceError("none yet"), SourceError("none yet"), Script([1], live=False))
    camera = started(settings(wait=True), opener=opener(*results), stopping=stopping, clock=clock)
    assert [value(one) for one in drain(camera)] == [1]
    assert not camera.live
    assert stopping.waits == [0.5, 1.0]
    assert camera.restarts == 0


def test_before_the_start_it_has_a_name_and_a_state_and_can_be_stopped():
    camera = Camera(settings("rtsp://user:secret@host/a"))
    assert (camera.name, camera.state, camera.live, camera.fps) == ("rtsp://***@host/a", "starting", True, None)
    assert (camera.dropped, camera.restarts, camera.skipped) == (0, 0, 0)
    assert camera.message == "opening rtsp://***@host/a"
    camera.stop()
    assert camera.state == "ended"


def test_a_stopped_camera_gives_no_more_frames(started):
    camera = started(settings(), opener=opener(Script([1, 2, 3], live=False)))
    camera.stop()
    assert camera.get(PATIENCE_S) is None
    assert camera.state == "ended"
    camera.stop()


def test_a_pause_before_the_next_attempt_ends_at_once_when_stopped():
    camera = Camera(settings(wait=True, retry_s=60), opener=opener(SourceError("none")))
    camera.start()
    told = follow(camera, lambda: camera.state == "waiting_for_camera")
    assert told == [("waiting_for_camera", "none; trying again in 1 s")]
    began = time.monotonic()
    camera.stop()
    assert time.monotonic() - began < STOP_S


def test_start_returns_while_the_source_still_opens():
    opening = threading.Event()

    def slow(settings, cancelled, warn):
        opening.set()
        while not cancelled():
            time.sleep(0.01)
        raise SourceError("cancelled")

    camera = Camera(settings(), opener=slow)
    camera.start()
    assert opening.wait(PATIENCE_S)
    assert camera.condition == ("starting", "opening script")
    assert (camera.live, camera.fps, camera.changes()) == (True, None, ())
    camera.stop()
    assert camera.state == "ended"
    assert camera.get(0.0) is None


def test_a_thread_that_does_not_end_is_an_error():
    gate = threading.Event()
    camera = Camera(settings(), opener=opener(Script([gate, 1])), stop_s=0.05)
    camera.start()
    with pytest.raises(SourceError, match=r"end within 0.05 s, found it stuck reading script"):
        camera.stop()
    gate.set()
    join_camera()


# What the pictures tell


class Show(Script):
    """A live source of one picture a second, whatever they are; an error is raised."""

    def __init__(self, pictures, clock):
        super().__init__([], clock=clock)
        self._pictures = iter(pictures)

    def read(self):
        self._clock.now_ns += SECOND
        step = next(self._pictures, None)
        if isinstance(step, Exception):
            raise step
        return None if step is None else SourceFrame(step, self._clock.now_ns)


def noise(seed, low=0, high=256, size=(48, 64)):
    return np.random.default_rng(seed).integers(low, high, (*size, 3)).astype(np.uint8)


def watched(started, *shows, **more):
    """The conditions of a camera that shows all that, one source after the other."""
    clock = Clock()
    stopping = Stopping(clock)
    sources = opener(*(Show(pictures, clock) for pictures in shows))
    camera = started(settings(**more), opener=sources, stopping=stopping, clock=clock)
    join_camera()
    camera.get(0.0)
    return camera, stopping, list(camera.changes())


def test_a_frozen_camera_is_lost_and_opened_again(started):
    camera, stopping, told = watched(started, [noise(1)] * 9, [noise(2)], frozen_s=3)
    assert [state for state, _ in told] == ["running", "waiting_for_camera", "running", "ended"]
    assert told[1].message == "script is frozen: the same picture for 3 s; trying again in 0.5 s"
    assert camera.restarts == 1
    assert stopping.waits == [0.5]


def test_a_camera_that_stays_frozen_is_tried_less_often(started):
    frozen = [[noise(seed)] * 9 for seed in (5, 6, 7, 8)]
    _, stopping, _ = watched(
        started, *frozen, [noise(1), noise(2), noise(3), *[noise(4)] * 9], [], frozen_s=3, retry_max_s=2
    )
    assert stopping.waits == [0.5, 1.0, 2.0, 2.0, 0.5]


def test_a_still_scene_is_no_frozen_camera_once_a_reopening_has_shown_the_same(started):
    screen = [noise(1)] * 30
    camera, stopping, told = watched(started, screen, [*screen, noise(2), *[noise(1)] * 9], [noise(1)], frozen_s=3)
    assert [message for _, message in told] == [
        "reading script",
        "script is frozen: the same picture for 3 s; trying again in 0.5 s",
        "reading script",
        "script shows what it showed before: taken for a still scene",
        "script is frozen: the same picture for 3 s; trying again in 0.5 s",
        "reading script",
        "script shows what it showed before: taken for a still scene",
        "script has ended",
    ]
    assert stopping.waits == [0.5, 0.5], "the camera was well for long"
    assert camera.restarts == 2


def test_a_black_picture_is_told_once_and_when_it_is_over(started):
    pictures = [*(noise(n, 0, 10) for n in range(5)), *(noise(n) for n in range(5))]
    camera, _, told = watched(started, pictures, blind_s=2)
    assert [message for _, message in told[1:-1]] == [
        "the picture is black: look for a cap on the lens, light, and capture.exposure_ms",
        "the picture shows something again",
    ]
    assert camera.restarts == 0
    assert camera.blind is None


def test_why_nothing_is_seen_is_known_until_the_camera_is_lost(started):
    shown, lose = threading.Event(), threading.Event()

    def pictures():
        yield from (noise(second, 251, 256) for second in range(3))
        shown.set()
        assert lose.wait(PATIENCE_S)
        yield SourceLost("gone")

    clock = Clock()
    sources = opener(Show(pictures(), clock), Show([], clock))
    camera = started(settings(blind_s=1, frozen_s=None), opener=sources, stopping=Stopping(clock), clock=clock)
    assert shown.wait(PATIENCE_S)
    assert camera.blind == "the picture is white: overexposed; look at light, and capture.exposure_ms"
    lose.set()
    join_camera()
    assert camera.blind is None


def test_another_size_is_told_in_mid_stream_and_after_a_reconnect(started):
    small, large = noise(1), noise(1, size=(96, 128))
    _, _, told = watched(started, [small, large, SourceLost("gone")], [small])
    sizes = [message for _, message in told if message.startswith("the picture is now")]
    assert sizes == ["the picture is now 128x96, and was 64x48", "the picture is now 64x48, and was 128x96"]


def test_files_are_not_judged(started):
    black = np.zeros((48, 64, 3), np.uint8)
    clock = Clock()
    source = Show([black, noise(1, size=(96, 128)), *[black] * 30], clock)
    source.live = False
    camera = started(settings(frozen_s=2, blind_s=1), opener=opener(source), clock=clock)
    assert len(drain(camera)) == 32
    assert [state for state, _ in camera.changes()] == ["running", "ended"]


# Real sources through the camera


def test_a_video_file_from_end_to_end(started, tmp_path):
    camera = started(settings(write_video(tmp_path / "a.mp4", frames=8)))
    assert [one.id for one in drain(camera)] == list(range(8))
    assert camera.fps == 25.0


def test_skipped_pictures_are_counted_and_told(started, tmp_path, caplog):
    folder = write_pictures(tmp_path / "folder")
    (folder / "1.png").write_bytes(b"broken")
    camera = started(settings(folder))
    assert len(drain(camera)) == 2
    assert camera.skipped == 1
    opened, skipped, ended = camera.changes()
    assert opened.state == skipped.state == "running"
    assert skipped.message.startswith("left out 1.png: expected a picture or a video in ")
    assert skipped.message.endswith("; 1 so far")
    assert ended == camera.condition
    assert ended.message.endswith("has ended; files or frames left out: 1")
    assert caplog.records == []


def test_names_that_are_no_utf_8_can_be_told(started, tmp_path):
    folder = write_pictures(tmp_path / "folder", count=2)
    (folder / "0.png").rename(folder / "a\udcff.png")
    (folder / "b\udcff.png").write_bytes(b"broken")
    camera = started(settings(folder))
    assert len(drain(camera)) == 2
    told = json.dumps(camera.changes(), ensure_ascii=False).encode()
    assert rb"left out b\\udcff.png" in told


def test_a_missing_source_whose_name_is_no_utf_8_is_told_under_a_name_that_is(started):
    unchecked = settings().model_copy(update={"source": "b\udcff.png"})
    camera = started(unchecked)
    with pytest.raises(SourceError, match=r"found no file 'b\\+udcff\.png'; check") as caught:
        camera.get(PATIENCE_S)
    assert str(caught.value).encode()
    assert camera.name == r"b\udcff.png"


@pytest.mark.parametrize("trouble", ["abort", "hang", "fail"])
def test_a_camera_whose_child_stumbles_comes_back(started, tmp_path, trouble):
    marker = tmp_path / "marker"

    def open_child(options, cancelled, warn):
        arguments = {"trouble": trouble, "at": 3, "marker": str(marker), "pace": 0.005}
        return ChildSource(options, GENERATOR, hint="plug it in", cancelled=cancelled, arguments=arguments)

    camera = started(settings("0", retry_s=0.01, read_timeout_s=0.5), opener=open_child)
    frames = []
    while camera.restarts == 0 or len(frames) < 6:
        frames.append(camera.get(PATIENCE_S))
        assert frames[-1] is not None
    assert marker.exists()
    ids = [one.id for one in frames]
    assert ids == sorted(set(ids))
    assert camera.state == "running"


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_stream_whose_server_goes_and_comes_back(started):
    with numbered_stream() as stream:
        camera = started(settings(stream.url, retry_s=0.05, retry_max_s=0.2))
        assert camera.get(PATIENCE_S) is not None
        before = open_descriptors()
        stream.stop()
        told = follow(camera, lambda: camera.state == "waiting_for_camera")
        assert "trying again in" in told[-1].message
        stream.start()
        told = follow(camera, lambda: camera.restarts > 0 and camera.state == "running")
        assert told[-1] == ("running", f"reading {camera.name}")
        assert camera.get(PATIENCE_S).image.shape == (48, 64, 3)
        assert open_descriptors() <= before + 2  # the server's own connections come and go
        camera.stop()


def test_stop_works_at_once_while_an_open_blocks():
    """As an RTSP server that accepts and never answers; FFmpeg would wait its own 20 s."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        port = server.getsockname()[1]
        camera = Camera(settings(f"rtsp://127.0.0.1:{port}/a", open_timeout_s=20, wait=True))
        camera.start()
        try:
            connection, _ = server.accept()
        finally:
            began = time.monotonic()
            camera.stop()
            took_s = time.monotonic() - began
        connection.close()
    assert took_s < STOP_S
    assert camera.state == "ended"
    join_camera()
