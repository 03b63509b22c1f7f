"""Tasks in processes of this machine: one that dies costs its own task only."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_fer.archive.engines import RETRIES, Done, Event, Told
from edge_fer.archive.engines.local import LocalEngine
from edge_fer.archive.job import Job
from edge_fer.archive.labelling import Part, Progress
from edge_fer.archive.recordings import Recording
from edge_fer.archive.tasks import Failure
from edge_fer.errors import ModelError, SourceError
from tests.archive.made import a_job, a_part, a_recording

pytestmark = pytest.mark.slow
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Odd:
    """A task that does as it is told.

    Attributes:
        what: `die` kills its process, `die once` only the first time; `hang`; `lose` and `miss` fail; else it is done.
    """

    recording: Recording
    job: Job
    what: str = ""

    def run(self, progress: Progress) -> Part:
        progress(3, 30)
        mark = self.job.out / self.recording.name
        if self.what == "die" or (self.what == "die once" and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "hang":
            time.sleep(PATIENCE_S)
        if self.what == "lose":
            raise SourceError("expected a film, found none")
        if self.what == "miss":
            raise ModelError("expected a network, found none")
        if self.what == "surprise":
            raise KeyError("a bug")
        return a_part(identity=self.recording.name)


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    with LocalEngine(2) as engine:
        yield engine


def run(engine: LocalEngine, *tasks: Odd) -> tuple[dict[str, object], list[Event]]:
    """What each came to, by its name, and all that was told."""
    for task in tasks:
        engine.submit(task)
    end, events = time.monotonic() + PATIENCE_S, list[Event]()
    while sum(isinstance(event, Done) for event in events) < len(tasks):
        assert time.monotonic() < end
        events += engine.wait(0.1)
    return {event.task.recording.name: event.outcome for event in events if isinstance(event, Done)}, events


def odd(folder: Path, name: str, what: str = "") -> Odd:
    (folder / ".lock").touch()
    return Odd(a_recording(name), a_job(folder), what)


def test_what_becomes_of_tasks(engine: LocalEngine, tmp_path: Path) -> None:
    whats = ("", "die", "die once", "lose", "miss", "surprise", "")
    outcomes, events = run(engine, *(odd(tmp_path, str(n), what) for n, what in enumerate(whats)))
    assert outcomes["0"] == a_part(identity="0")
    assert outcomes["1"] == Failure(
        "worker", f"the process that read it died {RETRIES + 1} times; the last time it ended with signal 9"
    )
    assert outcomes["2"] == a_part(identity="2")
    assert outcomes["3"] == Failure("recording", "expected a film, found none")
    assert outcomes["4"] == Failure("job", "expected a network, found none", "ModelError")
    assert outcomes["5"] == Failure("recording", "it failed unexpectedly: KeyError: 'a bug'")
    assert outcomes["6"] == a_part(identity="6")
    assert {(event.frames, event.length) for event in events if isinstance(event, Told)} == {(3, 30)}


def test_a_worker_that_is_stuck_is_ended(tmp_path: Path) -> None:
    now = [0.0]
    with LocalEngine(1, patience_s=60, clock=lambda: now[0]) as engine:
        engine.submit(odd(tmp_path, "a", "hang"))
        done, told = list[Event](), 0
        end = time.monotonic() + PATIENCE_S
        while not done:
            assert time.monotonic() < end
            for event in engine.wait(0.1):
                told += isinstance(event, Told)
                done += [event] if isinstance(event, Done) else []
            now[0] += 61 * (told > 0)  # the clock moves on once it hangs
    (event,) = done
    assert isinstance(event, Done)
    assert event.outcome == Failure(
        "worker", "the process that read it died 3 times; the last time it told of nothing for 60 s"
    )


def test_no_process_outlives_the_engine(tmp_path: Path) -> None:
    with LocalEngine(2) as engine:
        for name in "ab":
            engine.submit(odd(tmp_path, name, "hang"))
        while not engine.wait(0.5):
            pass
        processes = engine.workers
    assert len(processes) == 2
    assert not any(Path(f"/proc/{process}").exists() for process in processes)


def test_a_machine_without_the_folder_says_so(engine: LocalEngine, tmp_path: Path) -> None:
    outcomes, _ = run(engine, Odd(a_recording("a"), a_job(tmp_path / "elsewhere")))
    failure = outcomes["a"]
    assert isinstance(failure, Failure)
    assert (failure.of, failure.error) == ("job", "OutputError")
    assert "every worker sees under the same path" in failure.reason
