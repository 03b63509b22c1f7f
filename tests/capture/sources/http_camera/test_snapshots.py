"""Cameras that give one picture a request."""

from __future__ import annotations

import numpy as np
import pytest

from edge_fer.capture.sources.http_camera.child import open_camera
from edge_fer.capture.sources.http_camera.connection import Connection
from edge_fer.capture.sources.http_camera.pictures import Snapshots
from tests.capture.sources.http_camera.test_http_camera import JPEGS, chunked, shown
from tests.capture.sources.test_sources import Plain, picture
from tests.support.scripted_http import ScriptedHttp, ok


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def snapshot_server(*bodies: bytes, content_type: str | None = "image/jpeg"):
    """Serves bodies in turn, through one connection."""
    left = list(bodies)

    def answer(request, connection):
        body = left.pop(0) if len(left) > 1 else left[0]
        connection.sendall(ok(content_type, body, f"Content-Length: {len(body)}"))
        return True

    return ScriptedHttp({"*": answer})


def test_snapshots_are_asked_for_at_their_rate_through_one_connection():
    clock = Time()
    with snapshot_server(*JPEGS) as server:
        connection = Connection(server.url(), 5.0)
        pictures = Snapshots(connection, connection.get(), 4.0, clock, clock.sleep)
        times = []
        for wanted in JPEGS:
            assert pictures.next().content == wanted
            times.append(clock.now)
        clock.now += 60.0  # whoever reads may be late: that is not caught up
        for _ in range(3):
            pictures.next()
            times.append(clock.now)
        connection.close()
        assert server.connections == 1
    assert np.diff(times).tolist() == [0.25, 0.25, 0.25, 0.25, 60.0, 0.25, 0.25]


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/jpg", "image/jpeg;charset=utf-8", None])
def test_a_snapshot_is_known_by_its_type_or_its_beginning(content_type):
    memory = Plain()
    with snapshot_server(*JPEGS, content_type=content_type) as server:
        camera = open_camera(memory, server.url(), 5.0, 5.0, fps=1000)
        assert camera.info == {"fps": 1000}
        assert [shown(camera.read(), memory) for _ in JPEGS] == [0, 1, 2, 3, 4]
        assert shown(camera.read(), memory) == 4, "the same again is a picture, too"
        camera.close()


def test_a_snapshot_that_breaks_off_is_asked_for_again():
    memory = Plain()
    with snapshot_server(JPEGS[0], JPEGS[1][:-60], b"an apology", JPEGS[2]) as server:
        camera = open_camera(memory, server.url(), 5.0, 5.0, fps=1000)
        replies = [camera.read() for _ in range(2)]
        assert shown(replies[1], memory) == 2
        assert [one["skipped"] for one in replies] == [0, 2]
        camera.close()


def test_a_snapshot_in_chunks_that_break_off_is_asked_for_again():
    whole = ok("image/jpeg", chunked(JPEGS[0]) + b"0\r\n\r\n", "Transfer-Encoding: chunked")
    answers = [whole, whole[:-300], whole]
    memory = Plain()

    def answer(request, connection):
        connection.sendall(sent := answers.pop(0))
        return sent is whole

    with ScriptedHttp({"*": answer}) as server:
        camera = open_camera(memory, server.url(), 5.0, 5.0, fps=1000)
        assert [camera.read()["skipped"] for _ in range(2)] == [0, 1]
        camera.close()


def test_snapshots_that_are_rarer_than_the_deadline_need_a_longer_one():
    with (
        snapshot_server(*JPEGS) as server,
        pytest.raises(OSError, match=r"^0\.2 pictures a second \(capture\.fps\).*set capture\.read_timeout_s to 10$"),
    ):
        open_camera(Plain(), server.url(), 5.0, 5.0, fps=0.2)


def test_a_picture_is_turned_as_its_header_says():
    """As telephones do, that are cameras by an app."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # 90 degrees clockwise
    turned = JPEGS[0][:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + JPEGS[0][2:]
    with snapshot_server(turned) as server:
        camera = open_camera(Plain(), server.url(), 5.0, 5.0)
        reply = camera.read()
        camera.close()
    assert (reply["width"], reply["height"]) == picture(0).shape[:2]
