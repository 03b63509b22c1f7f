"""The rows of a segment: every frame that is sampled is read, one after the other, whatever the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edge_fer.archive.columns import Column
from edge_fer.archive.film_reader import FilmReader
from edge_fer.archive.job import Job
from edge_fer.archive.layout import writing
from edge_fer.archive.recordings import Recording
from edge_fer.archive.segments import Segment
from edge_fer.archive.tables import write_table
from edge_fer.capture.sources import SourceFrame
from edge_fer.capture.sources.oriented import oriented
from edge_fer.errors import SourceError
from edge_fer.recognizer import Recognizer
from edge_fer.schema import FaceReading
from edge_fer.types import LABELS, AlignedFace, Frame

Progress = Callable[[int, int | None], None]
"""Called now and then with the number of frames done since the last call, and of all frames of the film, if known."""

_EVERY_S = 1.0  # progress is told
_PROBABILITIES = tuple((f"p_{label}", label) for label in LABELS)

_PLACE = (Column("frame", "int64", "", ""), Column("position_ns", "int64", "ns", ""))
PART_FRAMES = (*_PLACE, Column("faces", "int32", "", ""))
PART_FACES = (
    *_PLACE,
    Column("id", "int64", "", ""),
    *(Column(name, "float64", "", "") for name in ("x", "y", "width", "height", "score", "confidence")),
    *(Column(name, "text", "", "", optional=True) for name in ("label", "why")),
    *(Column(name, "float64", "", "") for name, _ in _PROBABILITIES),
    *(Column(name, "float64", "", "") for name in ("yaw", "pitch", "roll", "eye_distance", "blur")),
)


@dataclass(frozen=True)
class Part:
    """What a segment came to.

    Attributes:
        identity: of the recording; see `Recording.identity`.
        size: width and height of its frames, pixels; None where it has none.
        recorded_at: when it was recorded, as it states it, ISO 8601; None where it does not.
        frames: in it, of the segment itself.
        lost: frames that could not be decoded.
        damaged: frames that are shown with damage.
        broken: why the film breaks off; None where it does not.
        warnings: what else is not as it should be.
    """

    identity: str
    size: tuple[int, int] | None
    recorded_at: str | None
    frames: int
    lost: int
    damaged: int
    broken: str | None
    warnings: tuple[str, ...]


class Taken(NamedTuple):
    """A frame that is to be read: the number in the film, and the frame."""

    number: int
    frame: SourceFrame


def label_segment(recording: Recording, segment: Segment, job: Job, folder: Path, progress: Progress) -> Part:
    """Read a segment, and write its rows, with those of its warm-up, to `frames` and `faces` in a folder.

    Args:
        recording: the recording.
        segment: which part of it.
        job: what is done with it.
        folder: where the part goes.
        progress: told of every frame.

    Raises:
        SourceError: when it cannot be read, or changes meanwhile.
        OutputError: when the part cannot be written.
        ModelError: when a network is missing or corrupt.
        BackendError: when the CPU cannot run one.
    """
    identity, warnings = recording.identity(), list[str]()
    with ExitStack() as stack:
        reader = stack.enter_context(closing(FilmReader(recording, segment.read_ns, warnings.append)))
        recognizer = stack.enter_context(Recognizer(job.settings, lambda _: nullcontext()))
        tables, told = _PartTables(folder, stack), _SignsOfLife(progress, reader.length)
        count, size = 0, None
        for number, taken in sampled(_stretch(reader, segment, job), job):
            position_ns = taken.position_ns or 0
            tables.add(number, position_ns, list(_read(recognizer, number, taken)))
            height, width = taken.image.shape[:2]
            size, count = size or (width, height), count + (position_ns >= segment.start_ns)
            told.count()
        told.tell()
        check_same(recording, identity)
        return Part(
            identity, size, reader.recorded_at, count, reader.skipped, reader.damaged, reader.broken, tuple(warnings)
        )


class _PartTables:
    """The rows of a segment, on their way to the disk.

    Args:
        folder: where the part goes.
        stack: closes the files, which take their places then.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        files = (stack.enter_context(writing(folder / name)) for name in ("frames", "faces"))
        self._frames, self._faces = (
            stack.enter_context(closing(write_table(file, "parquet", columns, {})))
            for file, columns in zip(files, (PART_FRAMES, PART_FACES), strict=True)
        )

    def add(self, number: int, position_ns: int, faces: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows of a frame and of its faces."""
        place = {"frame": number, "position_ns": position_ns}
        self._frames.add({**place, "faces": len(faces)})
        for face in faces:
            self._faces.add({**place, **face})


class _SignsOfLife:
    """Tells of frames that are done, about once a second.

    Args:
        progress: is told.
        length: of the film, frames; None: not known.
    """

    def __init__(self, progress: Progress, length: int | None) -> None:
        self._progress, self._length = progress, length
        self._frames, self._told_at = 0, time.monotonic()

    def count(self) -> None:
        """Another frame is done."""
        self._frames += 1
        if time.monotonic() - self._told_at >= _EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Tell of what was not told yet."""
        self._progress(self._frames, self._length)
        self._frames, self._told_at = 0, time.monotonic()


def check_same(recording: Recording, identity: str) -> None:
    """Check that a recording is still what it was.

    Raises:
        SourceError: when it is not.
    """
    found = recording.identity()
    if found != identity:
        raise SourceError(
            f"expected {recording.shown} to stay as it was while it is read ({identity}), found {found}; run the "
            "command again once nothing writes to it"
        )


def sampled(frames: Iterator[Taken], job: Job) -> Iterator[Taken]:
    """Those frames that are to be read: by their numbers and presentation times in the film, wherever reading began.

    Args:
        frames: in order.
        job: how many.
    """
    before: int | None = None
    for taken in frames:
        if taken.number % job.every:
            continue
        if job.fps is not None:
            period = int((taken.frame.position_ns or 0) * job.fps / 1e9)
            if period == before:
                continue
            before = period
        yield taken


def _stretch(reader: FilmReader, segment: Segment, job: Job) -> Iterator[Taken]:
    """All frames from where reading begins to the segment's end."""
    capture, number = job.settings.capture, segment.first_frame
    source = oriented(reader, hflip=capture.hflip, vflip=capture.vflip, rotate=capture.rotate)
    while (frame := source.read()) is not None:
        if segment.end_ns is not None and (frame.position_ns or 0) >= segment.end_ns:
            return
        yield Taken(number, frame)
        number += 1


def _read(recognizer: Recognizer, number: int, taken: SourceFrame) -> Iterator[dict[str, Any]]:
    """The rows of a frame's faces: found, then read, by this thread's turn only."""
    frame = Frame(number, taken.image, taken.captured_ns, 0.0, taken.position_ns or 0, position_ns=taken.position_ns)
    found = recognizer.find(frame)
    recognizer.submit(found)
    recognizer.wait()
    recognized = recognizer.result(found, taken.captured_ns)
    for face, reading in zip(found.faces, recognized.faces, strict=True):
        yield _row(face, reading)


def _row(face: AlignedFace, reading: FaceReading) -> dict[str, Any]:
    quality, box = face.quality, reading.box
    return {
        "id": reading.id,
        **box._asdict(),
        "score": reading.score,
        "label": reading.label,
        "confidence": reading.confidence,
        "why": reading.why,
        **{name: reading.probabilities[label] for name, label in _PROBABILITIES},
        **({} if reading.pose is None else asdict(reading.pose)),
        "eye_distance": round(quality.eye_distance, 1),
        "blur": round(quality.blur, 4),
    }
