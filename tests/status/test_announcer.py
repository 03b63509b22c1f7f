from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from edge_fer.schema import SinkStatus
from edge_fer.status.announcer import Announcer, News
from tests.support.records import make_reading, make_status


class Box:
    """An announcer and what it looks at; a second passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.trouble: str | None = None
        self.camera = SimpleNamespace(state="running", condition=News("running", "reading 0"), changes=lambda: ())
        self.outlets = SimpleNamespace(conditions={})
        parts: dict[str, Any] = {
            "camera": self.camera,
            "classifier": SimpleNamespace(changes=lambda: ()),
            "health": SimpleNamespace(label_rate=1.0, reason=None),
            "outlets": self.outlets,
        }
        self.announcer = Announcer(
            **cast(Any, parts),
            is_live=lambda: True,
            stuck=lambda: None,
            trouble=lambda: self.trouble,
            keep_going=True,
            clock=lambda: self.now,
        )
        self.announcer.heard(make_status())

    def news(self, after_s: float) -> list[tuple[str, str]]:
        """What is told once so many seconds have passed; a frame was read meanwhile."""
        self.now += after_s
        self.announcer.heard(make_reading())
        told = [tuple(news) for news in self.announcer.due(got_frame=True)]
        for _ in told:
            self.announcer.heard(make_status())
        return cast("list[tuple[str, str]]", told)


@pytest.fixture
def box() -> Box:
    return Box()


def test_a_live_source_is_told_of_every_two_seconds(box: Box) -> None:
    assert box.news(1.9) == []
    assert box.news(0.2) == [("running", "reading 0")]
    assert box.news(1.9) == []


def test_what_is_wrong_is_told_for_as_long_as_it_is(box: Box) -> None:
    box.trouble = "edgetpu:usb:0 is away"
    box.outlets.conditions = {"mqtt": SinkStatus("waiting", reason="no broker"), "file": SinkStatus()}
    assert box.news(0.1) == [("running", "sink mqtt is waiting: no broker")], "at once"
    for _ in range(3):
        assert box.news(2.0) == [("running", "reading 0; edgetpu:usb:0 is away; sink mqtt is waiting: no broker")], (
            "and again"
        )
    box.trouble, box.outlets.conditions = None, {"mqtt": SinkStatus()}
    assert box.news(0.1) == [("running", "sink mqtt is well again")]
    assert box.news(2.0) == [("running", "reading 0")]


def test_what_the_camera_says_itself_is_not_said_twice(box: Box) -> None:
    box.trouble = "the picture is black"
    box.camera.condition = News("running", "reading 0; the picture is black")
    assert box.news(2.0) == [("running", "reading 0; the picture is black")]


def test_a_sink_that_was_not_tried_yet_is_not_told_of(box: Box) -> None:
    box.outlets.conditions = {"mqtt": SinkStatus("waiting")}
    assert box.news(0.1) == []
    assert box.news(2.0) == [("running", "reading 0")]
    box.outlets.conditions = {"mqtt": SinkStatus("waiting", reason="no broker")}
    assert box.news(0.1) == [("running", "sink mqtt is waiting: no broker")]
