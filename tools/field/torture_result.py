"""What `torture.py` measured, and whether that is as it should be."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.resource_use import ResourceUse

UNSEEN = ("infer garbage", "infer flip")
"""Wrong answers without an error: only a comparison with the CPU finds them."""

GRACE_MS = 250.0
"""A gap between two readings may be longer than the deadline by this."""


@dataclass(frozen=True)
class Result:
    """What happened.

    Attributes:
        readings: published.
        in_order: whether their frames are 0, 1, 2, ... without a gap or a repetition.
        with_face: readings with one face that has its probabilities.
        wrong: answers that the CPU does not agree with, and that got out.
        check_every: so many faces from one to the next that the run itself compares with the CPU.
        by_backend: answers by what gave them.
        injected: faults by kind.
        to_come: whether the last fault has yet to happen.
        worst_gap_ms: longest time between two readings, or, where the source waited for the device, longest time from a
            frame to its reading.
        deadline_ms: of one inference.
        recovery: recovery steps that were tried.
        returned: how often the Edge TPU took over again.
        before: what the process held before it all.
        early: what it held after a tenth of the frames.
        after: what it held when all was closed.
        seconds: that it took.
    """

    readings: int
    in_order: bool
    with_face: int
    wrong: int
    check_every: int
    by_backend: dict[str, int]
    injected: dict[str, int]
    to_come: bool
    worst_gap_ms: float
    deadline_ms: float
    recovery: dict[str, int]
    returned: int
    before: ResourceUse
    early: ResourceUse
    after: ResourceUse
    seconds: float

    def broken_promises(self, frames: int, faults: int, growth_mib: float, grace_ms: float = GRACE_MS) -> list[str]:
        """What should have been otherwise."""
        unseen = 0 if self.check_every == 1 else sum(self.injected.get(fault, 0) for fault in UNSEEN)
        checks = {
            f"{frames} readings": self.readings == frames,
            "in order, none twice": self.in_order,
            "a face in each": self.with_face == frames,
            "the CPU agrees with all" + (f" but {unseen}" if unseen else ""): self.wrong <= unseen,
            f"{faults} faults": sum(self.injected.values()) == faults and not self.to_come,
            f"no gap above {self.deadline_ms + grace_ms:g} ms": self.worst_gap_ms <= self.deadline_ms + grace_ms,
            "the Edge TPU came back": self.returned > 0,
            **self.after.promises_since(self.before),
            f"memory grew by less than {growth_mib:g} MiB": self.after.rss_mib - self.early.rss_mib < growth_mib,
        }
        return [promise for promise, kept in checks.items() if not kept]
