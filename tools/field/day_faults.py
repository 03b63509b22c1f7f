"""The faults of `day.py`: what breaks, and how it is repaired."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tools.field.day_box import Day

Fault = Callable[[Day], AbstractContextManager[None]]


def between(begin: Callable[[Day], object], end: Callable[[Day], object] = lambda _: None) -> Fault:
    """A fault.

    Args:
        begin: breaks something.
        end: repairs it.
    """

    @contextmanager
    def fault(day: Day) -> Iterator[None]:
        begin(day)
        yield
        end(day)

    return fault


def camera(behaviour: str) -> Fault:
    """A fault of the camera.

    Args:
        behaviour: see `MjpegServer`.
    """
    return between(
        lambda day: setattr(day.camera, "behaviour", behaviour), lambda day: setattr(day.camera, "behaviour", "sample")
    )


def child(number: int, *, edge_tpu: bool, load: str | None = None) -> Fault:
    """A child process gets a signal.

    Args:
        number: the signal.
        edge_tpu: whether it is the Edge TPU's child, or the camera's.
        load: a fault of the fake Edge TPU, see there, that also keeps the next child from starting.
    """

    def begin(day: Day) -> None:
        if load is not None:
            day.tpu.fail("load", load)
        os.kill(day.child(edge_tpu=edge_tpu), number)

    return between(begin)


FAULTS: dict[str, Fault] = {
    "camera killed": between(lambda day: day.camera.stop(), lambda day: day.camera.start()),
    **{f"camera {how}": camera(how) for how in ("hung", "garbage", "black", "frozen", "small")},
    "camera's process killed": child(signal.SIGKILL, edge_tpu=False),
    "camera's process stopped": child(signal.SIGSTOP, edge_tpu=False),
    **{
        f"Edge TPU: {kind}": between(lambda day, kind=kind: day.tpu.fail("infer", kind, 60_000))
        for kind in ("error", "abort", "segfault", "hang", "garbage", "shape")
    },
    "Edge TPU's process killed": child(signal.SIGKILL, edge_tpu=True),
    "Edge TPU's process stopped": child(signal.SIGSTOP, edge_tpu=True),
    "Edge TPU refuses to start": child(signal.SIGKILL, edge_tpu=True, load="refuse"),
    "Edge TPU hangs at the start": child(signal.SIGKILL, edge_tpu=True, load="hang"),
    "broker restarted": between(lambda day: day.broker.kill(), lambda day: day.broker.start()),
    "broker cut off": between(lambda day: day.wire.cut(), lambda day: day.wire.mend()),
    "broker deaf": between(lambda day: day.wire.hold(), lambda day: day.wire.mend()),
    "file taken away": between(lambda day: day.log.replace(day.log.with_name("taken"))),
    "web clients that do not read": Day.listener,
    "bad settings": between(lambda day: day.reload("capture: {sauce: 0}"), lambda day: day.reload()),
    "settings read again": between(lambda day: day.reload()),
}


RESTARTING = {name for name in FAULTS if name.startswith(("camera", "Edge TPU"))} - {"camera black", "camera small"}
"""Faults that end a child process, which must be started again and counted."""
