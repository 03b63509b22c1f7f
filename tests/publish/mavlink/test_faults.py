from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.publish.mavlink.faults import ERROR, FAULT_INTERVAL_S, NOTICE, WARNING, Faults, chunks
from edge_fer.schema import Record, SinkStatus
from tests.support.records import make_reading, make_status

LOST = make_status("waiting_for_camera", "no frame from 0 for 5 s")
DEGRADED = replace(make_reading(), degraded=True, reason="faces are read on the CPU")


def sent(faults: Faults, now_s: float) -> list[tuple[int, str]]:
    """All that is sent at a time."""
    notices = []
    while (notice := faults.next(now_s)) is not None:
        faults.mark_sent(notice, now_s)
        notices.append((notice.severity, notice.text))
    return notices


def with_sink(name: str, state: str, reason: str | None) -> Record:
    return replace(make_status(), sinks={name: SinkStatus(state, reason=reason)})  # type: ignore[arg-type]


def test_a_healthy_run_is_not_spoken_of() -> None:
    faults = Faults("mavlink")
    for record in (make_status("starting"), make_status(), make_reading(), make_status("stopping")):
        faults.update(record)
    assert sent(faults, 0) == []


def test_a_fault_is_told_once_and_so_is_its_end() -> None:
    faults = Faults("mavlink")
    for second in range(20):
        faults.update(LOST)
        assert sent(faults, second) == ([(ERROR, "FER camera lost: no frame from 0 for 5 s")] if second == 0 else [])
    faults.update(make_reading())
    assert sent(faults, 20) == [(NOTICE, "FER camera lost: well again")]
    assert sent(faults, 60) == []


@pytest.mark.parametrize(
    ("record", "text", "healthy"),
    [
        (DEGRADED, "FER degraded: faces are read on the CPU", make_reading()),
        (
            with_sink("mqtt", "failed", "wrong password"),
            "FER mqtt failed: wrong password",
            with_sink("mqtt", "ok", None),
        ),
    ],
)
def test_each_fault_is_told_with_its_reason(record: Record, text: str, healthy: Record) -> None:
    faults = Faults("mavlink")
    faults.update(record)
    assert sent(faults, 0) == [(WARNING, text)]
    faults.update(healthy)
    assert sent(faults, FAULT_INTERVAL_S) == [(NOTICE, text.partition(":")[0] + ": well again")]


def test_a_sink_that_waits_and_this_one_are_no_faults() -> None:
    faults = Faults("mavlink")
    faults.update(with_sink("mqtt", "waiting", "no broker"))
    faults.update(with_sink("mavlink", "failed", "no permission"))
    assert sent(faults, 0) == []


def test_a_stop_does_not_mean_that_the_camera_is_back() -> None:
    faults = Faults("mavlink")
    faults.update(LOST)
    sent(faults, 0)
    faults.update(make_status("stopping"))
    assert sent(faults, 60) == []


def test_what_flickers_is_told_now_and_then() -> None:
    """A loose plug, ten times a second for a minute: never twice within the hold, never the same twice in a row."""
    faults, heard = Faults("mavlink"), []
    for tick in range(600):
        faults.update(LOST if tick % 2 else make_reading())
        heard += [(tick / 10, text) for _, text in sent(faults, tick / 10)]
    assert 4 <= len(heard) <= 60 / FAULT_INTERVAL_S + 1
    assert all(later - earlier >= FAULT_INTERVAL_S for (earlier, _), (later, _) in itertools.pairwise(heard))
    assert all(a != b for (_, a), (_, b) in itertools.pairwise(heard))


def test_a_new_listener_hears_what_is_wrong() -> None:
    faults = Faults("mavlink")
    faults.update(LOST)
    sent(faults, 0)
    faults.reset()
    assert [severity for severity, _ in sent(faults, 0.1)] == [ERROR]


@given(st.text())
def test_any_text_is_cut_into_pieces_that_come_together_again(text: str) -> None:
    pieces = chunks(text)
    assert 1 <= len(pieces) <= 3
    assert all(len(piece) <= 50 and b"\0" not in piece for piece in pieces)
    assert all(len(piece) == 50 for piece in pieces[:-1])
    assert len(pieces) == 1 or len(pieces[-1]) < 50
    heard = b"".join(piece for piece in pieces).decode()
    whole = "".join(text.replace("\0", " ").split())
    assert whole.startswith("".join(heard.split()).removesuffix("..."))
    if len(text.encode()) <= 140:
        assert "".join(heard.split()) == whole


def test_a_text_of_just_a_piece_is_one() -> None:
    assert chunks("x" * 50) == [b"x" * 50]
    assert chunks("x" * 100) == [b"x" * 50, b"x" * 50, b""], "an end that is told"
    assert b"".join(chunks("x" * 1000)).endswith(b"x...")
