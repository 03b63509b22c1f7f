"""Faces read by another process, to which everything happens that happens to a server and a cable.

    make field-remote_faults ARGS='--faces 10000 --faults 200'

A client as in `edge-fer run` reads faces through a cable (`remote_cable.py`) by a real `edge-fer serve`; each answer is
compared with the CPU's. Ends with 1 when a promise is broken: every face answered, in order, exactly as the CPU reads
it, within the deadline and 250 ms, less what other programs took from this one; and nothing leaked on either side.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edge_fer.expression.classifier import Classifier, open_network
from edge_fer.expression.failover import Failover
from edge_fer.expression.open_model import open_expression_model
from tests.support.resource_use import ResourceUse, resource_use, resource_use_after
from tools.field.remote_box import (
    MODEL,
    OTHER_MODEL,
    STORE,
    Flood,
    ServerProcess,
    client_settings,
    face,
    faketime,
    free_port,
    wait_for,
)
from tools.field.remote_cable import Cable

ON_THE_CABLE = ("cut", "reset", "half", "garbage", "garbage_up", "trickle")
FAULTS = (*ON_THE_CABLE, "kill", "freeze", "model", "version", "flood", *(["clock"] if faketime() else []))
GRACE_MS = 250.0
AWAY_FACES = 6  # read while the server is away, before the next wait
BESIDE = 1 << 30  # numbers of faces that are read while something is broken, beside those that are counted
MEMORY_MIB = 12.0  # that either side may grow by: what libraries allocate late


@dataclass
class Outcome:
    """What came of it."""

    faces: int = 0
    wrong: int = 0
    by_backend: dict[str, int] = field(default_factory=dict)
    injected: dict[str, int] = field(default_factory=dict)
    unexplained: int = 0
    worst_ms: float = 0.0
    worst_after: str = ""
    worst_with_waiting_ms: float = 0.0
    reconnects: int = 0
    servers: int = 0
    client_before: ResourceUse | None = None
    client_after: ResourceUse | None = None
    server_before: ResourceUse | None = None
    server_after: ResourceUse | None = None
    seconds: float = 0.0


class Trial:
    """One run.

    Args:
        folder: empty.
        deadline_ms: of one face.
        seed: of the places and kinds of the faults.
    """

    def __init__(self, folder: Path, deadline_ms: float, seed: int) -> None:
        self._random, self._deadline_ms = random.Random(seed), deadline_ms
        self._folder, self._bag = folder, list[str]()
        self._server = ServerProcess(folder, free_port(), clock_jumps="clock" in FAULTS)
        self.outcome = Outcome()

    def run(self, faces: int, faults: int) -> Outcome:
        outcome, started = self.outcome, time.monotonic()
        due = sorted(self._random.sample(range(faces // 20, faces - faces // 20), faults))
        self._server.start()
        with Cable(self._server.port) as cable, open_network(STORE, MODEL) as twin:
            settings = client_settings(cable.port, self._folder, self._deadline_ms, check_every=0)
            with open_expression_model(settings, STORE) as model:
                assert isinstance(model, Failover)
                self._read(model, twin, range(faces // 20))
                outcome.client_before, outcome.server_before = resource_use(), self._server.use()
                for number in range(faces // 20, faces):
                    if due and number >= due[0]:
                        due.pop(0)
                        self._break(model, twin, cable, number)
                    self._read(model, twin, [number])
                wait_for(lambda: model.origin.reason is None, 30, "the server is back at the end")
                outcome.client_after = resource_use_after(outcome.client_before)
                outcome.server_after = resource_use_after(outcome.server_before, self._server.use)
                outcome.reconnects = sum(model.devices[0].recovery.values())
        outcome.servers = self._server.starts
        self._server.end()
        outcome.seconds = round(time.monotonic() - started, 1)
        return outcome

    def _read(self, model: Failover, twin: Classifier, numbers: Sequence[int], after: str = "") -> None:
        outcome = self.outcome
        for number in numbers:
            one = face(number)
            began, waited_ms = time.monotonic(), waiting_ms()
            expression = model.classify(one)
            took_ms = (time.monotonic() - began) * 1e3
            outcome.worst_with_waiting_ms = max(outcome.worst_with_waiting_ms, round(took_ms, 1))
            took_ms -= waiting_ms() - waited_ms
            expected = twin.classify(one)
            outcome.wrong += expression != expected
            assert expression.origin is not None
            backend = expression.origin.backend.partition(":")[0]
            outcome.by_backend[backend] = outcome.by_backend.get(backend, 0) + 1
            outcome.unexplained += (expression.origin.backend == "cpu") != (expression.origin.reason is not None)
            outcome.faces += not after
            if took_ms > outcome.worst_ms:
                outcome.worst_ms, outcome.worst_after = round(took_ms, 1), after or "no fault"

    def _break(self, model: Failover, twin: Classifier, cable: Cable, number: int) -> None:
        """Inject the next fault; every kind comes once before one comes again."""
        wait_for(lambda: model.origin.reason is None and not cable.armed, 60, "the server is in service")
        self._bag = self._bag or self._random.sample(FAULTS, len(FAULTS))
        fault = self._bag.pop()
        self.outcome.injected[fault] = self.outcome.injected.get(fault, 0) + 1
        seeds = [BESIDE + number * AWAY_FACES + place for place in range(AWAY_FACES)]
        if fault in ON_THE_CABLE:
            cable.break_once(fault)
            self._read(model, twin, seeds, fault)
        elif fault == "kill":
            self._server.kill()
            self._read(model, twin, seeds, fault)
            self._server.start()
        elif fault == "freeze":
            self._server.freeze()
            self._read(model, twin, seeds, fault)
            self._server.thaw()
        elif fault == "model":
            self._server.kill()
            self._server.start(OTHER_MODEL)
            wait_for(lambda: "another model" in str(model.origin.reason), 30, "the other model is noticed")
            self._read(model, twin, seeds, fault)
            self._server.kill()
            self._server.start()
        elif fault == "clock":
            self._server.clock.set(f"{self._random.randrange(-400, 400):+d}d")
            self._read(model, twin, seeds * 2, fault)
        elif fault == "version":
            cable.spoil_greetings(2)
            cable.break_once("reset")
            self._read(model, twin, seeds, fault)
        else:
            with Flood(self._server.port).running():
                self._read(model, twin, seeds * 5, fault)


def waiting_ms() -> float:
    """How long this thread was ready to run while other programs had the processors, milliseconds."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e6


def broken(outcome: Outcome, faces: int, faults: int, deadline_ms: float) -> list[str]:
    """The promises that were not kept."""
    uses = [outcome.client_before, outcome.client_after, outcome.server_before, outcome.server_after]
    before, after, there_before, there_after = uses
    assert before is not None
    assert after is not None
    assert there_before is not None
    assert there_after is not None
    kept = {
        f"{faces} faces answered": outcome.faces == faces,
        "each as the CPU reads it": outcome.wrong == 0,
        f"{faults} faults injected": sum(outcome.injected.values()) == faults,
        "an answer of the CPU says why": outcome.unexplained == 0,
        f"none took longer than {deadline_ms + GRACE_MS:g} ms": outcome.worst_ms <= deadline_ms + GRACE_MS,
        "descriptors here": after.descriptors <= before.descriptors,
        "threads here": after.threads <= before.threads,
        "memory here": after.rss_mib - before.rss_mib < MEMORY_MIB,
        "descriptors there": there_after.descriptors <= there_before.descriptors,
        "threads there": there_after.threads <= there_before.threads,
        "memory there": there_after.rss_mib - there_before.rss_mib < MEMORY_MIB,
    }
    return [promise for promise, is_kept in kept.items() if not is_kept]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--deadline-ms", type=float, default=200.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if "clock" not in FAULTS:
        print("left out: a clock that jumps, for which Debian's package faketime is needed")
    logging.getLogger("edge_fer").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        outcome = Trial(Path(folder), options.deadline_ms, options.seed).run(options.faces, options.faults)
    print(json.dumps(asdict(outcome), indent=2))
    problems = broken(outcome, options.faces, options.faults, options.deadline_ms)
    print("kept every promise" if not problems else f"NOT kept: {'; '.join(problems)}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
