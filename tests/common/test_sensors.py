from __future__ import annotations

from pathlib import Path

import pytest

from edge_fer.common.sensors import Sensor, read_sensors, temperatures, throttled_flags
from tests.support.trees import lay_out, write, write_program


def test_sensors_are_the_thermal_zones_and_the_accelerators(tmp_path: Path) -> None:
    lay_out("dev_board", tmp_path)
    zone, apex = read_sensors(tmp_path / "sys")
    assert zone == Sensor("0:cpu-thermal", 64.0, (80.0,))  # at the critical one the box is off
    assert apex == Sensor("apex_0", 62.05, (85.0, 90.0, 95.0))
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


@pytest.mark.parametrize(
    ("kind", "millidegrees", "celsius"),
    [
        ("cpu-thermal", -256_000, None),  # a sensor that is not connected
        ("battery", 255_000, None),
        ("acpitz", -273_200, None),
        ("pmic-thermal", 100_000, None),  # reads so for good: it tells alarms only
        ("pmic-thermal", 61_500, 61.5),
        ("cpu-thermal", 100_000, 100.0),
        ("cpu-thermal", -20_000, -20.0),
    ],
)
def test_what_is_no_temperature_is_left_out(
    kind: str, millidegrees: int, celsius: float | None, tmp_path: Path
) -> None:
    write(tmp_path / "class/thermal/thermal_zone0/type", f"{kind}\n")
    write(tmp_path / "class/thermal/thermal_zone0/temp", f"{millidegrees}\n")
    assert list(temperatures(tmp_path).values()) == ([] if celsius is None else [celsius])


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


def test_the_kernels_file_comes_before_the_program(tmp_path: Path) -> None:
    vcgencmd = write_program(tmp_path / "vcgencmd", "echo throttled=0x2")
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
    vcgencmd = write_program(tmp_path / "vcgencmd", script)
    with pytest.raises(OSError, match=words):
        throttled_flags(tmp_path, vcgencmd, timeout_s=0.2)
