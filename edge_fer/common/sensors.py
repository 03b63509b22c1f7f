"""Temperature sensors, and what a Raspberry Pi reports about its power supply."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys")
VCGENCMD = Path("/usr/bin/vcgencmd")

_FLAGS = ("under_voltage", "capped", "throttled", "soft_limit")  # bits 0-3; bits 16-19: at any time since boot

VCGENCMD_S = 1.0
"""How long `vcgencmd` may take, seconds."""

_PLAUSIBLE_C = (-55.0, 150.0)  # what silicon measures and stands; a sensor that is not connected reads -256 or 255
_STUCK_C = 100.0  # what a power chip's sensor reads for good where it tells alarms only

_SHEDDING = {"passive", "hot"}  # types of trip points; `active` switches a fan on, `critical` switches the machine off


@dataclass(frozen=True, slots=True)
class Sensor:
    """A temperature sensor.

    Attributes:
        name: `0:cpu-thermal` for a thermal zone, `apex_0` for an Edge TPU.
        celsius: its temperature, degrees Celsius.
        trips: temperatures at which the load should be reduced, degrees Celsius, ascending; empty where none is known.
    """

    name: str
    celsius: float
    trips: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Vitals:
    """Temperatures and throttling.

    Attributes:
        sensors: all temperature sensors that can be read.
        throttled: the flags that a Raspberry Pi's firmware has set: `under_voltage`, `capped`, `throttled` and
            `soft_limit` for now, and each with `_since_boot`.
    """

    sensors: tuple[Sensor, ...] = ()
    throttled: tuple[str, ...] = ()

    @property
    def temperatures(self) -> dict[str, float]:
        """Degrees Celsius by sensor."""
        return {sensor.name: sensor.celsius for sensor in self.sensors}


def temperatures(sysfs: Path = SYSFS) -> dict[str, float]:
    """Degrees Celsius by sensor; a sensor that cannot be read is left out.

    Args:
        sysfs: where the kernel's sysfs is mounted; another folder in tests.
    """
    return Vitals(read_sensors(sysfs)).temperatures


def read_sensors(sysfs: Path = SYSFS) -> tuple[Sensor, ...]:
    """Every thermal zone and Edge TPU on PCIe; a sensor that cannot be read, or reads no temperature, is left out.

    Args:
        sysfs: where the kernel's sysfs is mounted; another folder in tests.
    """
    zones = (_zone(path) for path in sorted(sysfs.glob("class/thermal/thermal_zone*")))
    tpus = (_apex(path) for path in sorted(sysfs.glob("class/apex/apex_*")))
    return tuple(sensor for sensor in (*zones, *tpus) if sensor is not None)


def throttled_flags(
    sysfs: Path = SYSFS, vcgencmd: Path = VCGENCMD, timeout_s: float = VCGENCMD_S
) -> tuple[str, ...] | None:
    """The flags that a Raspberry Pi's firmware has set; None on other machines.

    Source: the Raspberry Pi documentation of `vcgencmd get_throttled`, and the kernel's hwmon driver of its voltage.

    Args:
        sysfs: where the kernel's sysfs is mounted; another folder in tests.
        vcgencmd: path of the program.
        timeout_s: how long the program may take, seconds.

    Raises:
        OSError: when `vcgencmd` exists and does not answer.
    """
    alarms = _voltage_alarms(sysfs)
    # The kernel calls this file deprecated, once a boot and in its log only; starting a program each time costs more.
    bits = next((_number(path, 16) for path in sysfs.glob("devices/platform/soc*/*firmware*/get_throttled")), None)
    if bits is None and vcgencmd.exists():
        bits = _read_bits(vcgencmd, timeout_s)
    if bits is None and not alarms:
        return None
    bits = (bits or 0) | any(alarms)
    now = [name for bit, name in enumerate(_FLAGS) if bits >> bit & 1]
    since_boot = [f"{name}_since_boot" for bit, name in enumerate(_FLAGS) if bits >> (16 + bit) & 1]
    return (*now, *since_boot)


def read_vitals(sysfs: Path = SYSFS, vcgencmd: Path = VCGENCMD) -> Vitals:
    """Temperatures and flags; without flags where the firmware does not answer, which `edge-fer doctor` explains.

    Args:
        sysfs: where the kernel's sysfs is mounted; another folder in tests.
        vcgencmd: path of the program.
    """
    try:
        flags = throttled_flags(sysfs, vcgencmd) or ()
    except OSError:
        flags = ()
    return Vitals(read_sensors(sysfs), flags)


def _zone(path: Path) -> Sensor | None:
    kind, value = _text(path / "type"), _number(path / "temp")
    if kind is None or value is None:
        return None
    points = sorted(path.glob("trip_point_*_type"))
    trips = [_number(point.with_name(point.name.replace("_type", "_temp"))) for point in points
             if _text(point) in _SHEDDING]  # fmt: skip
    if "pmic" in kind.lower() and value == _STUCK_C * 1e3:
        return None
    return _sensor(f"{path.name.removeprefix('thermal_zone')}:{kind}", value, trips)


def _apex(path: Path) -> Sensor | None:
    value = _number(path / "temp")
    trips = [_number(point) for point in path.glob("trip_point*_temp")]
    return None if value is None else _sensor(path.name, value, trips)


def _sensor(name: str, millidegrees: int, trips: Iterable[int | None]) -> Sensor | None:
    """A sensor; None where what it says is no temperature. Trip points of zero and below are not set."""
    lowest, highest = _PLAUSIBLE_C
    if not lowest <= millidegrees / 1e3 <= highest:
        return None
    return Sensor(
        name, millidegrees / 1e3, tuple(sorted(trip / 1e3 for trip in trips if trip is not None and trip > 0))
    )


def _voltage_alarms(sysfs: Path) -> list[bool]:
    """Whether the voltage is too low, for each of the kernel's voltage monitors (one on a Raspberry Pi)."""
    monitors = [path for path in sysfs.glob("class/hwmon/hwmon*") if _text(path / "name") == "rpi_volt"]
    return [_number(path / "in0_lcrit_alarm") == 1 for path in monitors]


def _read_bits(vcgencmd: Path, timeout_s: float) -> int:
    try:
        answer = subprocess.run(
            [vcgencmd, "get_throttled"], capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"no answer within {timeout_s:g} s") from error
    name, _, value = answer.stdout.strip().partition("=")
    if name != "throttled":
        raise OSError(" ".join((answer.stderr or answer.stdout).split()) or f"exit status {answer.returncode}")
    try:
        return int(value, 16)
    except ValueError as error:
        raise OSError(f"expected hexadecimal flags, found {value!r}") from error


def _number(path: Path, base: int = 10) -> int | None:
    text = _text(path)
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None


def _text(path: Path) -> str | None:
    """The text of a file; None where there is none, or its device does not answer."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
