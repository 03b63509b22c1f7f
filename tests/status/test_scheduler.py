from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from edge_fer.schema import SinkStatus
from edge_fer.status.scheduler import StatusChange, StatusScheduler
from tests.support.records import make_reading, make_status


class Box:
    """A status scheduler and what it watches; a second passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        changes: tuple[StatusChange, ...] = ()
        self.camera = SimpleNamespace(
            state="running",
            condition=StatusChange("running", "reading 0"),
            changes=lambda: changes,
            drops_frames=True,
        )
        health = SimpleNamespace(label_rate=1.0, reason=None)
        self.condition = SimpleNamespace(
            camera=self.camera, health=health, stuck=None, trouble=None, device_changes=lambda: changes
        )
        self.sinks = SimpleNamespace(conditions={})
        self.scheduler = StatusScheduler(
            cast(Any, self.condition), cast(Any, self.sinks), keep_going=True, clock=lambda: self.now
        )
        self.scheduler.published(make_status())

    def changes(self, after_s: float) -> list[tuple[str, str]]:
        """What is told once so many seconds have passed; a frame was read meanwhile."""
        self.now += after_s
        self.scheduler.published(make_reading())
        told = [tuple(change) for change in self.scheduler.due(got_frame=True)]
        for _ in told:
            self.scheduler.published(make_status())
        return cast("list[tuple[str, str]]", told)


@pytest.fixture
def box() -> Box:
    return Box()


def test_a_live_source_is_told_of_every_two_seconds(box: Box) -> None:
    assert box.changes(1.9) == []
    assert box.changes(0.2) == [("running", "reading 0")]
    assert box.changes(1.9) == []


def test_of_a_file_only_changes_are_told(box: Box) -> None:
    box.camera.drops_frames = False
    assert box.changes(100.0) == []


def test_what_is_wrong_is_told_for_as_long_as_it_is(box: Box) -> None:
    box.condition.trouble = "edgetpu:usb:0 is away"
    box.sinks.conditions = {"mqtt": SinkStatus("waiting", reason="no broker"), "file": SinkStatus()}
    assert box.changes(0.1) == [("running", "sink mqtt is waiting: no broker")], "at once"
    for _ in range(3):
        assert box.changes(2.0) == [("running", "reading 0; edgetpu:usb:0 is away; sink mqtt is waiting: no broker")], (
            "and again"
        )
    box.condition.trouble, box.sinks.conditions = None, {"mqtt": SinkStatus()}
    assert box.changes(0.1) == [("running", "sink mqtt is well again")]
    assert box.changes(2.0) == [("running", "reading 0")]


def test_what_the_camera_says_itself_is_not_said_twice(box: Box) -> None:
    box.condition.trouble = "the picture is black"
    box.camera.condition = StatusChange("running", "reading 0; the picture is black")
    assert box.changes(2.0) == [("running", "reading 0; the picture is black")]


def test_a_sink_that_was_not_tried_yet_is_not_told_of(box: Box) -> None:
    box.sinks.conditions = {"mqtt": SinkStatus("waiting")}
    assert box.changes(0.1) == []
    assert box.changes(2.0) == [("running", "reading 0")]
    box.sinks.conditions = {"mqtt": SinkStatus("waiting", reason="no broker")}
    assert box.changes(0.1) == [("running", "sink mqtt is waiting: no broker")]
