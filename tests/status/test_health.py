from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.common.sensors import Sensor, Vitals, read_sensors, temperatures, throttled_flags
from edge_fer.settings import HealthSettings
from edge_fer.status.health import Governor, Health
from tests.support.trees import lay_out, write

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


def test_sensors_are_the_thermal_zones_and_the_accelerators(tmp_path: Path) -> None:
    lay_out("dev_board", tmp_path)
    zone, apex = read_sensors(tmp_path / "sys")
    assert zone == Sensor("0:cpu-thermal", 64.0, (80.0,))  # at the critical one the box is off
    assert apex == Sensor("apex_0", 62.05, TRIPS)
    assert temperatures(tmp_path / "sys") == {"0:cpu-thermal": 64.0, "apex_0": 62.05}


def test_a_fans_trip_points_and_unset_ones_do_not_count(tmp_path: Path) -> None:
    for name in ("pi5_card", "computer"):
        lay_out(name, tmp_path / name)
        assert read_sensors(tmp_path / name / "sys")[0].trips == ()


def test_a_sensor_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "class/thermal/thermal_zone0/type", "gpu\n")
    write(tmp_path / "class/thermal/thermal_zone0/temp", "bad\n")
    write(tmp_path / "class/apex/apex_0/temp", "")
    assert temperatures(tmp_path) == {}
    assert temperatures(tmp_path / "none") == {}


KERNEL = "devices/platform/soc/soc:firmware/get_throttled"


@pytest.mark.parametrize(
    ("bits", "flags"),
    [
        ("0", ()),
        ("50005", ("under_voltage", "throttled", "under_voltage_since_boot", "throttled_since_boot")),
        ("0xa", ("capped", "soft_limit")),
        ("a0000", ("capped_since_boot", "soft_limit_since_boot")),
        ("80000000", ()),
    ],
)
def test_the_firmwares_bits_have_names(bits: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    write(tmp_path / KERNEL, f"{bits}\n")
    assert throttled_flags(tmp_path, tmp_path / "none") == flags


def program(path: Path, script: str) -> Path:
    write(path, f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_kernels_file_comes_before_the_program(tmp_path: Path) -> None:
    vcgencmd = program(tmp_path / "vcgencmd", "echo throttled=0x2")
    assert throttled_flags(tmp_path, vcgencmd) == ("capped",)
    write(tmp_path / KERNEL, "4\n")
    assert throttled_flags(tmp_path, vcgencmd) == ("throttled",)


def test_a_box_without_firmware_has_no_flags(tmp_path: Path) -> None:
    assert throttled_flags(tmp_path, tmp_path / "none") is None


@pytest.mark.parametrize(
    ("script", "words"),
    [("echo Cannot open /dev/vcio >&2; exit 255", "Cannot open /dev/vcio"), ("exit 1", "exit status 1"),
     ("exec sleep 60", "no answer within 0.2 s")],
)  # fmt: skip
def test_a_program_that_does_not_answer_says_why(script: str, words: str, tmp_path: Path) -> None:
    vcgencmd = program(tmp_path / "vcgencmd", script)
    with pytest.raises(OSError, match=words):
        throttled_flags(tmp_path, vcgencmd, timeout_s=0.2)


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
    program(tmp_path / "usr/bin/vcgencmd", "exit 1")
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
