from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.common.sensors import Sensor, Vitals
from edge_fer.settings import HealthSettings
from edge_fer.status.health import Governor, Health
from tests.support.trees import lay_out, write_program

TRIPS = (85.0, 90.0, 95.0)
SHARES = [1.0, 0.5, 0.25]


def at(celsius: float, *flags: str) -> Vitals:
    return Vitals((Sensor("apex_0", celsius, TRIPS),), flags)


def shares(*steps: tuple[float, Vitals], margin_c: float = 5, cool_s: float = 10) -> list[float]:
    """What a governor says at each moment."""
    governor = Governor(margin_c, cool_s)
    return [governor.step(vitals, now_s) for now_s, vitals in steps]


@pytest.mark.parametrize(
    ("vitals", "expected"),
    [
        (Vitals(), 1),
        (at(84.9), 1),
        (at(85), 0.5),
        (at(90), 0.25),
        (at(120), 0.25),
        (at(40, "throttled"), 0.5),
        (at(40, "capped"), 0.5),
        (at(40, "soft_limit"), 0.5),
        (at(40, "under_voltage", "throttled_since_boot"), 1),
        (at(91, "throttled"), 0.25),
        (Vitals((Sensor("without trips", 120),)), 1),
    ],
)
def test_the_share_goes_by_the_hottest_sensor_and_the_flags(vitals: Vitals, expected: float) -> None:
    assert shares((0, vitals)) == [expected]


def test_it_goes_down_at_once_and_up_a_step_at_a_time_after_cooling() -> None:
    hot, cool = at(91), at(60)
    assert shares((0, hot), (1, cool), (10, cool), (11, cool), (20, cool), (21, cool), (99, cool)) == [
        0.25, 0.25, 0.25, 0.5, 0.5, 1, 1]  # fmt: skip


def test_within_the_margin_it_stays() -> None:
    assert shares((0, at(85)), (1, at(81)), (100, at(80)), (101, at(79.9)), (110, at(79.9)), (111, at(79.9))) == [
        0.5, 0.5, 0.5, 0.5, 0.5, 1]  # fmt: skip


def test_a_warm_moment_starts_the_cooling_anew() -> None:
    assert shares((0, at(85)), (1, at(60)), (9, at(82)), (12, at(60)), (21, at(60)), (22, at(60))) == [
        0.5, 0.5, 0.5, 0.5, 0.5, 1]  # fmt: skip


def test_between_two_trip_points_half_of_the_labels_are_read() -> None:
    assert shares((0, at(91)), (1, at(84)), (11, at(84)), (99, at(84))) == [0.25, 0.25, 0.5, 0.5]


@given(st.lists(st.tuples(st.floats(0.1, 20), st.floats(20, 120), st.booleans()), min_size=1, max_size=60))
def test_it_never_reads_more_than_the_heat_allows_nor_rises_faster_than_it_may(
    moments: list[tuple[float, float, bool]],
) -> None:
    governor, now_s, share, changed_s = Governor(5, 10), 0.0, 1.0, float("-inf")
    for wait_s, celsius, throttled in moments:
        now_s += wait_s
        found = governor.step(at(celsius, *["throttled"] * throttled), now_s)
        reached = max(sum(celsius >= trip for trip in TRIPS), int(throttled))
        assert found <= SHARES[min(reached, 2)]
        if found > share:
            assert SHARES.index(found) == SHARES.index(share) - 1
            assert now_s - changed_s >= 10
        if found != share:
            share, changed_s = found, now_s


def health(root: Path, clock: list[float], enabled: bool = True) -> Health:
    return Health(
        HealthSettings(enabled=enabled, every_ms=600_000, margin_c=5, cool_s=10),
        sysfs=root / "sys", vcgencmd=root / "usr/bin/vcgencmd", clock=lambda: clock[0],
    )  # fmt: skip


def test_health_reads_and_governs_and_says_why(tmp_path: Path) -> None:
    lay_out("dev_board", tmp_path)
    temp, clock = tmp_path / "sys/class/apex/apex_0/temp", [0.0]
    watched = health(tmp_path, clock)
    watched.look()
    assert (watched.label_rate, watched.reason) == (1.0, None)
    temp.write_text("90100\n")
    watched.look()
    assert watched.vitals.temperatures["apex_0"] == 90.1
    assert watched.label_rate == 0.25
    assert watched.reason == "one label in 4 is read: apex_0 is at 90 °C"
    temp.write_text("60000\n")
    watched.look()
    assert watched.reason == "one label in 4 is read: cooling down"
    clock[0] = 10.0
    watched.look()
    assert watched.label_rate == 0.5


def test_health_that_is_not_enabled_only_watches(tmp_path: Path) -> None:
    lay_out("dev_board", tmp_path, {"files": {"sys/class/apex/apex_0": {"temp": "99000"}}})
    watched = health(tmp_path, [0.0], enabled=False)
    watched.look()
    assert watched.vitals.temperatures["apex_0"] == 99
    assert watched.label_rate == 1.0


def test_flags_of_the_firmware_govern_and_one_that_is_mute_does_not(tmp_path: Path) -> None:
    lay_out("pi4_stick", tmp_path, {"programs": {"usr/bin/vcgencmd": "echo throttled=0x4"}})
    watched = health(tmp_path, [0.0])
    watched.look()
    assert watched.vitals.throttled == ("throttled",)
    assert watched.reason == "one label in 2 is read: the Pi reports throttled"
    write_program(tmp_path / "usr/bin/vcgencmd", "exit 1")
    watched.look()
    assert watched.vitals.throttled == ()


def test_the_thread_looks_at_once_and_ends_when_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out("dev_board", tmp_path)
    looked = threading.Event()
    look = Health.look

    def look_and_tell(watched: Health) -> None:
        look(watched)
        looked.set()

    monkeypatch.setattr(Health, "look", look_and_tell)
    with health(tmp_path, [0.0]) as watched:
        watched.start()
        assert looked.wait(10)
        assert watched.vitals.temperatures["apex_0"] == 62.05
    assert "health" not in {thread.name for thread in threading.enumerate()}


def test_health_that_was_never_started_can_be_closed(tmp_path: Path) -> None:
    with health(tmp_path, [0.0]) as watched:
        assert watched.vitals == Vitals()
