"""The machine that figures are measured on, and the boards whose figures can be predicted on it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_SYSFS = Path("/sys")
_FULL_SPEED = 0.95  # share of the highest clock rate that a governor gives under load
_MAKE_STEADY = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"


@dataclass(frozen=True, slots=True)
class Profile:
    """What is assumed about a board to predict its figures; nothing here was measured on one.

    Attributes:
        name: its name on the command line.
        title: its name for a person.
        label_ms: the accelerator's time for one face, milliseconds: with `se_resnet50`.
        label_source: where `label_ms` comes from.
        stretch: how many times as long as on this machine each stage on the processor takes.
        stretch_source: where `stretch` comes from.
        lite_ms: its time with `lite`.
        search_ms: its time for one search of a picture with the detector of kind yolo, see `SEARCH_SOURCE`;
            0 where that cannot use it.
        network_ms: how long a face is on its way to the accelerator and back, milliseconds, where that is another
            board's; 0 where it is not.
        network_source: where `network_ms` comes from.
        published: what a published system reached on such boards; empty where there is none.
    """

    name: str
    title: str
    label_ms: float
    label_source: str
    stretch: float
    stretch_source: str
    lite_ms: float
    search_ms: float = 0.0
    network_ms: float = 0.0
    network_source: str = ""
    published: str = ""

    @property
    def face_ms(self) -> float:
        """From handing in a face to its answer, milliseconds."""
        return self.label_ms + self.network_ms


SEARCH_SOURCE = (
    "YOLOv3-tiny of half width at 256 pixels, by `edge-fer lab edgetpu-check`, whose predictions of networks of that "
    "size were 23 to 29 % off in the median, and 67 % at worst"
)

_STREAMED = (
    "about 20 MB of the weights of `se_resnet50`, which its memory of 8 MB cannot hold, streamed at {} MB/s, "
    "a rate that follows from Coral's table of latencies; not verified"
)
# The development machine's figures for the same network: float32, 224x224, 46 ms with two threads, 87 ms with one.
PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "dev-board",
            "Coral Dev Board (4x Cortex-A53, Edge TPU over PCIe)",
            50.0,
            _STREAMED.format("380"),
            11.4,
            "ResNet-50 at 299x299 takes its processor 1763 ms (Coral's table), so about 989 ms at 224x224; "
            "a network of that size takes the development machine 87 ms; both with one thread, the first an assumption",
            lite_ms=1.5,
            search_ms=1.8,
        ),
        Profile(
            "usb3",
            "Coral USB Accelerator on USB 3, on a computer like this one",
            43.0,
            _STREAMED.format("440"),
            1.0,
            "an assumption: the computer that the stick is plugged into is as quick as this one",
            lite_ms=1.7,
            search_ms=1.9,
        ),
        Profile(
            "pi4",
            "Raspberry Pi 4 (4x Cortex-A72) with a Coral USB Accelerator",
            88.0,
            _STREAMED.format("245"),
            5.7,
            "ResNet-50 at 224x224 takes its four cores 263 ms in float32 (ncnn); "
            "a network of that size takes the development machine's two cores 46 ms",
            lite_ms=1.8,
            search_ms=2.3,
        ),
        Profile(
            "two-boards",
            "Raspberry Pi 4 (4x Cortex-A72) with the camera, Coral Dev Board with the Edge TPU",
            50.0,
            _STREAMED.format("380"),
            5.7,
            "as for the pi4: its processor does all but the classification",
            lite_ms=1.5,
            network_ms=2.0,
            network_source="an assumption: 6.4 kB at 100 Mbit/s (0.5 ms), both systems' network code and a switch "
            "(0.5 ms), and the server's own work (1 ms); on one machine all of it took 1.4 ms",
            published="2.5 to 3 FPS: the thesis's system on a Raspberry Pi and a Coral Dev Board, one face, every step "
            "after the other (Manczak 2020, 4.3)",
        ),
    )
}
"""The boards that can be simulated, by name."""


def board() -> str:
    """The key of this machine in reference figures: the board's or the processor's name, and its cores."""
    return f"{processor()}, {os.cpu_count()} cores"


def machine() -> dict[str, str]:
    """Processor, cores, system and Python of this machine, to be printed with figures."""
    return {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def processor() -> str:
    """The processor's name, or the board's where the kernel has no name for the processor (on Arm)."""
    for path, key in ((Path("/proc/cpuinfo"), "model name"), (Path("/proc/device-tree/model"), "")):
        if path.is_file():
            for line in path.read_text(errors="replace").splitlines():
                if line.startswith(key):
                    return line.rpartition(":")[2].strip(" \t\0")
    return platform.processor() or platform.machine()


def governor_of(sysfs: Path = _SYSFS) -> str | None:
    """The cpufreq governors of all cores, each once; None where there are none, as in a virtual machine.

    Args:
        sysfs: where the kernel's sysfs is mounted; another folder in tests.
    """
    found = {name for path in _policies(sysfs) if (name := _read(path / "scaling_governor"))}
    return ", ".join(sorted(found)) or None


def advice_on(governor: str | None, sysfs: Path = _SYSFS) -> str | None:
    """What to type where the processor's clock rate may change during a measurement; None where it is at its highest.

    Args:
        governor: see `governor_of`.
        sysfs: where the kernel's sysfs is mounted; another folder in tests.
    """
    if governor in (None, "performance") or (governor == "schedutil" and _at_full_speed(sysfs)):
        return None
    return f"the governor `{governor}` lets the processor's clock waver, and the figures with it; type: {_MAKE_STEADY}"


def _at_full_speed(sysfs: Path) -> bool:
    speeds = [(_read(path / "scaling_cur_freq"), _read(path / "scaling_max_freq")) for path in _policies(sysfs)]
    return all(now.isdigit() and top.isdigit() and int(now) >= _FULL_SPEED * int(top) for now, top in speeds)


def _policies(sysfs: Path) -> list[Path]:
    return sorted(sysfs.glob("devices/system/cpu/cpu[0-9]*/cpufreq"))


def _read(path: Path) -> str:
    """A value from sysfs; empty where it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
