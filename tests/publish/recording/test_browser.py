"""Recordings play where people watch them: in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.publish.recording.films import at, opened
from tests.support.chromium import Browser

pytestmark = pytest.mark.slow

PLAY = """
    window.film = document.createElement('video');
    window.seen = [];
    film.muted = true;
    film.onerror = () => window.failed = film.error.message;
    const look = (now, shown) => { seen.push(shown.mediaTime); film.requestVideoFrameCallback(look); };
    film.requestVideoFrameCallback(look);
    film.src = '/FILE';
    document.body.append(film);
    film.play();
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web site with the recordings; its address."""
    (tmp_path / "page.html").write_text("<!doctype html><title>Recordings</title>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["out.mp4", "cut.mp4", "out.mkv"])
def test_a_recording_plays_in_a_browser(tmp_path: Path, site: str, name: str) -> None:
    """Whole, and cut off in its third second; frames of a variable rate are seen at their times."""
    sink = opened(tmp_path, name.replace("cut", "out"))
    noise = np.random.default_rng(0)
    shown = [frame * 100 + (frame % 3) * 20 for frame in range(32)]
    for moment in shown:
        sink.publish(at(moment), noise.integers(0, 256, (121, 161, 3), np.uint8))
    sink.close()
    if name == "cut.mp4":
        content = (tmp_path / "out.mp4").read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) * 3 // 4])
    with Browser() as browser:
        browser.visit(f"{site}/page.html")
        browser.evaluate(PLAY.replace("FILE", name))
        browser.until("film.ended || window.failed || film.currentTime > 1.9")
        if name != "cut.mp4":
            browser.until("film.ended || window.failed")
            assert browser.evaluate("window.failed || ''") == ""
            assert browser.evaluate("film.currentTime") == pytest.approx(3.2, abs=0.2)
        assert browser.evaluate("[film.videoWidth, film.videoHeight]") == [162, 122]
        seen = browser.evaluate("seen")
    assert len(seen) > 5
    for moment in seen:
        assert min(abs(moment - one / 1000) for one in shown) < 0.0021
