"""The job: what is done, what is left alone, what fails; with an engine that does every task at once, here."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_fer.archive.engines import Done, Event
from edge_fer.archive.label_archive import Summary, label_archive
from edge_fer.archive.layout import Layout, key_of
from edge_fer.archive.record import RecordingRecord, write_record
from edge_fer.archive.recordings import Recording
from edge_fer.archive.report import write_report
from edge_fer.archive.segments import Segment
from edge_fer.archive.tasks import Cut, Failure, Join, Label, Outcome, Task, Whole
from edge_fer.errors import ConfigError, ModelError, OutputError
from tests.archive.made import a_job, a_part
from tests.support.chromium import Browser


class Here:
    """An engine that does tasks at once; what they come to is made up.

    Attributes:
        tasks: all that were handed in.
        outcomes: what a task on a recording comes to, by its name; others are whole.
    """

    slots = 2

    def __init__(self, outcomes: dict[str, Outcome] | None = None) -> None:
        self.tasks: list[Task] = []
        self.outcomes = outcomes or {}
        self._events: list[Event] = []
        self.ended = False

    def submit(self, task: Task) -> None:
        assert len(self._events) < self.slots
        self.tasks.append(task)
        self._events.append(Done(task, self.outcomes.get(task.recording.name) or self._outcome(task)))

    def wait(self, timeout_s: float) -> list[Event]:
        events, self._events = self._events, []
        return events

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True

    def _outcome(self, task: Task) -> Outcome:
        if isinstance(task, Cut):
            return Segment(), Segment(1)
        if isinstance(task, Label):
            return a_part()
        layout = Layout.of(task.job)
        for path in layout.tables(task.recording.name).values():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        record = a_record(task)
        write_record(layout.record(task.recording.name), record)
        return record


class Quiet:
    """Shows nothing, and keeps what it was told."""

    def __init__(self) -> None:
        self.problems: dict[str, str | None] = {}

    def begin(self, recordings: int, known: int) -> None:
        self.begun = recordings, known

    def frames(self, recording: str, frames: int, length: int | None) -> None: ...

    def done(self, recording: str, problem: str | None) -> None:
        assert recording not in self.problems
        self.problems[recording] = problem


def a_record(task: Task, **changed: Any) -> RecordingRecord:
    recording = task.recording
    identity = recording.identity()
    given: dict[str, Any] = {
        "recording": recording.name, "source": recording.shown, "identity": identity,
        "key": key_of(recording, identity, task.job), "facts": task.job.facts, "problem": None, "warnings": (),
        "recorded_at": None, "size": (64, 48), "segments": 1, "duration_ms": 1000.0, "frames": 2, "frames_lost": 0,
        "frames_damaged": 0, "faces": 1, "tracks": 1, "most_faces": 1, "withheld": {}, "bin_ms": 500.0,
        "bins": ((0.0,) * 8, (0.0,) * 6 + (40.0, 0.0)), **changed,
    }  # fmt: skip
    return RecordingRecord(**given)


@pytest.fixture
def recordings(tmp_path: Path) -> list[Recording]:
    """Three files, whose content nobody reads here."""
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / f"{name}.mp4").write_text(name)
    return [Recording(f"{name}.mp4", str(tmp_path / "in" / f"{name}.mp4")) for name in "abc"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def run(recordings: list[Recording], out: Path, engine: Here | None = None, **more: Any) -> tuple[Summary, Here, Quiet]:
    engine, shown = engine or Here(), Quiet()
    resume = more.pop("resume", True)
    summary = label_archive(a_job(out, **more), recordings, lambda: engine, shown, resume=resume)
    assert not engine.tasks or engine.ended
    return summary, engine, shown


def done(engine: Here) -> list[str]:
    return [task.recording.name for task in engine.tasks]


def failed(out: Path) -> list[dict[str, str]]:
    with (out / "failed.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_was_read_before_is_left_alone(recordings: list[Recording], out: Path) -> None:
    _, engine, shown = run(recordings[:2], out)
    assert done(engine) == ["a.mp4", "b.mp4"]
    summary, engine, shown = run(recordings, out)
    assert done(engine) == ["c.mp4"]
    assert (shown.begun, summary.known, sorted(summary.records)) == ((1, 2), 2, ["a.mp4", "b.mp4", "c.mp4"])
    assert failed(out) == []


@pytest.mark.parametrize("change", ["settings", "recording", "table", "record", "again"])
def test_what_has_changed_is_read_again(change: str, recordings: list[Recording], out: Path) -> None:
    run(recordings, out)
    if change == "recording":
        os.utime(recordings[0].address, ns=(0, 1))
    elif change == "table":
        (out / "faces/a.mp4.parquet").unlink()
    elif change == "record":
        (out / "recordings/a.mp4.json").write_text("{")
    engine = run(recordings, out, every=2 if change == "settings" else 1, resume=change != "again")[1]
    assert done(engine) == (["a.mp4", "b.mp4", "c.mp4"] if change in {"settings", "again"} else ["a.mp4"])


def test_what_cannot_be_read_is_listed_and_stops_nothing(recordings: list[Recording], out: Path) -> None:
    gone = Recording("gone.mp4", "/nowhere/gone.mp4")
    outcomes: dict[str, Outcome] = {
        "a.mp4": Failure("recording", "it is broken"),
        "b.mp4": Failure("worker", "it died"),
    }
    summary, _, shown = run([*recordings, gone], out, Here(outcomes))
    assert list(summary.records) == ["c.mp4"]
    assert [(row["recording"], row["state"]) for row in failed(out)] == [
        (f"{n}.mp4", "failed") for n in ("a", "b", "gone")
    ]
    assert "No such file" in failed(out)[2]["reason"]
    assert shown.problems["a.mp4"] == "it is broken"
    assert done(run(recordings, out)[1]) == ["a.mp4", "b.mp4"], "they are tried again"


def test_tables_of_another_recording_of_the_same_name_are_kept(
    recordings: list[Recording], out: Path, tmp_path: Path
) -> None:
    run(recordings, out)
    before = (out / "recordings/a.mp4.json").read_bytes()
    (tmp_path / "a.mp4").write_text("another one")
    other = Recording("a.mp4", str(tmp_path / "a.mp4"))
    summary, engine, _ = run([other], out)
    assert (done(engine), list(summary.others)) == ([], ["a.mp4", "b.mp4", "c.mp4"])
    assert "expected no tables of another recording of this name" in summary.failed["a.mp4"]
    assert (out / "recordings/a.mp4.json").read_bytes() == before
    assert done(run([other], out, resume=False)[1]) == ["a.mp4"]


def test_what_other_jobs_read_in_another_way_is_told(recordings: list[Recording], out: Path) -> None:
    run(recordings[:1], out, every=5)
    run(recordings[1:2], out)
    summary = run(recordings[2:], out)[0]
    assert summary.others["b.mp4"] == ""
    assert summary.differing == {"a.mp4": "sampling: one frame in 5"}
    (out / "recordings/b.mp4.json").write_text("{")
    (out / "faces/a.mp4.parquet").unlink()
    summary = run(recordings[2:], out, networks={"lite": "1"})[0]
    assert summary.differing == {
        "a.mp4": "networks, sampling: one frame in 5, no tables in parquet",
        "b.mp4": "its record cannot be read",
    }
    write_report(out / "report.html", summary, a_job(out))
    page = (out / "report.html").read_text()
    assert "<td>a.mp4</td><td>networks, sampling: one frame in 5, no tables in parquet</td>" in page
    assert "give each job its own --out" in page


def test_tables_of_a_recording_that_was_moved_are_still_its_own(
    recordings: list[Recording], out: Path, tmp_path: Path
) -> None:
    run(recordings[:1], out)
    moved = Path(recordings[0].address).rename(tmp_path / "a.mp4")
    summary, engine, _ = run([Recording("a.mp4", str(moved))], out)
    assert (done(engine), summary.known) == ([], 1)


def test_a_film_that_breaks_off_is_listed_as_long_as_it_is_so(recordings: list[Recording], out: Path) -> None:
    record = a_record(Whole(recordings[0], a_job(out)), problem="it breaks off")
    _summary, _, shown = run(recordings[:1], out, Here({"a.mp4": record}))
    assert (failed(out)[0]["state"], shown.problems) == ("incomplete", {"a.mp4": "it breaks off"})


def test_a_recording_is_cut_then_read_then_joined(recordings: list[Recording], out: Path) -> None:
    _, engine, _ = run(recordings[:1], out, segment_s=60.0)
    assert [type(task) for task in engine.tasks] == [Cut, Label, Label, Join]
    assert [task.segment.number for task in engine.tasks if isinstance(task, Label)] == [0, 1]


def test_a_recording_whose_segments_fail_counts_once(recordings: list[Recording], out: Path) -> None:
    class Half(Here):
        def _outcome(self, task: Task) -> Outcome:
            return Failure("recording", "no") if isinstance(task, Label) else super()._outcome(task)

    summary, engine, _ = run(recordings[:1], out, Half(), segment_s=60.0)
    assert summary.failed == {"a.mp4": "no"}
    assert not any(isinstance(task, Join) for task in engine.tasks)


def test_what_all_recordings_need_ends_the_job(recordings: list[Recording], out: Path) -> None:
    engine = Here({"b.mp4": Failure("job", "no such network", "ModelError")})
    with pytest.raises(ModelError, match="no such network"):
        run(recordings, out, engine)
    assert engine.ended
    assert failed(out) == [], "nothing is wrong with a recording"


def test_two_jobs_do_not_share_a_folder(recordings: list[Recording], out: Path) -> None:
    class Second(Here):
        def __enter__(self) -> Here:
            with pytest.raises(ConfigError, match=r"no other job in .*out, found one at work; wait until it has ended"):
                run(recordings, out)
            return super().__enter__()

    run(recordings, out, Second())


def test_a_folder_that_cannot_be_written_is_told(recordings: list[Recording], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        OutputError, match=r"expected to write to .*file/out, found: Not a directory; choose another --out"
    ):
        run(recordings, tmp_path / "file" / "out")


def test_what_a_killed_job_left_is_swept_but_for_parts_that_are_of_use(recordings: list[Recording], out: Path) -> None:
    run(recordings[:1], out)
    key = key_of(recordings[1], recordings[1].identity(), a_job(out))
    for folder in (key, "0" * 64):
        (out / ".parts" / folder / "0000").mkdir(parents=True)
    (out / "faces" / ".a.mp4.parquet.1.partial").touch()
    (out / ".parts" / key / "0000" / ".faces.2.partial").touch()

    class Look(Here):
        def __enter__(self) -> Here:
            assert [path.name for path in (out / ".parts").iterdir()] == [key]
            assert not list(out.rglob("*.partial"))
            return super().__enter__()

    run(recordings[:2], out, Look())


@pytest.fixture
def page(recordings: list[Recording], out: Path) -> Iterator[str]:
    """The report of a job in which one recording failed."""
    outcomes: dict[str, Outcome] = {"a.mp4": Failure("recording", "it has a <script> in it")}
    summary = run(recordings, out, Here(outcomes))[0]
    write_report(out / "report.html", summary, a_job(out))
    return (out / "report.html").read_text()


def test_the_report_needs_nothing_else_and_runs_nothing(page: str) -> None:
    assert page.count("<svg") == 2
    assert "it has a &lt;script&gt; in it" in page
    assert not any(word in page for word in ("<script", "http:", "https:", "src=", "url("))


@pytest.mark.slow
@pytest.mark.debian("chromium")
def test_the_report_is_shown(page: str, out: Path) -> None:
    with Browser() as browser:
        browser.visit((out / "report.html").as_uri())
        assert browser.evaluate("document.querySelectorAll('svg polygon').length") == 2
        assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert browser.requests == [(out / "report.html").as_uri()]
        assert browser.complaints == []


def test_records_are_whole_json(recordings: list[Recording], out: Path) -> None:
    run(recordings, out)
    content = json.loads((out / "recordings/a.mp4.json").read_text())
    assert (content["schema"], content["recording"]) == ("edge-fer/recording/1", "a.mp4")
