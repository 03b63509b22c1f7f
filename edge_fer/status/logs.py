"""What the program says beside its records: to a person, to the journal with priorities, or as JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Literal, TextIO

from edge_fer.common.secrets import hide_secrets
from edge_fer.common.text import escaped
from edge_fer.publish import Sink
from edge_fer.schema import Record, Status
from edge_fer.status.reporter import iso
from edge_fer.types import Image

LogFormat = Literal["auto", "text", "journal", "json"]

_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""From Python's levels to those of syslog(3), which systemd reads from `<N>` before a line: sd-daemon(3)."""

_BAD = ("waiting_for_camera", "degraded")

_log = logging.getLogger("edge_fer")


def set_up_logs(
    form: LogFormat, stream: TextIO | None = None, environment: Mapping[str, str] = os.environ
) -> logging.Handler:
    """Write the package's log to a stream.

    Args:
        form: `auto` is the journal's format where the journal reads the stream, else text.
        stream: where the log goes; None: standard error.
        environment: environment variables; systemd sets `JOURNAL_STREAM` where the journal reads the stream.

    Returns:
        The handler, which can be removed from the logger `edge_fer` again.
    """
    stream = stream or sys.stderr
    if form == "auto":
        form = "journal" if _is_journal(stream, environment) else "text"
    handler = logging.StreamHandler(stream)
    handler.setFormatter({"text": _Text, "journal": _Journal, "json": _Json}[form]())
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    _log.propagate = False
    return handler


class StatusLog(Sink):
    """Writes every change that a status reports to the log, for a run whose records go elsewhere."""

    name = "log"
    internal = True

    def __init__(self) -> None:
        self._last = ("", "")
        self._wrong: frozenset[str] = frozenset()

    def publish(self, record: Record, image: Image | None) -> None:
        """Log a status that says something new; see `edge_fer.publish.Sink.publish`."""
        if isinstance(record, Status) and (record.state, record.message) != self._last:
            self._last = (record.state, record.message)
            _log.log(self._level(record), "%s: %s", record.state, record.message)

    def _level(self, record: Status) -> int:
        """A warning while something is wrong; but a status that reports a recovery is information."""
        wrong = frozenset(name for name, sink in record.sinks.items() if sink.state != "ok" and sink.reason is not None)
        if record.state in _BAD:
            wrong |= {record.state}
        before, self._wrong = self._wrong, wrong
        return logging.INFO if wrong < before or not wrong else logging.WARNING


class _Safe(logging.Formatter):
    """Hides secrets, which libraries may quote in their errors, and escapes what a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(hide_secrets(super().format(record)))


class _Text(_Safe):
    def format(self, record: logging.LogRecord) -> str:
        return f"edge-fer: {super().format(record)}"


class _Journal(_Safe):
    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class _Json(_Safe):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": super().format(record),
        }
        return json.dumps(line, ensure_ascii=False)


def _is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream is the one that systemd connected to its journal: device and inode say so."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
