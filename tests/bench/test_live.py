"""The live run: what its sink notes, and what is made of that."""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest

from edge_fer.bench.live import Length, Probe, Window, run_live, summarise
from edge_fer.bench.monitor import BenchMonitor
from edge_fer.bench.records import Resources, WarmUp
from edge_fer.bench.source import Ready, Scene, Watch, crowd, decode, scene_of
from edge_fer.capture.sources import Source, SourceFrame
from edge_fer.errors import SourceError
from edge_fer.settings import CaptureSettings, load_settings
from tests.support.records import make_face_reading, make_reading, make_status

MS = 10**6
NO_RESOURCES = Resources(0.0, 0.0, 0.0, {})


class Clock:
    """Nanoseconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 10**9

    def __call__(self) -> int:
        return self.now


class Pictures:
    """A file of so many black pictures."""

    name, live, skipped = "black", False, 0

    def __init__(self, count: int) -> None:
        self.fps: float | None = None
        self._left = count
        self.closed = False

    def read(self) -> SourceFrame | None:
        self._left -= 1
        return None if self._left < 0 else SourceFrame(np.zeros((8, 16, 3), np.uint8), 0)

    def close(self) -> None:
        self.closed = True


def window(published_ms: list[float], captured_ms: list[float], frames: list[int], faces: int = 1) -> Window:
    readings = tuple(
        make_reading(frame, (make_face_reading(),) * faces, round(at * MS))
        for frame, at in zip(frames, captured_ms, strict=True)
    )
    moments = tuple(round(at * MS) for at in published_ms)
    seconds = {"follow": 0.03, "align": 0.01, "detect": 5.0, "classify": 7.0}
    return Window(WarmUp(1, 0.1, 9.0), 0, moments, readings, 2, 0.5, {}, {"classify": len(frames)}, seconds)


def probe(length: Length, monitor: BenchMonitor, stopping: threading.Event, clock: Clock) -> Probe:
    """A sink; so far, one second of the processor was taken when the warm-up is over, and one and a half at the end."""
    return Probe(length, monitor, stopping, lambda _: None, clock, iter([1.0, 1.5]).__next__)


def test_the_warm_up_is_told_apart_and_counts_for_nothing() -> None:
    clock, stopping = Clock(), threading.Event()
    monitor = BenchMonitor(clock=lambda: clock.now / 1e9)
    noted = probe(Length(0.1, 0.2), monitor, stopping, clock)
    noted.publish(make_status(), None)
    for frame in range(20):
        with monitor.stage("classify"):
            clock.now += 20 * MS
        captured = clock.now - (90 if frame == 0 else 30) * MS
        noted.publish(make_reading(frame, captured_ns=captured), np.zeros((4, 4, 3), np.uint8))
    found = noted.window
    assert found is not None
    assert stopping.is_set()
    assert found.warm_up == WarmUp(6, 0.12, 90.0), "frames 0 to 5: a tenth of a second after the first"
    assert [reading.frame for reading in found.readings] == list(range(6, 16)), "later ones do not count"
    assert found.seconds == pytest.approx(0.2)
    assert found.passes == {"classify": 10}
    assert found.stages["classify"].count == 10
    assert found.cpu_s == pytest.approx(0.5)


def test_no_window_before_its_end() -> None:
    clock, stopping = Clock(), threading.Event()
    noted = probe(Length(0.0, 1.0), BenchMonitor(), stopping, clock)
    for frame in range(5):
        clock.now += 100 * MS
        noted.publish(make_reading(frame), None)
    assert noted.window is None
    assert not stopping.is_set()


def test_latency_is_from_capture_to_publishing_and_jitter_from_the_usual_interval() -> None:
    captured = [0.0, 33.0, 66.0, 99.0]
    found = summarise(window([20.0, 40.0, 60.0, 110.0], captured, [5, 6, 7, 8]), "s", 34.0, NO_RESOURCES, ())
    assert found.latency_ms.p50 == pytest.approx(9.0), "20, 7, -6 and 11"
    assert found.jitter_ms == pytest.approx(np.percentile([0, 0, 0, 30], 99), abs=0.01)
    assert found.fps == pytest.approx(4 / 0.11, abs=0.01)
    assert found.labels_per_s == pytest.approx(4 / 0.11, abs=0.01)
    assert found.dropped == 2


def test_the_captured_rate_counts_dropped_frames() -> None:
    found = summarise(window([10.0, 110.0], [0.0, 100.0], [1, 4]), "s", 40.0, NO_RESOURCES, ())
    assert found.captured_fps == pytest.approx(30)
    alone = summarise(window([10.0], [0.0], [1]), "s", 40.0, NO_RESOURCES, ())
    assert alone.captured_fps == 0


def test_what_has_a_thread_of_its_own_is_no_part_of_finding() -> None:
    beside = summarise(window([10.0, 20.0], [0.0, 10.0], [1, 2]), "s", 1.0, NO_RESOURCES, ("classify", "detect"))
    assert beside.find_ms == pytest.approx(20)
    searched = summarise(window([10.0, 20.0], [0.0, 10.0], [1, 2]), "s", 1.0, NO_RESOURCES, ("classify",))
    assert searched.find_ms == pytest.approx(2520)


def test_without_a_label_there_is_no_age() -> None:
    assert summarise(window([10.0], [0.0], [1], faces=0), "s", 1.0, NO_RESOURCES, ()).label_age_ms is None


def test_a_watched_file_begins_again_at_its_end() -> None:
    clock, opened = Clock(), []

    def opener(settings: CaptureSettings, cancelled: object, warn: object) -> Source:
        opened.append(Pictures(2))
        return opened[-1]

    watch = Watch(opener, clock)
    with closing(watch.open(CaptureSettings(), lambda: False, lambda _: None)) as source:
        for gap in (10, 10, 70, 10, 10):
            assert source.read() is not None
            clock.now += gap * MS
    assert len(opened) == 3
    assert all(source.closed for source in opened)
    begun = 10**9
    assert watch.longest_gap_ms(begun, clock.now) == pytest.approx(70)
    assert watch.longest_gap_ms(begun, begun + 15 * MS) == pytest.approx(10)
    assert watch.longest_gap_ms(begun, clock.now + 200 * MS) == pytest.approx(210), "up to the end, too"


def test_ready_frames_go_there_and_back() -> None:
    frames = [np.full((2, 2, 3), value, np.uint8) for value in range(4)]
    source = Ready("four", frames, 30.0)
    shown = [source.read() for _ in range(13)]
    assert [int(taken[0][0, 0, 0]) for taken in shown if taken] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    lonely = Ready("one", frames[:1], 30.0)
    assert lonely.read() is not None
    assert lonely.read() is not None


def test_synthetic_frames_are_drawn_before_and_files_are_not() -> None:
    settings = load_settings(environment={}, flags={"capture.source": "sample"})
    assert scene_of(settings, 600) == Scene(settings)
    drawn = scene_of(crowd(settings, 0), 100)
    assert drawn.frames_mb == pytest.approx(90 * 100 * 100 * 3 / 1e6)
    assert drawn.settings.capture.source == "synthetic:0"
    source = drawn.opener(drawn.settings.capture, lambda: False, lambda _: None)
    assert isinstance(source, Ready)


def test_frames_are_decoded_before_the_clock_runs() -> None:
    frames, fps = decode(CaptureSettings(source="sample"), 3, 320)
    assert fps == 30
    assert [frame.shape for frame in frames] == [(180, 320, 3)] * 3


def test_a_source_without_frames_is_refused() -> None:
    with pytest.raises(SourceError, match="at least one frame from black, found none"):
        decode(CaptureSettings(), 3, 320, lambda _: Pictures(0))


def test_a_source_that_ends_too_soon_is_told() -> None:
    settings = load_settings(environment={}, flags={"capture.source": "black", "classify.backend": "fake"})
    with pytest.raises(SourceError, match=r"expected frames for 0\.01 s from black, found fewer"):
        run_live(Scene(settings, lambda *_: Pictures(0)), Length(0.0, 0.01), lambda _: None, patience_s=0.0)
