from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_fer.common.machine import advice_on, board, governor_of, machine


def clocks(sysfs: Path, governors: list[str], now: int = 900, top: int = 1800) -> Path:
    for core, governor in enumerate(governors):
        policy = sysfs / f"devices/system/cpu/cpu{core}/cpufreq"
        policy.mkdir(parents=True)
        for name, value in (("governor", governor), ("cur_freq", now), ("max_freq", top)):
            (policy / f"scaling_{name}").write_text(f"{value}\n")
    return sysfs


def test_the_governors_of_all_cores_are_told_once(tmp_path: Path) -> None:
    assert governor_of(clocks(tmp_path, ["schedutil", "powersave", "schedutil"])) == "powersave, schedutil"
    assert governor_of(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("governor", "now", "steady"),
    [
        ("performance", 900, True),
        ("schedutil", 1800, True),
        ("schedutil", 1200, False),
        ("ondemand", 1800, False),
        ("powersave", 900, False),
    ],
)
def test_a_clock_that_may_waver_is_told_with_what_to_type(
    tmp_path: Path, governor: str, now: int, steady: bool
) -> None:
    advice = advice_on(governor, clocks(tmp_path, [governor] * 2, now))
    assert (advice is None) == steady
    if advice is not None:
        assert f"`{governor}`" in advice
        assert "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor" in advice
        assert "\n" not in advice


def test_where_nothing_tells_there_is_no_advice(tmp_path: Path) -> None:
    assert advice_on(None, tmp_path) is None
    assert advice_on("schedutil", clocks(tmp_path, ["schedutil"], top=0)) is None
    (tmp_path / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").write_text("<unknown>")
    assert advice_on("schedutil", tmp_path) is not None


def test_a_board_is_known_by_its_processor_and_its_cores() -> None:
    assert board() == f"{machine()['processor']}, {os.cpu_count()} cores"
