from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_fer.schema import SinkStatus, State
from edge_fer.status.logs import LogFormat, StatusLog, set_up_logs
from tests.support.records import make_reading, make_status

log = logging.getLogger("edge_fer.somewhere")


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    root = logging.getLogger("edge_fer")
    handlers, level, propagate = list(root.handlers), root.level, root.propagate
    yield
    root.handlers, root.propagate = handlers, propagate
    root.setLevel(level)


def written(form: LogFormat, environment: dict[str, str] | None = None) -> str:
    stream = io.StringIO()
    set_up_logs(form, stream, environment or {})
    log.debug("a detail")
    log.info("all is well")
    log.warning("the stick is away")
    log.error("it broke\nin two lines")
    return stream.getvalue()


def test_a_person_reads_text() -> None:
    assert written("text").splitlines() == [
        "edge-fer: all is well",
        "edge-fer: the stick is away",
        "edge-fer: it broke",
        "in two lines",
    ]


def test_the_journal_reads_priorities() -> None:
    assert written("journal").splitlines() == [
        "<6>all is well",
        "<4>the stick is away",
        "<3>it broke",
        "<3>in two lines",
    ]


def test_a_program_reads_json() -> None:
    lines = [json.loads(line) for line in written("json").splitlines()]
    assert [(line["level"], line["logger"], line["message"]) for line in lines] == [
        ("info", "edge_fer.somewhere", "all is well"),
        ("warning", "edge_fer.somewhere", "the stick is away"),
        ("error", "edge_fer.somewhere", "it broke\nin two lines"),
    ]
    assert all(line["at"].endswith("Z") for line in lines)


def test_the_journal_is_known_by_its_device_and_inode(tmp_path: Path) -> None:
    for name, mine, expected in (("journal", True, "<6>all is well\n"), ("other", False, "edge-fer: all is well\n")):
        with (tmp_path / name).open("w") as stream:
            found = os.fstat(stream.fileno())
            told = f"{found.st_dev}:{found.st_ino if mine else found.st_ino + 1}"
            handler = set_up_logs("auto", stream, {"JOURNAL_STREAM": told})
            log.info("all is well")
            logging.getLogger("edge_fer").removeHandler(handler)
        assert (tmp_path / name).read_text() == expected


def test_changes_are_logged_once_each(caplog: pytest.LogCaptureFixture) -> None:
    sink = StatusLog()
    caplog.set_level(logging.INFO)
    failed = replace(
        make_status("running", "sink mqtt is failed"), sinks={"mqtt": SinkStatus("failed", reason="refused")}
    )
    for record in (
        make_status("starting", "opening 0"),
        make_status("waiting_for_camera", "no camera"),
        make_status("waiting_for_camera", "no camera"),
        make_reading(),
        make_status("running", "reading 0"),
        failed,
    ):
        sink.publish(record, None)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "starting: opening 0"),
        ("WARNING", "waiting_for_camera: no camera"),
        ("INFO", "running: reading 0"),
        ("WARNING", "running: sink mqtt is failed"),
    ]


def test_what_goes_wrong_is_a_warning_and_what_is_well_again_is_none(caplog: pytest.LogCaptureFixture) -> None:
    untried, away, well = SinkStatus("waiting"), SinkStatus("waiting", reason="no broker"), SinkStatus()
    told: list[tuple[State, SinkStatus, str]] = [
        ("starting", untried, "INFO"),
        ("running", untried, "INFO"),
        ("running", away, "WARNING"),
        ("waiting_for_camera", away, "WARNING"),
        ("waiting_for_camera", well, "INFO"),
        ("waiting_for_camera", away, "WARNING"),
        ("running", away, "INFO"),
        ("running", away, "WARNING"),
        ("degraded", well, "WARNING"),
        ("running", well, "INFO"),
        ("stopping", well, "INFO"),
    ]
    sink = StatusLog()
    caplog.set_level(logging.INFO)
    for number, (state, mqtt, _) in enumerate(told):
        sink.publish(replace(make_status(state, str(number)), sinks={"mqtt": mqtt}), None)
    assert [record.levelname for record in caplog.records] == [level for _, _, level in told]
