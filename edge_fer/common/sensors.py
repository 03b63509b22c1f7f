"""Thermometers, and what a Raspberry Pi reports of its supply: read once, by whoever asks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys")


VCGENCMD = Path("/usr/bin/vcgencmd")


_FLAGS = ("under_voltage", "capped", "throttled", "soft_limit")  # bits 0-3; bits 16-19: at any time since boot


_VCGENCMD_S = 1.0


_SHEDDING = {"passive", "hot"}  # kinds of trip points; `active` switches a fan, at `critical` the box is off


@dataclass(frozen=True, slots=True)
class Sensor:
    """One thermometer.

    Attributes:
        name: `0:cpu-thermal` of a thermal zone, `apex_0` of an Edge TPU.
        celsius: what it shows.
        trips: temperatures at which the box should do less, degrees Celsius, ascending; empty where none is known.
    """

    name: str
    celsius: float
    trips: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the box is.

    Attributes:
        sensors: all thermometers that can be read.
        throttled: names of what a Raspberry Pi's firmware reports: `under_voltage`, `capped`, `throttled` and
            `soft_limit` now, and each with `_since_boot`.
    """

    sensors: tuple[Sensor, ...] = ()
    throttled: tuple[str, ...] = ()

    @property
    def temperatures(self) -> dict[str, float]:
        """Degrees Celsius by sensor."""
        return {sensor.name: sensor.celsius for sensor in self.sensors}


def temperatures(sysfs: Path = SYSFS) -> dict[str, float]:
    """Degrees Celsius by sensor; one that cannot be read is left out."""
    return Vitals(read_sensors(sysfs)).temperatures


def read_sensors(sysfs: Path = SYSFS) -> tuple[Sensor, ...]:
    """Every thermal zone and Edge TPU on PCIe; a sensor that cannot be read is left out."""
    zones = (_zone(path) for path in sorted(sysfs.glob("class/thermal/thermal_zone*")))
    tpus = (_apex(path) for path in sorted(sysfs.glob("class/apex/apex_*")))
    return tuple(sensor for sensor in (*zones, *tpus) if sensor is not None)


def read_vitals(sysfs: Path = SYSFS, vcgencmd: Path = VCGENCMD) -> Vitals:
    """All sensors, and what a Raspberry Pi's firmware reports; no flags where it does not answer.

    Why it does not answer, `edge-fer doctor` explains.
    """
    try:
        flags = throttled_flags(sysfs, vcgencmd) or ()
    except OSError:
        flags = ()
    return Vitals(read_sensors(sysfs), flags)


def throttled_flags(sysfs: Path = SYSFS, vcgencmd: Path = VCGENCMD) -> tuple[str, ...] | None:
    """What a Raspberry Pi's firmware reports; null where nothing can be asked.

    Source: the Raspberry Pi documentation of `vcgencmd get_throttled`, and the kernel's hwmon driver of its voltage.

    Raises:
        OSError: when `vcgencmd` is there and does not answer.
    """
    alarms = _voltage_alarms(sysfs)
    # The kernel calls its file deprecated, once a boot and in its log only; starting a program each time costs more.
    bits = next((_number(path, 16) for path in sysfs.glob("devices/platform/soc*/*firmware*/get_throttled")), None)
    if bits is None and vcgencmd.exists():
        bits = _ask(vcgencmd)
    if bits is None and not alarms:
        return None
    bits = (bits or 0) | any(alarms)
    now = [name for bit, name in enumerate(_FLAGS) if bits >> bit & 1]
    since_boot = [f"{name}_since_boot" for bit, name in enumerate(_FLAGS) if bits >> (16 + bit) & 1]
    return (*now, *since_boot)


def _zone(path: Path) -> Sensor | None:
    kind, value = _text(path / "type"), _number(path / "temp")
    if kind is None or value is None:
        return None
    points = sorted(path.glob("trip_point_*_type"))
    trips = [_number(point.with_name(point.name.replace("_type", "_temp"))) for point in points
             if _text(point) in _SHEDDING]  # fmt: skip
    return Sensor(f"{path.name.removeprefix('thermal_zone')}:{kind}", value / 1e3, _celsius(trips))


def _apex(path: Path) -> Sensor | None:
    value = _number(path / "temp")
    trips = [_number(point) for point in path.glob("trip_point*_temp")]
    return None if value is None else Sensor(path.name, value / 1e3, _celsius(trips))


def _celsius(millidegrees: Iterable[int | None]) -> tuple[float, ...]:
    """Trip points in degrees, ascending; zero and below stand for one that is not set."""
    return tuple(sorted(value / 1e3 for value in millidegrees if value is not None and value > 0))


def _voltage_alarms(sysfs: Path) -> list[bool]:
    """Whether the voltage is too low, by each of the kernel's monitors of it (one on a Raspberry Pi)."""
    monitors = [path for path in sysfs.glob("class/hwmon/hwmon*") if _text(path / "name") == "rpi_volt"]
    return [_number(path / "in0_lcrit_alarm") == 1 for path in monitors]


def _ask(vcgencmd: Path) -> int:
    try:
        answer = subprocess.run(
            [vcgencmd, "get_throttled"], capture_output=True, text=True, timeout=_VCGENCMD_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"no answer within {_VCGENCMD_S:g} s") from error
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
    """What a file says; null where there is none, or its device does not answer."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
