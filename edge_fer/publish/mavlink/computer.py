"""Temperature, load and memory of this computer, for MAVLink's ONBOARD_COMPUTER_STATUS.

A field that is unknown has the value that MAVLink defines for that. The values are read here and not taken from
statuses, since those come only when something changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_fer.common.sensors import SYSFS, read_sensors

PROC = Path("/proc")

_UINT8, _INT8, _INT16, _UINT32 = 0xFF, 0x7F, 0x7FFF, 0xFFFFFFFF  # mean unknown, by type
_CORES = 8
_FLAGS = {"under_voltage": 1, "capped": 2, "throttled": 2, "soft_limit": 4}  # of COMPUTER_STATUS_FLAGS
_KIB_PER_MIB = 1024


class OnboardComputer:
    """Reads the state of this computer.

    Args:
        sysfs: where the kernel's sysfs is mounted; another folder in tests.
        proc: where the kernel's proc is mounted; another folder in tests.
    """

    def __init__(self, sysfs: Path = SYSFS, proc: Path = PROC) -> None:
        self._sysfs, self._proc = sysfs, proc
        self._ticks = self._read_ticks()

    def fields(self, now_ns: int, throttled: Sequence[str] = ()) -> dict[str, object]:
        """Read the fields of the message.

        Args:
            now_ns: CLOCK_MONOTONIC, nanoseconds.
            throttled: as in `edge_fer.schema.Status`.
        """
        sensors = read_sensors(self._sysfs)
        zones = [sensor.celsius for sensor in sensors if ":" in sensor.name]  # the others are Edge TPUs
        total, usage = self._memory_mib()
        return {
            "time_usec": now_ns // 1000,
            "uptime": now_ns // 10**6 % 2**32,
            "type": 0,
            "cpu_cores": _padded(self._load(), _CORES, _UINT8),
            "cpu_combined": [_UINT8] * 10,
            "gpu_cores": [_UINT8] * 4,
            "gpu_combined": [_UINT8] * 10,
            "temperature_board": _degrees(max(sensor.celsius for sensor in sensors)) if sensors else _INT8,
            "temperature_core": _padded([_degrees(celsius) for celsius in zones], _CORES, _INT8),
            "fan_speed": [_INT16] * 4,
            "ram_usage": usage,
            "ram_total": total,
            "storage_type": [_UINT32] * 4,
            "storage_usage": [_UINT32] * 4,
            "storage_total": [_UINT32] * 4,
            "link_type": [_UINT32] * 6,
            "link_tx_rate": [_UINT32] * 6,
            "link_rx_rate": [_UINT32] * 6,
            "link_tx_max": [_UINT32] * 6,
            "link_rx_max": [_UINT32] * 6,
            "status_flags": sum({_FLAGS[name] for name in throttled if name in _FLAGS}),
        }

    def _load(self) -> list[int]:
        """The load of each core since the last call, percent."""
        before, self._ticks = self._ticks, self._read_ticks()
        loads = []
        for core, (busy, total) in self._ticks.items():
            busy_before, total_before = before.get(core, (busy, total))
            passed = total - total_before
            share = (busy - busy_before) / passed if passed > 0 else None
            # The kernel's counts of waiting time may go backwards.
            loads.append(_UINT8 if share is None else round(100 * min(max(share, 0), 1)))
        return loads

    def _read_ticks(self) -> dict[str, tuple[int, int]]:
        """Ticks since boot of each core: busy ones, and all; empty where the kernel gives none. Source: proc(5)."""
        ticks = {}
        for line in self._lines("stat"):
            name, *numbers = line.split()
            if name.startswith("cpu") and name != "cpu":
                # user nice system idle iowait irq softirq steal; time of guests is part of user
                times = [int(number) for number in numbers[:8]]
                ticks[name] = (sum(times) - sum(times[3:5]), sum(times))
        return ticks

    def _memory_mib(self) -> tuple[int, int]:
        """Total memory, and memory in use, MiB."""
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in self._lines("meminfo"))}
        if "MemTotal" not in kib or "MemAvailable" not in kib:
            return _UINT32, _UINT32
        return kib["MemTotal"] // _KIB_PER_MIB, (kib["MemTotal"] - kib["MemAvailable"]) // _KIB_PER_MIB

    def _lines(self, name: str) -> list[str]:
        """The lines of a file of the kernel; none where a sandbox hides it."""
        try:
            return (self._proc / name).read_text().splitlines()
        except OSError:
            return []


def _padded(values: list[int], length: int, unknown: int) -> list[int]:
    return (values + [unknown] * length)[:length]


def _degrees(celsius: float) -> int:
    """Whole degrees Celsius, -128..126, since 127 means unknown."""
    return min(max(round(celsius), -128), _INT8 - 1)
