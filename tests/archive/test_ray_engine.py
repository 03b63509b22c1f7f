"""Tasks on Ray: a cluster of this machine, with a worker that dies. More: tools/field/archive_cluster.py."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edge_fer.archive.engines import Done, Event, open_engine
from edge_fer.archive.tasks import Failure
from edge_fer.errors import ConfigError
from tests.archive.made import a_part
from tests.archive.test_local_engine import PATIENCE_S, odd

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # what Ray's libraries warn of is not ours
pytest.importorskip("ray", reason="needs the extra `ray`")


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray listens on loopback only; its processes find the tests' modules."""
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH")))))
    monkeypatch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)


@pytest.mark.usefixtures("loopback")
def test_what_becomes_of_tasks(tmp_path: Path) -> None:
    tasks = [odd(tmp_path, str(n), what) for n, what in enumerate(("", "die once", "die", "lose"))]
    done = dict[str, object]()
    with open_engine("ray", workers=1) as engine:
        assert engine.slots >= 2
        for task in tasks:
            engine.submit(task)
        end, events = time.monotonic() + PATIENCE_S, list[Event]()
        while len(done) < len(tasks):
            assert time.monotonic() < end
            events = engine.wait(1)
            done |= {event.task.recording.name: event.outcome for event in events if isinstance(event, Done)}
    assert done["0"] == a_part(identity="0")
    assert done["1"] == a_part(identity="1"), "another worker has done it"
    assert isinstance(done["2"], Failure)
    assert done["2"].of == "worker"
    assert done["3"] == Failure("recording", "expected a film, found none")


@pytest.mark.parametrize(
    ("address", "found"),
    [("127.0.0.1:1", "Connection refused"), ("ray://127.0.0.1:1", "Connection refused"), ("here", "no HOST:PORT")],
)
def test_a_cluster_that_is_not_there_is_told(address: str, found: str) -> None:
    with pytest.raises(ConfigError, match=f"expected a Ray cluster at {address}, found: .*{found}"):
        open_engine("ray", workers=1, address=address)
