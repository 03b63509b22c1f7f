from __future__ import annotations

import contextlib
import errno
import json
import os
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from edge_fer.errors import OutputError
from edge_fer.publish import file as file_module
from edge_fer.publish import locked_file
from edge_fer.publish.file import JsonFile, check, validate
from edge_fer.schema import to_json
from edge_fer.settings import FileSettings, load_settings
from tests.support.records import make_reading, make_status
from tests.support.waiting import Clock

LINE = len(to_json(make_reading(1))) + 1


def frames(path: Path) -> list[int]:
    return [json.loads(line)["frame"] for line in path.read_text().splitlines()]


class SmallDisk:
    """Files that cannot be longer than `room`, bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        disk = self

        class Full(FileIO):
            def write(self, data: Any) -> int:
                left = disk.room - self.seek(0, os.SEEK_END)
                if left <= 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return super().write(bytes(data)[:left])

        monkeypatch.setattr(locked_file, "FileIO", Full)


def sink_at(path: Path, clock: Clock | None = None, **settings: Any) -> JsonFile:
    return JsonFile(FileSettings(path=path, **settings), clock=clock or Clock())


def test_each_record_is_a_line_and_stands_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    sink = sink_at(path)
    sink.publish(make_reading(1), None)
    assert frames(path) == [1]
    sink.publish(make_status(), None)
    sink.close()
    sink.close()
    assert [json.loads(line)["schema"] for line in path.read_text().splitlines()] == [
        "edge-fer/reading/1",
        "edge-fer/status/1",
    ]


def test_a_new_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    for frame in (1, 2):
        sink = sink_at(path)
        sink.publish(make_reading(frame), None)
        sink.close()
    assert frames(path) == [1, 2]


def test_a_file_that_is_full_is_rotated_and_the_oldest_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    sink = sink_at(path, max_mb=2 * LINE / 1e6, keep=2)
    for frame in range(1, 10):
        sink.publish(make_reading(frame), None)
    sink.close()
    assert {file.name: frames(file) for file in tmp_path.iterdir()} == {
        "readings.jsonl": [9],
        "readings.jsonl.1": [7, 8],
        "readings.jsonl.2": [5, 6],
    }


def test_nothing_is_kept_where_nothing_should_be(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    sink = sink_at(path, max_mb=LINE / 1e6, keep=0)
    for frame in (1, 2):
        sink.publish(make_reading(frame), None)
    sink.close()
    assert [file.name for file in tmp_path.iterdir()] == ["readings.jsonl"]
    assert frames(path) == [2]


def test_a_file_that_is_old_is_rotated_without_waiting_for_a_record(tmp_path: Path) -> None:
    path, clock = tmp_path / "readings.jsonl", Clock()
    sink = sink_at(path, clock, max_hours=2)
    sink.publish(make_reading(1), None)
    clock.now = 2 * 3600 - 1
    sink.tick()
    assert frames(path) == [1]
    clock.now += 1
    sink.tick()
    assert (frames(path), frames(tmp_path / "readings.jsonl.1")) == ([], [1])
    clock.now += 10 * 3600
    sink.tick()
    sink.close()
    assert not (tmp_path / "readings.jsonl.2").exists(), "an empty file is not put aside"


@pytest.mark.parametrize("moved", [True, False])
def test_a_file_that_somebody_else_takes_away_is_begun_anew(moved: bool, tmp_path: Path) -> None:
    path, aside = tmp_path / "readings.jsonl", tmp_path / "elsewhere"
    sink = sink_at(path)
    sink.publish(make_reading(1), None)
    path.replace(aside) if moved else path.unlink()
    sink.publish(make_reading(2), None)
    sink.close()
    assert frames(path) == [2]
    assert not moved or frames(aside) == [1]


@pytest.mark.parametrize(("policy", "synced"), [("never", 0), ("second", 2), ("always", 4)])
def test_the_disk_is_forced_as_often_as_the_policy_says(
    policy: str, synced: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(file_module.os, "fsync", calls.append)
    clock = Clock()
    sink = sink_at(tmp_path / "readings.jsonl", clock, fsync=policy)
    for frame, at in enumerate((0.1, 0.2, 1.1)):
        clock.now = at
        sink.publish(make_reading(frame), None)
    clock.now = 5.0
    sink.tick()
    sink.close()
    assert len(calls) == synced


def test_a_full_disk_costs_the_line_and_leaves_whole_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "readings.jsonl"
    sink_at(path).close()
    disk = SmallDisk(monkeypatch, LINE + 7)
    sink = sink_at(path)
    sink.publish(make_reading(1), None)
    with pytest.raises(OutputError, match=r"expected to write readings to .*found: No space left"):
        sink.publish(make_reading(2), None)
    assert frames(path) == [1]
    disk.room = 2 * LINE
    sink.publish(make_reading(3), None)
    sink.close()
    assert frames(path) == [1, 3]


def test_a_pipe_is_refused_as_it_would_wait_for_its_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match=r"expected a file for readings at .*pipe, found something else"):
        sink_at(tmp_path / "pipe")


def test_what_a_power_cut_left_of_a_line_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    path.write_text('{"frame": 1}\n{"fra')
    for frame in (2, 3):
        sink = sink_at(path)
        sink.publish(make_reading(frame), None)
        sink.close()
    whole, torn, *rest = path.read_text().splitlines()
    assert (whole, torn) == ('{"frame": 1}', '{"fra')
    assert [json.loads(line)["frame"] for line in rest] == [2, 3]


def test_a_torn_line_stays_one_of_its_own_even_where_the_disk_is_full_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "readings.jsonl"
    path.write_text('{"fra')
    disk = SmallDisk(monkeypatch, 6)
    sink = sink_at(path)
    for room in (6, 7, LINE):  # no byte, the end of the torn line alone, and part of the reading
        disk.room = room
        with pytest.raises(OutputError, match="No space left"):
            sink.publish(make_reading(1), None)
        assert path.read_text() == '{"fra'
    disk.room = 10 * LINE
    for frame in (2, 3):
        sink.publish(make_reading(frame), None)
    sink.close()
    torn, *rest = path.read_text().splitlines()
    assert torn == '{"fra'
    assert [json.loads(line)["frame"] for line in rest] == [2, 3]


def test_a_second_run_is_refused_and_takes_over_when_the_first_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    first, second = sink_at(path), JsonFile(FileSettings(path=path), retry_open=True, clock=Clock())
    with pytest.raises(OutputError, match=r"only run that writes readings to .*, found another at it; end that run"):
        sink_at(path)
    for frame in range(3):
        first.publish(make_reading(frame), None)
        with pytest.raises(OutputError, match="found another at it"):
            second.publish(make_reading(100 + frame), None)
    first.close()
    second.publish(make_reading(103), None)
    second.close()
    assert frames(path) == [0, 1, 2, 103]


def test_two_runs_do_not_rotate_away_what_the_other_writes(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    sinks = [JsonFile(FileSettings(path=path, max_mb=3 * LINE / 1e6, keep=100), retry_open=True) for _ in range(2)]
    written = []
    for frame in range(60):
        for number, sink in enumerate(sinks):
            with contextlib.suppress(OutputError):
                sink.publish(make_reading(10 * frame + number), None)
                written.append(10 * frame + number)
    for sink in sinks:
        sink.close()
    kept = [frame for file in tmp_path.iterdir() for frame in frames(file)]
    assert sorted(kept) == written == [10 * frame for frame in range(60)], "the first stays the one that writes"


def test_a_disk_that_has_no_links_is_rotated_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / "readings.jsonl"
    sink = sink_at(path, max_mb=LINE / 1e6, keep=2)
    for frame in range(4):
        sink.publish(make_reading(frame), None)
    sink.close()
    assert {file.name: frames(file) for file in tmp_path.iterdir()} == {
        "readings.jsonl": [3],
        "readings.jsonl.1": [2],
        "readings.jsonl.2": [1],
    }


def test_a_file_that_a_run_writes_is_well_for_a_check_and_for_a_reload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "readings.jsonl"
    settings = load_settings(environment={}, flags={"publish.file.path": str(path)})
    sink = sink_at(path)
    validate(settings)
    assert not caplog.text
    check(settings)
    assert f"file: a run writes {path} already" in caplog.text
    sink.close()


def test_a_check_finds_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    settings = load_settings(environment={}, flags={"publish.file.path": str(tmp_path / "readings.jsonl")})
    check(settings)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OutputError, match="found: No space left on device; make room"):
        check(settings)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_mounted_later_gets_what_comes_then(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    sink = JsonFile(FileSettings(path=folder / "readings.jsonl"), retry_open=True)
    with pytest.raises(OutputError, match=r"expected to write readings to .* No such file or directory"):
        sink.publish(make_reading(1), None)
    folder.mkdir()
    sink.publish(make_reading(2), None)
    sink.close()
    assert frames(folder / "readings.jsonl") == [2]


def test_readings_are_nothing_for_everybody(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        sink_at(tmp_path / "readings.jsonl").close()
    finally:
        os.umask(before)
    assert (tmp_path / "readings.jsonl").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    settings = load_settings(environment={}, flags={"publish.file.path": str(tmp_path / "none" / "readings.jsonl")})
    with pytest.raises(OutputError, match="No such file or directory; make room or the folder, or choose"):
        check(settings)
