"""RTSP cameras, and what their child process does."""

from __future__ import annotations

import pytest

from edge_fer.capture.sources.open_source import open_source
from edge_fer.capture.sources.stream import open_stream
from edge_fer.capture.sources.stream_child import Stream
from edge_fer.errors import SourceRefused
from edge_fer.settings import CaptureSettings
from tests.support.films import SIZE, noise, picture, write_film
from tests.support.rtsp_camera import RtspCamera


class Memory:
    """Memory of this process, for what runs in a child otherwise."""

    def __init__(self):
        self.content = bytearray()

    def view(self, size):
        self.content = bytearray(size)
        return memoryview(self.content)


def settings(source, **more):
    return CaptureSettings(source=source, open_timeout_s=20, **more)


def opened(address, **options):
    return Stream(Memory(), address, 5.0, 5.0, options)


def test_a_camera_whose_key_frames_are_rare_opens_at_once_and_loses_none():
    """What is read while opening holds the only key frame."""
    with RtspCamera([picture(number) for number in range(40)]) as camera:
        stream = opened(camera.url)
        replies = [stream.read() for _ in range(20)]
        assert [(reply["height"], reply["width"]) for reply in replies] == [SIZE] * 20
        assert abs(int(stream._memory.content[2]) - 19 * 20 % 256) < 30
        stream.close()


def test_frames_of_a_camera_come_without_delay():
    """A decoder that keeps frames back for reordering or in threads would wait for more than there are."""
    with RtspCamera([picture(0)] * 2 + [picture(6)] * 38, fps=5) as camera:
        stream = opened(camera.url)
        stamps = [stream.read()["captured_ns"] for _ in range(4)]
        assert stamps[-1] - stamps[0] < 1.5e9
        stream.close()


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ("401 Unauthorized", r"^it cannot be opened \(.*401 Unauthorized.*\); check the user name and the password"),
        ("404 Not Found", r"404 Not Found.*\); check the path"),
        ("403 Forbidden", r"403 Forbidden.*\); this user may not see it"),
    ],
)
def test_a_refusal_is_told_as_what_it_is(refusal, expected):
    with RtspCamera([picture()], refusal=refusal) as camera, pytest.raises(OSError, match=expected):
        opened(camera.url)


def test_the_login_is_in_no_message():
    with RtspCamera([picture()], refusal="401 Unauthorized") as camera:
        address = camera.url.replace("//", "//admin:hunter2@")
        with pytest.raises(SourceRefused, match=r"^expected to open rtsp://\*\*\*@.* 401 .* check the user") as caught:
            open_source(settings(address))
    assert "hunter2" not in str(caught.value)


def test_options_reach_ffmpeg():
    with RtspCamera([picture()]) as camera, pytest.raises(OSError, match=r"nonsense|Invalid argument"):
        opened(camera.url, rtsp_transport="nonsense")


def test_options_of_the_settings_and_those_of_opencv(monkeypatch):
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;udp")
    told, given = [], []
    monkeypatch.setattr("edge_fer.capture.sources.stream.ChildSource", lambda *_, **more: given.append(more))
    options = {"rtsp_transport": "udp", "max_delay": 0, "rtsp_flags": True}
    open_stream(settings("rtsp://host/a", stream_options=options), lambda: False, told.append)
    assert given[0]["arguments"]["options"] == {"rtsp_transport": "udp", "max_delay": "0", "rtsp_flags": "1"}
    assert told == [
        "OPENCV_FFMPEG_CAPTURE_OPTIONS is set and not read: OpenCV opens no streams here; see the setting "
        "capture.stream_options"
    ]


def test_a_stream_that_ends_says_so(tmp_path):
    path = write_film(tmp_path / "a.ts", [picture(number) for number in range(5)], "libx264")
    stream = opened(f"file:{path}")
    assert stream.info == {"fps": 25.0}
    for _ in range(5):
        stream.read()
    with pytest.raises(OSError, match=r"^it gives no more frames$"):
        stream.read()


def test_frames_that_cannot_be_decoded_are_counted(tmp_path):
    path = write_film(tmp_path / "a.avi", noise(20), "mjpeg")
    content = bytearray(path.read_bytes())
    start = content.index(b"00dc", len(content) // 2) + 8
    length = int.from_bytes(content[start - 4 : start], "little")
    content[start : start + length] = bytes(length)
    path.write_bytes(content)
    stream = opened(f"file:{path}")
    assert [stream.read()["skipped"] for _ in range(19)].count(1) == 1
