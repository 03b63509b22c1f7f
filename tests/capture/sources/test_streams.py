"""Streams from real servers (GStreamer's RTSP server, HTTP MJPEG) that are killed, hang, or send garbage."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time

import numpy as np
import pytest

from edge_fer.capture.camera import Camera
from edge_fer.capture.sources.open_source import open_source
from edge_fer.errors import SourceError
from tests.capture.sources.test_sources import numbered_stream, settings
from tests.support import ROOT
from tests.support.debian import need_debian

SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's bindings of GStreamer are for this one
SERVER = ROOT / "tests/support/rtsp_server.py"
PATIENCE_S = 30.0
RESUMED_S = 20.0
"""Readings must be back so soon after the server is, however busy this machine; `make field-reconnects` measures it."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Rtsp:
    """A real RTSP server in a process of its own; see `rtsp_server.py`."""

    def __init__(self):
        self.port = free_port()
        self._process = None

    @property
    def url(self):
        return f"rtsp://127.0.0.1:{self.port}/a"

    def start(self, kind="jpeg"):
        command = [SYSTEM_PYTHON, SERVER, str(self.port), kind]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout.readline() == b"ready\n"

    def stop(self):
        """May be called again."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def signal(self, number):
        self._process.send_signal(number)


@pytest.fixture
def rtsp():
    need_debian("gir1.2-gst-rtsp-server-1.0", "gstreamer1.0-plugins-good", "python3-gi")
    server = Rtsp()
    yield server
    server.stop()


@pytest.fixture
def http():
    with numbered_stream() as server:
        yield server


class Watched:
    """A running camera, of which every wait is timed."""

    def __init__(self, url, **more):
        options = {"read_timeout_s": 1.0, "open_timeout_s": 5.0, "wait": True, **more}
        self.camera = Camera(settings(url, **options))
        self.camera.start()
        self.longest_s = 0.0

    def wait(self, reached):
        """Take frames until something is reached; how long that took."""
        began = time.monotonic()
        while not reached(self._take()):
            assert time.monotonic() - began < PATIENCE_S, self.camera.condition
        return time.monotonic() - began

    def _take(self):
        began = time.monotonic()
        frame = self.camera.get(0.05)
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        return frame

    def frames(self, count):
        taken = []

        def enough(frame):
            taken.extend([frame] if frame else [])
            return len(taken) >= count

        self.wait(enough)
        return taken

    def lost(self):
        self.wait(lambda frame: self.camera.state == "waiting_for_camera")

    def resumed_s(self):
        return self.wait(lambda frame: frame is not None)


@pytest.fixture
def watch():
    """Watches cameras, and in the end that the loop was never held up."""
    watched = []

    def start(url, **more):
        watched.append(Watched(url, **more))
        return watched[-1]

    yield start
    for one in watched:
        one.camera.stop()
        assert one.longest_s < 1.0, "the loop asks 20 times a second"


def test_rtsp_gives_moving_pictures_at_their_rate(rtsp, watch):
    rtsp.start()
    frames = watch(rtsp.url).frames(6)
    assert frames[0].image.shape == (120, 160, 3)
    assert any((one.image != frames[0].image).any() for one in frames[1:])
    assert np.diff([one.captured_ns for one in frames]).min() > 0


@pytest.mark.slow
def test_rtsp_server_killed_and_started_again(rtsp, watch):
    rtsp.start()
    watched = watch(rtsp.url)
    watched.frames(2)
    rtsp.stop()
    watched.lost()
    rtsp.start()
    assert watched.resumed_s() < RESUMED_S
    assert watched.camera.restarts == 1


@pytest.mark.slow
def test_rtsp_server_that_hangs(rtsp, watch):
    rtsp.start()
    watched = watch(rtsp.url)
    watched.frames(2)
    rtsp.signal(signal.SIGSTOP)
    watched.lost()
    rtsp.signal(signal.SIGCONT)
    assert watched.resumed_s() < RESUMED_S


@pytest.mark.slow
def test_rtsp_server_whose_answer_takes_20_seconds(rtsp, watch):
    rtsp.start("broken")
    watched = watch(rtsp.url, open_timeout_s=1.5)
    watched.lost()
    assert "expected a picture" in watched.camera.message or "cannot be opened" in watched.camera.message
    rtsp.stop()
    rtsp.start()
    assert watched.resumed_s() < RESUMED_S


def test_http_server_killed_and_started_again(http, watch):
    watched = watch(http.url)
    watched.frames(2)
    http.stop()
    watched.lost()
    http.start()
    assert watched.resumed_s() < RESUMED_S


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["hung", "garbage"])
def test_http_server_that_hangs_or_sends_garbage(http, watch, behaviour):
    watched = watch(http.url, open_timeout_s=2.0)
    watched.frames(2)
    http.behaviour = behaviour
    watched.lost()
    http.behaviour = "good"
    assert watched.resumed_s() < RESUMED_S


def test_a_server_that_speaks_another_language(watch):
    """Answers everything with garbage, at once and again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def babble():
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(os.urandom(5000))

        thread = threading.Thread(target=babble)
        thread.start()
        try:
            with pytest.raises(SourceError, match="expected"):
                open_source(settings(f"rtsp://127.0.0.1:{server.getsockname()[1]}/a", open_timeout_s=2))
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
