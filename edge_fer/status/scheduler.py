"""When a status is due, and what it says: what has changed, and at times how things are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

from edge_fer.common.deadline import stuck_sentence
from edge_fer.errors import OutputError
from edge_fer.publish.sink_group import SinkGroup
from edge_fer.schema import Loop, Record, SinkState, SinkStatus, State, Status
from edge_fer.status.run_condition import RunCondition

_QUIET_S = 1.0  # without any record, while no frame comes
_LONGEST_S = 2.0  # without a status, of a live source: temperatures, stage times and sinks change, too


class StatusChange(NamedTuple):
    """What a status tells: a state, and a sentence."""

    state: State
    message: str


class StatusScheduler:
    """Watches what may change beside the frames; for one thread.

    Args:
        condition: how the parts of the run are.
        sinks: where records go.
        keep_going: whether the run goes on when every sink has failed.
        clock: seconds that never go backwards.
    """

    def __init__(
        self,
        condition: RunCondition,
        sinks: SinkGroup,
        *,
        keep_going: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._condition, self._sinks = condition, sinks
        self._camera, self._health = condition.camera, condition.health
        self._keep_going, self._clock = keep_going, clock
        self._stuck: Loop | None = None
        self._published_at = self._status_at = 0.0
        self._label_rate = 1.0
        self._sink_states: dict[str, SinkState] = {}

    def published(self, record: Record) -> None:
        """Note that a record was published."""
        self._published_at = self._clock()
        if isinstance(record, Status):
            self._status_at = self._published_at

    def due(self, *, got_frame: bool) -> Iterator[StatusChange]:
        """What is to be told now.

        Args:
            got_frame: whether the camera has just given one.

        Raises:
            OutputError: when every sink has failed, and the run shall not go on without.
        """
        yield from self._of_loops()
        yield from self._of_camera(got_frame=got_frame)
        yield from self._of_devices()
        yield from self._of_sinks()

    def unless_waiting(self, state: State) -> State:
        """That state, unless the camera is away, which is worse."""
        return "waiting_for_camera" if self._camera.condition[0] == "waiting_for_camera" else state

    def _of_loops(self) -> Iterator[StatusChange]:
        """What is stuck, and what turns again."""
        before, self._stuck = self._stuck, self._condition.stuck
        if self._stuck is not None and self._stuck != before:
            yield StatusChange(self.unless_waiting("degraded"), stuck_sentence(self._stuck))
        elif before is not None and self._stuck is None:
            yield StatusChange(self.unless_waiting("running"), f"{before}: it turns again")

    def _of_camera(self, *, got_frame: bool) -> Iterator[StatusChange]:
        """Every change of its condition, and its condition at times."""
        for state, message in self._camera.changes():
            if state != "ended":
                yield StatusChange(cast(State, state), message)
        state, message = self._camera.condition
        now = self._clock()
        is_quiet = not got_frame and now - self._published_at >= _QUIET_S
        is_due = self._camera.drops_frames and now - self._status_at >= _LONGEST_S
        if state != "ended" and (is_quiet or is_due):
            yield StatusChange(cast(State, state), "; ".join([message, *self._standing(message)]))

    def _standing(self, told: str) -> Iterator[str]:
        """What is wrong for as long as it is, besides what is told already."""
        trouble = self._condition.trouble
        if trouble is not None and trouble not in told:
            yield trouble
        for name, sink in self._sinks.conditions.items():
            if sink.state != "ok" and sink.reason is not None:
                yield _sentence(name, sink)

    def _of_devices(self) -> Iterator[StatusChange]:
        """All that happened to the devices that read faces, and to the share of faces that is read."""
        for state, message in self._condition.device_changes():
            yield StatusChange(self.unless_waiting(state), message)
        rate = self._health.label_rate
        if rate != self._label_rate:
            self._label_rate = rate
            yield StatusChange(self.unless_waiting("running"), self._health.reason or "cool again: all labels are read")

    def _of_sinks(self) -> Iterator[StatusChange]:
        """Which sink has failed or lost its link, and which is well again."""
        conditions = self._sinks.conditions
        for name, sink in conditions.items():
            is_untried = sink.state == "waiting" and sink.reason is None
            if sink.state != self._sink_states.get(name, "ok") and not is_untried:
                self._sink_states[name] = sink.state
                yield StatusChange(self.unless_waiting("running"), _sentence(name, sink))
        reasons = [sink.reason for sink in conditions.values() if sink.state == "failed"]
        if reasons and len(reasons) == len(conditions) and not self._keep_going:
            raise OutputError(reasons[0])


def _sentence(name: str, sink: SinkStatus) -> str:
    return f"sink {name} " + ("is well again" if sink.state == "ok" else f"is {sink.state}: {sink.reason}")
