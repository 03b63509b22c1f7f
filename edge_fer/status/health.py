"""How hot the box is, whether its processor is slowed down, and how many faces should therefore be classified.

Sources: the kernel's thermal zones, the Edge TPU's own sensor (`/sys/class/apex`), the firmware of a Raspberry Pi.
Reading these may take milliseconds or start a program, so a thread of its own does it; the loop only uses the values
that were read last.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge_fer.common.closeable import Closeable
from edge_fer.common.sensors import SYSFS, VCGENCMD, Sensor, Vitals, read_vitals
from edge_fer.errors import BackendError
from edge_fer.settings import HealthSettings

_log = logging.getLogger(__name__)

STOP_S = 3.0

_SLOWED = {"capped", "throttled", "soft_limit"}
_DUTY_CYCLES = (1.0, 0.5, 0.25)  # by level


class Governor:
    """Which part of the classifications to do: all, half of them, or a quarter.

    A sensor at its first trip point, or a Pi that lowers its clock, makes it a half; the second trip point a quarter.
    It goes down at once, and up by one step whenever all sensors are `margin_c` cooler for `cool_s`.

    Args:
        margin_c: how far below a trip point a sensor must be to count as cool, degrees Celsius.
        cool_s: how long all sensors must be cool before the next step up, seconds.
    """

    def __init__(self, margin_c: float, cool_s: float) -> None:
        self._margin_c, self._cool_s = margin_c, cool_s
        self._level = 0
        self._cool_since: float | None = None

    def step(self, vitals: Vitals, now_s: float) -> float:
        """The part of the classifications to do from now on: 1, 1/2 or 1/4.

        Args:
            vitals: temperatures and flags of now.
            now_s: time of a clock that never goes backwards, seconds.
        """
        hot, warm = _level(vitals, 0.0), _level(vitals, self._margin_c)
        self._level = max(self._level, hot)
        if warm >= self._level:
            self._cool_since = None
        elif self._cool_since is None:
            self._cool_since = now_s
        elif now_s - self._cool_since >= self._cool_s:
            self._level, self._cool_since = self._level - 1, now_s
        return _DUTY_CYCLES[self._level]


class Health(Closeable):
    """Reads the sensors in a thread of its own and lets the governor decide.

    Args:
        settings: how often sensors are read, and the governor's margins.
        may_shed: asked whether classifications may be left out; of a file, all are done.
        sysfs: the folder of the kernel's device files.
        vcgencmd: the Raspberry Pi's program, asked where the kernel has no file for it.
        clock: seconds that never go backwards.
        stop_s: how long `close` waits for a reading of the sensors to end, seconds.

    Attributes:
        vitals: the temperatures and flags that were read last.
        label_rate: the part of the classifications to do, 1, 1/2 or 1/4.
    """

    def __init__(
        self,
        settings: HealthSettings,
        may_shed: Callable[[], bool] = lambda: True,
        *,
        sysfs: Path = SYSFS,
        vcgencmd: Path = VCGENCMD,
        clock: Callable[[], float] = time.monotonic,
        stop_s: float = STOP_S,
    ) -> None:
        self._stop_s = stop_s
        self.vitals = Vitals()
        self.label_rate = 1.0
        self._settings, self._may_shed = settings, may_shed
        self._sysfs, self._vcgencmd, self._clock = sysfs, vcgencmd, clock
        self._governor = Governor(settings.margin_c, settings.cool_s)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        """Read the sensors now, and from here on every `every_ms` in the background."""
        self._thread.start()

    def look(self) -> None:
        """Read all sensors once, and decide."""
        self.vitals = read_vitals(self._sysfs, self._vcgencmd)
        governs = self._settings.enabled and self._may_shed()
        self.label_rate = self._governor.step(self.vitals, self._clock()) if governs else 1.0

    @property
    def reason(self) -> str | None:
        """Why fewer labels are read, for a person; None while all are."""
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
            self._thread.join(self._stop_s)
        if self._thread.is_alive():
            raise BackendError(
                f"expected the sensors to answer within {self._stop_s:g} s, found one stuck; restart the box"
            )

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except OSError as error:  # a sensor that goes away while it is read
                _log.warning("the sensors could not be read: %s", error)
            if self._stopping.wait(self._settings.every_ms / 1e3):
                return


def _level(vitals: Vitals, margin_c: float) -> int:
    """How many steps down the vitals ask for, 0 to 2, as if every trip point were lower by the margin."""
    levels = [_heat(sensor, margin_c) for sensor in vitals.sensors]
    slowed = not _SLOWED.isdisjoint(vitals.throttled)
    return min(max([*levels, int(slowed)]), len(_DUTY_CYCLES) - 1)


def _heat(sensor: Sensor, margin_c: float) -> int:
    """How many trip points a sensor has reached."""
    return sum(sensor.celsius >= trip - margin_c for trip in sensor.trips)
