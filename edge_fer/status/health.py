"""How hot the box is, whether it slows itself down, and how many labels it should therefore read.

Sources: the kernel's thermal zones, the Edge TPU's own sensor (`/sys/class/apex`), the firmware of a Raspberry Pi.
A reading of these may take milliseconds or start a program, so a thread of its own does it; the loop
only looks at what was read last.
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError
from edge_fer.settings import HealthSettings

_log = logging.getLogger(__name__)

SYSFS = Path("/sys")
VCGENCMD = Path("/usr/bin/vcgencmd")

STOP_S = 3.0
"""`Health.close` waits so long for a reading under way, and raises when it has not ended."""

_FLAGS = ("under_voltage", "capped", "throttled", "soft_limit")  # bits 0-3; bits 16-19: at any time since boot
_SLOWED = {"capped", "throttled", "soft_limit"}
_VCGENCMD_S = 1.0
_SHARES = (1.0, 0.5, 0.25)  # of the labels, by level
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


class Governor:
    """Which share of the labels to read: all, half of them, or a quarter.

    A sensor at its first trip point, or a Pi that slows itself, makes it a half; the second trip point a quarter.
    It goes down at once, and up by one step whenever all is `margin_c` cooler for `cool_s`.

    Args:
        margin_c: so far below a trip point the box counts as cooled, degrees.
        cool_s: for so long, seconds.
    """

    def __init__(self, margin_c: float, cool_s: float) -> None:
        self._margin_c, self._cool_s = margin_c, cool_s
        self._level = 0
        self._cool_since: float | None = None

    def step(self, vitals: Vitals, now_s: float) -> float:
        """The share of labels to read from now on: 1, 1/2 or 1/4.

        Args:
            vitals: how the box is now.
            now_s: any clock's seconds that never go backwards.
        """
        hot, warm = _level(vitals, 0.0), _level(vitals, self._margin_c)
        self._level = max(self._level, hot)
        if warm >= self._level:
            self._cool_since = None
        elif self._cool_since is None:
            self._cool_since = now_s
        elif now_s - self._cool_since >= self._cool_s:
            self._level, self._cool_since = self._level - 1, now_s
        return _SHARES[self._level]


class Health(Closeable):
    """Reads the sensors in a thread of its own and lets the governor decide.

    Args:
        settings: how often, and the governor's.
        may_shed: asked whether labels may be left out: of a file, all are read.
        sysfs: where the kernel's files lie.
        vcgencmd: the Raspberry Pi's program, asked where the kernel has no file for it.
        clock: seconds that never go backwards.

    Attributes:
        vitals: what was read last.
        label_rate: the share of labels to read, 1, 1/2 or 1/4.
    """

    def __init__(
        self,
        settings: HealthSettings,
        may_shed: Callable[[], bool] = lambda: True,
        *,
        sysfs: Path = SYSFS,
        vcgencmd: Path = VCGENCMD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.vitals = Vitals()
        self.label_rate = 1.0
        self._settings, self._may_shed = settings, may_shed
        self._sysfs, self._vcgencmd, self._clock = sysfs, vcgencmd, clock
        self._governor = Governor(settings.margin_c, settings.cool_s)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        """Look now, and from here on every `every_ms` in the background."""
        self._thread.start()

    def look(self) -> None:
        """Read all sensors once, and decide."""
        self.vitals = Vitals(read_sensors(self._sysfs), _flags_or_none(self._sysfs, self._vcgencmd))
        governs = self._settings.enabled and self._may_shed()
        self.label_rate = self._governor.step(self.vitals, self._clock()) if governs else 1.0

    @property
    def reason(self) -> str | None:
        """Why fewer labels are read, for a person; null while all are."""
        if self.label_rate == 1:
            return None
        causes = [f"{sensor.name} is at {sensor.celsius:.0f} °C" for sensor in self.vitals.sensors if _heat(sensor, 0)]
        causes += [f"the Pi reports {flag}" for flag in self.vitals.throttled if flag in _SLOWED]
        return f"one label in {round(1 / self.label_rate)} is read: {', '.join(causes) or 'cooling down'}"

    def close(self) -> None:
        """End the thread after the reading under way.

        Raises:
            BackendError: when that does not end in time.
        """
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise BackendError(f"expected the sensors to answer within {STOP_S:g} s, found one stuck; restart the box")

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except OSError as error:  # a sensor that goes away while it is read
                _log.warning("the sensors could not be read: %s", error)
            if self._stopping.wait(self._settings.every_ms / 1e3):
                return


def temperatures(sysfs: Path = SYSFS) -> dict[str, float]:
    """Degrees Celsius by sensor; one that cannot be read is left out."""
    return Vitals(read_sensors(sysfs)).temperatures


def read_sensors(sysfs: Path = SYSFS) -> tuple[Sensor, ...]:
    """Every thermal zone and Edge TPU on PCIe; a sensor that cannot be read is left out."""
    zones = (_zone(path) for path in sorted(sysfs.glob("class/thermal/thermal_zone*")))
    tpus = (_apex(path) for path in sorted(sysfs.glob("class/apex/apex_*")))
    return tuple(sensor for sensor in (*zones, *tpus) if sensor is not None)


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


def _flags_or_none(sysfs: Path, vcgencmd: Path) -> tuple[str, ...]:
    """The flags; none where the firmware does not answer, which `edge-fer doctor` explains."""
    try:
        return throttled_flags(sysfs, vcgencmd) or ()
    except OSError:
        return ()


def _level(vitals: Vitals, margin_c: float) -> int:
    """How many steps down the vitals ask for, 0 to 2, as if every trip point were lower by the margin."""
    levels = [_heat(sensor, margin_c) for sensor in vitals.sensors]
    slowed = not _SLOWED.isdisjoint(vitals.throttled)
    return min(max([*levels, int(slowed)]), len(_SHARES) - 1)


def _heat(sensor: Sensor, margin_c: float) -> int:
    """How many trip points a sensor has reached."""
    return sum(sensor.celsius >= trip - margin_c for trip in sensor.trips)


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
