"""An archive read by one worker, by two, and by a Ray cluster that loses a worker, a machine, and its driver.

python -m tools.field.archive_cluster --out out/archive_cluster --clips 60

The cluster has two nodes on loopback, one processor each. Every way must give the same tables and the same records:
nothing twice, nothing missing. It ends when one differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyarrow import parquet

from edge_fer.archive.columns import TABLES
from tools.field.archive_clips import make_clips

PATIENCE_S = 3600.0
SOME = 0.3  # of the recordings are done when something is killed
FAILED = 3  # exit code of a job in which some recordings failed
TASK = b"ray::_perform"

Job = subprocess.Popen[bytes]
Cluster = Any


def start(archive: Path, out: Path, *more: str) -> Job:
    """Start a job."""
    command = [sys.executable, "-m", "edge_fer", "label", str(archive), "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def finish(job: Job) -> None:
    """Wait for a job, in which some recordings cannot be read."""
    code = job.wait(PATIENCE_S)
    assert code == FAILED, f"the job ended with {code}"


def records(out: Path) -> list[Path]:
    """The records of the recordings that are done."""
    return sorted((out / "recordings").rglob("*.json"))


def tables(out: Path) -> dict[str, object]:
    """All rows of all tables, all records and the list of failures, by their places."""
    found: dict[str, object] = {"failed": (out / "failed.csv").read_text()}
    for name in TABLES:
        for path in sorted((out / name).rglob("*.parquet")):
            found[str(path.relative_to(out))] = parquet.read_table(path).to_pylist()
    return {**found, **{str(path.relative_to(out)): path.read_text() for path in records(out)}}


def when_some_are_done(out: Path, count: int, do: Callable[[], None]) -> None:
    """Do something in the middle of a job."""
    end = time.monotonic() + PATIENCE_S
    while len(records(out)) < count * SOME:
        assert time.monotonic() < end
        time.sleep(0.05)
    do()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Two nodes with a processor each, on loopback."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray then stays on loopback; the job's process has it, too
    from ray.cluster_utils import Cluster as Nodes

    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 100 << 20, "include_dashboard": False}
    nodes = Nodes(initialize_head=True, head_node_args=node)
    try:
        nodes.add_node(num_cpus=1, node_ip_address="127.0.0.1", object_store_memory=100 << 20)
        nodes.wait_for_nodes()
        yield nodes
    finally:
        nodes.shutdown()


def tasks_of(parent: int) -> list[int]:
    """The processes below another one that do a task now."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            command, state = (folder / "cmdline").read_bytes(), (folder / "stat").read_text()
        except OSError:  # no process, or one that has just ended
            continue
        if command.startswith(TASK) and int(state.rpartition(")")[2].split()[1]) == parent:
            found.append(int(folder.name))
    return found


def kill_a_worker(nodes: Cluster) -> None:
    """Kill a process that reads a recording."""
    raylets = [one.process.pid for node in nodes.list_all_nodes() for one in node.all_processes["raylet"]]
    end = time.monotonic() + PATIENCE_S
    while not (found := [process for raylet in raylets for process in tasks_of(raylet)]):
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(found[0], signal.SIGKILL)
    print("killed a worker", flush=True)


def kill_a_node(nodes: Cluster) -> None:
    """Kill the second node, and let another one take its place."""
    second = nodes.list_all_nodes()[-1]
    nodes.remove_node(second, allow_graceful=False)
    nodes.add_node(num_cpus=1, node_ip_address="127.0.0.1", object_store_memory=100 << 20)
    print("killed a node", flush=True)


def check(name: str, out: Path, expected: dict[str, object]) -> None:
    """Compare what a way has given with what one worker gave."""
    found = tables(out)
    different = [place for place in {*expected, *found} if expected.get(place) != found.get(place)]
    left = [str(path) for path in out.rglob("*.partial")] + [str(path) for path in (out / ".parts").glob("*")]
    assert not different, f"{name}: other rows in {different[:5]}"
    assert not left, f"{name}: left over: {left[:5]}"
    print(f"{name}: the same {len(found)} tables and records", flush=True)


def main() -> None:
    """Read the archive in every way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/archive_cluster"))
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--frames", type=int, default=60, help="of the longest clip")
    given = parser.parse_args()
    folder, count = given.out.resolve(), given.clips
    shutil.rmtree(folder, ignore_errors=True)
    archive = folder / "archive"
    make_clips(archive, count, given.frames)

    def timed(name: str, run: Callable[[Path], None]) -> None:
        began, out = time.monotonic(), folder / name.replace(" ", "_")
        run(out)
        print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
        if name != "one worker":
            check(name, out, tables(folder / "one_worker"))

    def killed(out: Path, *more: str) -> None:
        job = start(archive, out, *more)
        when_some_are_done(out, count, job.kill)
        job.wait()
        assert len(records(out)) < count * 0.9, "the job was over before it was killed"
        finish(start(archive, out, *more))

    timed("one worker", lambda out: finish(start(archive, out, "--workers", "1")))
    timed("two workers", lambda out: finish(start(archive, out, "--workers", "2")))
    timed("two workers, killed and started again", lambda out: killed(out, "--workers", "2"))
    with cluster() as nodes:
        ray = ("--engine", "ray", "--address", nodes.address)

        def disturbed(out: Path, do: Callable[[Cluster], None]) -> None:
            job = start(archive, out, *ray)
            when_some_are_done(out, count, lambda: do(nodes))
            finish(job)

        timed("ray", lambda out: finish(start(archive, out, *ray)))
        timed("ray, a worker killed", lambda out: disturbed(out, kill_a_worker))
        timed("ray, a node killed", lambda out: disturbed(out, kill_a_node))
        timed("ray, the driver killed and started again", lambda out: killed(out, *ray))


if __name__ == "__main__":
    main()
