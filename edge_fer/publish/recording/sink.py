"""The sink: draws the faces in, and records within its bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Protocol

from edge_fer.common.text import printable
from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish import Sink
from edge_fer.publish.drawing.annotate import annotate
from edge_fer.publish.drawing.face_hider import Hider, ShowAll
from edge_fer.publish.recording.bounds import Bounds
from edge_fer.publish.recording.new_file import FileMaker
from edge_fer.publish.recording.provenance import Content
from edge_fer.schema import Reading, Record
from edge_fer.settings import PublishSettings
from edge_fer.settings.recording_name import RecordingName, Segment, parse_segment
from edge_fer.types import Image

_DAY_S = 86_400.0
_SHARE = 0.2  # of its bounds that one film may take: what is older can then be deleted piece by piece
_BETWEEN_CHECKS_S = 60.0  # of the age of what is recorded already


class _Series(Protocol):
    """Files, one after the other."""

    def write(self, reading: Reading, picture: Image) -> None:
        """Write the picture of a reading."""

    def close(self) -> None:
        """Complete what was begun."""


class Recording(Sink):
    """Records each reading's picture, with its faces drawn in unless the settings say `record_plain`.

    Files get their names when they begin, and a name that exists gets a number: nothing is ever replaced. A run that is
    killed leaves a file that plays up to there. Nothing recovers in here: after an error the recording is closed, and
    opened again by whoever wants that.

    Args:
        settings: the name, how long a film may get, and what is kept.
        hider: what the pictures pass before they are recorded; it is closed with the recording. None: they show all.
        now: the local time.
        clock: seconds that never go backwards.

    Raises:
        ConfigError: when films need a library that is missing.
        OutputError: when it cannot be written there.
    """

    name = "recording"
    pictures = True
    statuses = recovers = False
    queue_size = 4
    tick_s = _BETWEEN_CHECKS_S

    def __init__(
        self,
        settings: PublishSettings,
        *,
        hider: Hider | None = None,
        now: Callable[[], datetime] = datetime.now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert settings.record is not None
        self._name, self._hider, self._clock = RecordingName(settings.record), hider or ShowAll(), clock
        size = settings.record_keep_mb * 1e6 if settings.record_keep_mb is not None else None
        age_s = settings.record_keep_days * _DAY_S if settings.record_keep_days is not None else None
        self._plain = settings.record_plain
        self._content: Content = "drawn"
        if settings.record_plain:
            self._content = "plain" if isinstance(self._hider, ShowAll) else "hidden"
        self._longest = _longest(settings.record_segment, size, age_s)
        self._bounds = Bounds(self._name, size, age_s, lambda: now().timestamp())
        maker = FileMaker(self._name)
        self._series = self._open_series(maker, now)
        self._checked = clock()
        with self._errors():
            maker.make(now()).discard()

    def publish(self, record: Record, image: Image | None) -> None:
        """Record the picture of a reading; see `edge_fer.publish.Sink.publish`."""
        if not isinstance(record, Reading) or image is None:
            return
        for shown, reading in self._hider.add(image, record):
            self._write(reading, shown)
        if self._clock() - self._checked >= _BETWEEN_CHECKS_S:
            self.tick()

    def tick(self) -> None:
        """Delete what has become too old."""
        self._checked = self._clock()
        with self._errors():
            self._bounds.enforce(lasts_s=self._longest.seconds or 0)

    def close(self) -> None:
        """Complete what was begun; see `edge_fer.publish.Sink.close`."""
        with ExitStack() as stack:
            stack.callback(self._hider.close)
            stack.enter_context(self._errors())
            stack.callback(self._series.close)
            for shown, reading in self._hider.flush():
                self._write(reading, shown)

    def _write(self, reading: Reading, image: Image) -> None:
        with self._errors():
            self._series.write(reading, image if self._plain else annotate(image, reading))

    @property
    def is_film(self) -> bool:
        """Whether it makes films, and not pictures."""
        return self._name.is_film

    def _open_series(self, maker: FileMaker, now: Callable[[], datetime]) -> _Series:
        if not self.is_film:
            from edge_fer.publish.recording.pictures import Pictures

            return Pictures(maker, self._bounds, self._longest.size, now)
        try:
            from edge_fer.publish.recording.films import Films
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"expected the library `{error.name}` for films, found none: pip install av, or Debian's python3-av; "
                "or record pictures (.jpg)"
            ) from error
        return Films(maker, self._bounds, self._longest, now, self._content)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What the system refuses is told in one line."""
        try:
            yield
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(
                f"expected to write the recording {printable(self._name.text)}, found: {error.strerror or error}; "
                "make room or the folder, or choose another place (publish.record)"
            ) from error


def _longest(text: str | None, size: float | None, age_s: float | None) -> Segment:
    """How long one film may get: as long as it is said, and a share of the bounds at most."""
    seconds, most = parse_segment(text) if text is not None else Segment()
    return Segment(_least(seconds, age_s), _least(most, size))


def _least(value: float | None, bound: float | None) -> float | None:
    bounded = None if bound is None else bound * _SHARE
    return min((one for one in (value, bounded) if one is not None), default=None)
