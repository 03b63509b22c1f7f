from __future__ import annotations

from collections.abc import Sequence

import pytest

from edge_fer.publish import Sink
from edge_fer.publish.sink_group import SinkGroup, tell_losses
from edge_fer.schema import Reading, Record, SinkStatus
from edge_fer.types import Image
from tests.support.records import make_reading


class Keeping(Sink):
    """Sends every other record, and keeps the rest."""

    name = "keeping"

    def __init__(self) -> None:
        self.kept: list[int] = []

    def publish(self, record: Record, image: Image | None) -> None:
        assert isinstance(record, Reading)
        if record.frame % 2:
            self.kept.append(record.frame)

    @property
    def condition(self) -> SinkStatus:
        return SinkStatus(waiting=len(self.kept))

    def take_unsent(self) -> Sequence[int]:
        kept, self.kept = self.kept, []
        return kept

    def resume(self, unsent: Sequence[int]) -> None:
        self.kept = [*unsent, *self.kept]


class Plain(Sink):
    """Sends everything."""

    name = "plain"

    def publish(self, record: Record, image: Image | None) -> None:
        pass


def run(*sinks: Sink, frames: range = range(0)) -> SinkGroup:
    group = SinkGroup(lambda: False)
    for sink in sinks:
        group.add(sink, essential=False)
    for frame in frames:
        group.publish(make_reading(frame), None)
    group.close()
    return group


def test_what_is_not_sent_goes_to_the_next_run_or_counts_as_lost() -> None:
    group = run(Keeping(), Plain(), frames=range(10))
    assert group.lost == {"keeping": 5}
    unsent = group.take_unsent()
    assert unsent == {"keeping": [1, 3, 5, 7, 9]}
    assert not group.lost
    run(Plain()).resume(unsent)
    assert unsent == {"keeping": [1, 3, 5, 7, 9]}, "no sink of that name is there any more"
    follower = Keeping()
    group = SinkGroup(lambda: False)
    group.add(follower, essential=False)
    group.resume(unsent)
    group.publish(make_reading(11), None)
    group.close()
    assert (follower.kept, unsent) == ([1, 3, 5, 7, 9, 11], {})


def test_losses_are_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    tell_losses({})
    tell_losses({"mqtt": 306, "file": 2})
    assert [record.getMessage() for record in caplog.records] == ["records were lost, by sink: file 2, mqtt 306"]
