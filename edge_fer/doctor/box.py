"""The machine itself: power supply, temperature, clock speed, memory, disk and time."""

from __future__ import annotations

from collections.abc import Iterator

from edge_fer.common.machine import governor_of
from edge_fer.common.sensors import read_sensors, throttled_flags
from edge_fer.doctor.finding import Finding, fail, ok, warn
from edge_fer.doctor.host import Host

_MEMORY_MB = 300  # `edge-fer run` peaks at about 210
_DISK_MB = 500
_SUPPLY = "use the board's own power supply (a Pi 4: 5 V 3 A, a Pi 5: 5 V 5 A) and a short, thick cable"
_COOLER = "give it a heat sink or a fan, and air"
_FLAGS = {
    "under_voltage": (fail, "the voltage is too low", _SUPPLY),
    "capped": (warn, "the processor's clock is capped", _COOLER),
    "throttled": (warn, "the processor is throttled", _COOLER),
    "soft_limit": (warn, "the soft temperature limit is reached", _COOLER),
}


def check_box(host: Host) -> Iterator[Finding]:
    """Check everything that is neither a camera nor an accelerator."""
    board = host.read("proc/device-tree/model")
    yield ok(board or "a computer without a device tree")
    if board is not None and board.startswith("Raspberry Pi"):
        yield from _check_supply(host)
    yield from _check_temperatures(host)
    yield _check_governor(host)
    yield _check_memory(host)
    yield _check_disk(host)
    if host.clock_synced():
        yield ok("the clock is set from a reference")
    else:
        yield warn(
            "the clock is set from no reference: times of readings may be wrong",
            "sudo timedatectl set-ntp true, with a network or a GPS",
        )


def _check_supply(host: Host) -> Iterator[Finding]:
    """Check what the Pi's firmware reports about its supply and clock."""
    try:
        flags = throttled_flags(host.path("sys"), host.path("usr/bin/vcgencmd"))
    except OSError as error:
        yield warn(
            f"vcgencmd does not answer: {error}", f"sudo usermod -aG video {host.user}, then log out and in again"
        )
        return
    if flags is None:
        yield warn("no vcgencmd: nothing tells of throttling", "sudo apt install raspi-utils-core")
        return
    for name, (report, words, mend) in _FLAGS.items():
        if name in flags:
            yield report(f"{words}, now", mend)
        elif f"{name}_since_boot" in flags:
            yield warn(f"{words}: not now, but at some time since the start", mend)
    if not flags:
        yield ok("supply and clock were right since the start")


def _check_temperatures(host: Host) -> Iterator[Finding]:
    sensors = read_sensors(host.path("sys"))
    if not sensors:
        yield ok("no thermometer")
    for sensor in sensors:
        reached = [trip for trip in sensor.trips if sensor.celsius >= trip]
        found = f"{sensor.name} is at {sensor.celsius:.1f} °C"
        if not reached:
            yield ok(found)
        elif len(reached) == len(sensor.trips) > 1:
            yield fail(f"{found}, its last trip point is {reached[-1]:g} °C", _COOLER)
        else:
            yield warn(f"{found}, its trip point is {reached[-1]:g} °C", _COOLER)


def _check_governor(host: Host) -> Finding:
    governor = governor_of(host.path("sys"))
    drivers = {host.read(path) for path in host.paths("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_driver")}
    if governor == "powersave" and not drivers & {
        "intel_pstate",
        "amd-pstate-epp",
    }:  # their governor of that name does not
        return warn(
            "the governor `powersave` keeps the processor at its lowest clock",
            "echo schedutil | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
        )
    return ok(f"the processor's clock: {governor or 'not ours to set'}")


def _check_memory(host: Host) -> Finding:
    lines = (line.split() for line in (host.read("proc/meminfo") or "").splitlines())
    sizes = {words[0]: int(words[1]) // 1024 for words in lines if len(words) > 1}
    free = sizes.get("MemAvailable:", 0)
    found = f"{free} of {sizes.get('MemTotal:', 0)} MB of memory are available"
    if free >= _MEMORY_MB:
        return ok(found)
    return warn(f"{found}, expected {_MEMORY_MB}", "end other programs; `ps aux --sort=-rss | head` lists them")


def _check_disk(host: Host) -> Finding:
    free = host.free_bytes() // 10**6
    if free >= _DISK_MB:
        return ok(f"{free / 1000:.1f} GB of disk are free")
    return warn(f"{free} MB of disk are free, expected {_DISK_MB}", "sudo apt clean; delete old recordings")
