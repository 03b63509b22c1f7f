"""A film or network stream: its pictures with their times, and what FFmpeg tells of damage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import IO, Any, NamedTuple

import av

from edge_fer.capture.sources import MAX_PIXELS, USUAL_FPS
from edge_fer.capture.sources.film.complaints import Complaints
from edge_fer.capture.sources.film.container import error_text, open_container, video_of
from edge_fer.capture.sources.film.deinterlacer import Deinterlacer
from edge_fer.capture.sources.film.picture import Converter
from edge_fer.capture.sources.film.timeline import Timeline
from edge_fer.types import Image

_COMPLETE = 0.9  # of the frames that a container states
_COUNTED_BY_ITSELF = "mov"  # this demuxer reports missing frames itself, and states also those that were cut out
_LEAST_BYTES = 8  # that a frame takes in any container
_STEP_NS = 60 * 10**9  # from one frame to the next: what is longer is another clock, or hardly a film
_MICROSECONDS = 1000  # nanoseconds; the unit of the times of a container


class FilmFrame(NamedTuple):
    """A picture of a film.

    Attributes:
        image: `(height, width, 3)` uint8, BGR.
        position_ns: presentation time in the film, nanoseconds.
        arrived_ns: when the last of its data came, CLOCK_MONOTONIC, nanoseconds.
    """

    image: Image
    position_ns: int
    arrived_ns: int


class Film:
    """A film or stream that is open; `frames` gives its pictures.

    Args:
        address: a URL of FFmpeg's, such as `file:/clip.mp4`, or an open file.
        live: whether frames should come without delay: one frame is decoded at a time.
        options: FFmpeg's options for the protocol, the container and the decoder.
        timeouts_s: for opening and for reading, seconds; None: none.
        warn: called with one line about colours that are not true.
        max_lost: after so many packets in a row that give no picture the film counts as broken.
        threads: of the decoder; None: as many as FFmpeg takes. What a damaged frame looks like may depend on it.

    Attributes:
        fps: frames a second as the container states them; None where that cannot be true.
        count: frames that were given so far.
        lost: frames that could not be decoded so far.
        damaged: frames given so far of which the decoder says that they are damaged.
        broken: why the film ends before its end, in words; None while it does not.
        unreadable: why a frame could not be read, in words; None while all could.

    Raises:
        OSError: when it cannot be opened, has no film in it, or one that is too large.
    """

    def __init__(
        self,
        address: str | IO[bytes],
        *,
        live: bool,
        options: Mapping[str, str] | None = None,
        timeouts_s: tuple[float, float] | None = None,
        warn: Callable[[str], None] = lambda _: None,
        max_lost: int = 300,
        threads: int | None = None,
    ) -> None:
        self._container = open_container(address, options or {}, timeouts_s)
        self._stream = video_of(self._container)
        self._context = self._stream.codec_context
        self._context.thread_type = "SLICE" if live else "AUTO"
        if threads is not None:
            self._context.thread_count = threads
        self._context.options = {"max_pixels": str(MAX_PIXELS)}
        if live:
            self._context.flags |= av.codec.context.Flags.low_delay
        self._complaints = Complaints(self._context.codec.name)
        self._demuxer = Complaints(self._container.format.name)
        self._converter = Converter(self._stream.sample_aspect_ratio, warn)
        self._deinterlacer = Deinterlacer()
        self._live, self._max_lost = live, max_lost
        rate = self._stream.average_rate or self._context.framerate or self._stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate <= 1000 else None
        self._period_ns = round(1e9 / (self.fps or USUAL_FPS))
        start = self._container.start_time
        self._timeline = Timeline(None if start is None else start * _MICROSECONDS, self._period_ns)
        self.count = self.lost = self.damaged = 0
        self.broken: str | None = None
        self.unreadable: str | None = None
        self._packets = self._decoded = 0
        self._headless: int | None = None  # packets before the first key frame, once there is one
        self._position_ns = 0
        self._arrived_ns = time.monotonic_ns()

    @property
    def complaints(self) -> int:
        """How many errors the decoder reported so far."""
        return self._complaints.count

    def frames(self) -> Iterator[FilmFrame]:
        """Decode to the end, or until the film breaks off; then `broken` says why. May be called once.

        Yields:
            Every picture that can be decoded.
        """
        for frame in self._whole():
            try:
                image = self._converter.convert(frame)
            except (ValueError, MemoryError) as error:
                self._lose(str(error) or "too little memory for a picture")
                continue
            self.count += 1
            self._position_ns = self._timeline.place(self._stamp_ns(frame))
            yield FilmFrame(image, self._position_ns, self._arrived_ns)
        missing = self._packets - self._decoded
        if not (self._complaints.count or self.lost):  # two packets may be one frame, or one that is not shown
            missing = min(missing, self._headless or 0)
        self.lost = max(self.lost, missing)
        if self.broken is None and self._falls_short():
            self.broken = f"its header states {self._stream.frames} frames"

    @property
    def length(self) -> int | None:
        """How many frames there should be, as the container states it; None where it does not."""
        stated = self._stream.frames
        duration = self._container.duration
        return stated or (round(duration / 1e6 * self.fps) if duration and self.fps else None)

    @property
    def recorded_at(self) -> str | None:
        """When it was recorded, as the container states it, ISO 8601; None where it does not."""
        return self._container.metadata.get("creation_time")

    def index(self) -> tuple[list[int], list[int]]:
        """The positions of all frames, and those of the key frames, without decoding any; instead of `frames`.

        Returns:
            Nanoseconds, in the order of presentation. Both are empty where the film breaks off, or where its timestamps
            are not those that `frames` would give.
        """
        start = self._container.start_time
        positions, keys = list[int](), list[int]()
        for packet in self._demuxed():
            if not packet.size or packet.is_discard:
                continue
            if start is None or packet.pts is None or packet.time_base is None:
                return [], []
            unit = packet.time_base
            positions.append(packet.pts * unit.numerator * 10**9 // unit.denominator - start * _MICROSECONDS)
            if packet.is_keyframe:
                keys.append(positions[-1])
        positions.sort()
        steps = [late - early for early, late in pairwise(positions)]
        regular = (
            bool(positions) and positions[0] >= 0 and 0 < min(steps, default=1) <= max(steps, default=1) <= _STEP_NS
        )
        return (positions, sorted(keys)) if regular and self.broken is None else ([], [])

    def seek(self, position_ns: int) -> None:
        """Let `frames` begin with a key frame at this position or before it; call it before that.

        Args:
            position_ns: presentation time in the film, nanoseconds.

        Raises:
            OSError: when the container cannot go there, or has no beginning from which positions count.
        """
        if self._container.start_time is None:
            raise OSError("its timestamps have no beginning")
        try:
            self._container.seek(self._container.start_time + position_ns // _MICROSECONDS)
        except av.FFmpegError as error:
            raise OSError(error.errno, error_text(error)) from error
        self._timeline.jump()

    def close(self) -> None:
        """Close the film; may be called again.

        The decoder's threads are made to finish first: they may report something, for which they take Python's lock,
        and freeing the decoder waits for them while it holds that lock.
        """
        self._context.flush_buffers()
        self._container.close()
        self._complaints.close()
        self._demuxer.close()

    def _whole(self) -> Iterator[av.VideoFrame]:
        """The frames as decoded, deinterlaced."""
        in_a_row = 0
        for packet in self._demuxed():
            frames = self._decode(packet)
            in_a_row = 0 if frames else in_a_row + (packet.size > 0)
            for frame in frames:
                self._decoded += 1
                self.damaged += frame.is_corrupt
                yield from self._deinterlaced(frame)
            if in_a_row > self._max_lost:
                self.broken = f"{in_a_row} frames in a row cannot be decoded"
                break
        yield from self._deinterlaced(None)

    def _deinterlaced(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """The frames that are ready once this one has come; None: the film is at its end."""
        try:
            yield from self._deinterlacer.flush() if frame is None else self._deinterlacer.filter(frame)
        except av.FFmpegError as error:
            self._lose(error_text(error))

    def _demuxed(self) -> Iterator[av.Packet[Any]]:
        """The packets of the film; one without content at the end, which makes the decoder give its last frames."""
        complaints, cut = self._demuxer.count, False
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    self._arrived_ns = time.monotonic_ns()
                    if packet.is_keyframe and self._headless is None and not self._live:
                        self._headless = self._packets  # decoders leave them out, and say nothing
                    self._packets += not packet.is_discard
                    cut = packet.is_corrupt
                    complaints = self._demuxer.count
                    yield packet
        except av.FFmpegError as error:
            self.broken = error_text(error)
        if self.broken is None and self._demuxer.count > complaints:
            self.broken = self._demuxer.last
        if self.broken is None and cut:
            self.broken = "its last frame is incomplete"
        yield av.Packet()

    def _decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        try:
            return self._context.decode(packet)
        except av.EOFError:  # the decoder has given its last frame
            pass
        except av.FFmpegError as error:
            self._lose(error_text(error))
        except ValueError as error:  # of a decoder that could not be opened for the packet before
            self._lose(str(error))
        return []

    def _lose(self, reason: str) -> None:
        """Count a frame that gives no picture."""
        self.lost += 1
        self.unreadable = self.unreadable or reason

    def _stamp_ns(self, frame: av.VideoFrame) -> int | None:
        """The timestamp of a frame; containers without presentation times have one for decoding."""
        stamp = frame.dts if frame.pts is None else frame.pts
        time_base = frame.time_base or self._stream.time_base
        if stamp is None or time_base is None:
            return None
        return stamp * time_base.numerator * 10**9 // time_base.denominator

    def _falls_short(self) -> bool:
        """Whether there were clearly fewer frames than the container states.

        Their number and their time must both fall short: either alone is wrong in films of variable rate.
        """
        stated = self._stream.frames
        if self._live or _COUNTED_BY_ITSELF in self._container.format.name:
            return False
        if stated > self._container.size / _LEAST_BYTES:  # as from a writer that could not go back to its header
            return False
        expected = _COMPLETE * stated
        return self._packets < expected and self._position_ns + self._period_ns < expected * self._period_ns
