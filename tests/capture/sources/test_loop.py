"""A source that is played over and over."""

import errno

import av
import pytest

from edge_fer.capture.sources.film import container
from edge_fer.capture.sources.loop import Loop
from edge_fer.capture.sources.video import Video
from edge_fer.errors import SourceError, SourceLost
from tests.capture.sources.test_sources import write_video


def test_a_film_that_cannot_be_opened_again_is_lost_and_may_come_back(tmp_path):
    path = write_video(tmp_path / "a.avi", 2)
    loop = Loop(lambda: Video(path))
    assert all(loop.read() for _ in range(5))
    path.rename(tmp_path / "b.avi")
    assert loop.read() is not None
    with pytest.raises(SourceLost, match="found: No such file"):
        loop.read()
    loop.close()
    assert loop.skipped == 0


def test_too_many_open_files_are_no_fault_of_the_film(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.avi", 2)

    def fail(*_, **__):
        raise av.FFmpegError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(container.av, "open", fail)
    with pytest.raises(SourceError, match=r"\(Too many open files\); end what uses so much, or raise the limit"):
        Video(path)
