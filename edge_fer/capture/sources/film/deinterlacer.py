"""Interlaced frames to whole pictures, one for each frame."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.filter import Graph

_FILTER = "bwdif"  # yadif's motion adaptation with w3fdif's interpolation: the best of FFmpeg's that needs no training
_OPTIONS = "mode=send_frame:deint=interlaced"


class Deinterlacer:
    """Passes frames on until one is interlaced; from there on all go through the filter.

    The filter weighs the neighbours of a frame, so it is one frame late; progressive frames leave it as they came.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._format: tuple[int, int, str] | None = None

    def filter(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Take a frame.

        Args:
            frame: the next one.

        Yields:
            The frames that are ready.

        Raises:
            av.FFmpegError: when it cannot be filtered.
        """
        frame_format = (frame.width, frame.height, frame.format.name)
        if self._graph is not None and self._format != frame_format:
            yield from self.flush()
        if self._graph is None and frame.interlaced_frame:
            self._graph, self._format = _open(frame), frame_format
        if self._graph is None:
            yield frame
            return
        self._graph.push(frame)
        yield from _ready(self._graph)

    def flush(self) -> Iterator[av.VideoFrame]:
        """Give the last frame, and begin anew.

        Yields:
            The frames that are left.
        """
        graph, self._graph = self._graph, None
        if graph is not None:
            graph.push(None)
            yield from _ready(graph)


def _open(frame: av.VideoFrame) -> Graph:
    """A filter for frames like this one."""
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(source, graph.add(_FILTER, _OPTIONS), graph.add("buffersink")).configure()
    return graph


def _ready(graph: Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(frame, av.VideoFrame)
        yield frame
