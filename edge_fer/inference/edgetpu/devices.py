"""Which Edge TPUs this box has, read from the kernel's sysfs; no vendor library is asked.

    for tpu in list_tpus():
        print(tpu.name, tpu.path)       # usb:0 /sys/bus/usb/devices/2-1

For code that needs to know this without opening one: the choice of a device, its recovery, `edge-fer doctor`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SYSFS = Path("/sys")

USB_IDS = ("1a6e:089a", "18d1:9302")
"""Vendor and product of a Coral USB Accelerator: before its first use, and after its firmware was loaded."""


@dataclass(frozen=True, slots=True)
class Tpu:
    """One Edge TPU.

    Attributes:
        kind: how it is connected.
        index: position among the devices of its kind, by port.
        path: its folder in sysfs; the folder's name is the USB port (`2-1.3`) or the PCIe device (`apex_0`),
            and stays the same when the device is reset or comes back.
    """

    kind: Literal["usb", "pci"]
    index: int
    path: Path

    @property
    def name(self) -> str:
        """As in `--backend edgetpu:NAME`."""
        return f"{self.kind}:{self.index}"


def list_tpus(sysfs: Path = SYSFS) -> tuple[Tpu, ...]:
    """Every Edge TPU that the kernel lists now: USB, then PCIe, each in the order of their ports.

    Args:
        sysfs: the kernel's sysfs, or a copy of it.
    """
    usb = (path for path in sysfs.glob("bus/usb/devices/*") if usb_id(path) in USB_IDS)
    pci = sysfs.glob("class/apex/apex_*")
    return (
        *(Tpu("usb", index, path) for index, path in enumerate(sorted(usb, key=_port))),
        *(Tpu("pci", index, path) for index, path in enumerate(sorted(pci, key=_port))),
    )


def usb_id(path: Path) -> str | None:
    """`vendor:product` of a USB device's folder in sysfs; None where it is no USB device, or has just gone."""
    try:
        return ":".join((path / name).read_text().strip() for name in ("idVendor", "idProduct"))
    except OSError:
        return None


def device_number(path: Path) -> str | None:
    """The number that a USB device's folder in sysfs shows, a new one each time it is plugged in; None without one."""
    try:
        return (path / "devnum").read_text().strip()
    except OSError:
        return None


def _port(path: Path) -> list[int]:
    """Orders `2-10` after `2-9`."""
    return [int(number) for number in re.findall(r"\d+", path.name)]
