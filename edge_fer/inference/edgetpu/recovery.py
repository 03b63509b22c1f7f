"""What brings a wedged Edge TPU back: the ladder, and what its rungs do to a USB port.

    restart the child -> reset the device -> take its authorisation away and give it back -> cut its power
    -> park: read on the CPU, and try again every 10 minutes

Killing the process does not unwedge a stick; many users of Coral sticks replug them by hand (google-coral/edgetpu
issues 252, 766). Each rung is tried once, after a failure, and is followed by a new start. A PCIe device has only the
first and the last rung, and so has a stick that gave an error and no crash when it was opened: another program may be
using it. Writing to a port's files can block in the kernel, so it is done in a child process, too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edge_fer.common.backoff import Backoff
from edge_fer.inference.edgetpu.devices import USB_IDS, usb_id
from edge_fer.process.worker import Worker

USBDEVFS_RESET = 0x5514
"""`_IO('U', 20)` of <linux/usbdevice_fs.h>."""

RESTARTS = 3
"""So many restarts come before the first rung that touches the device."""

RUNG_S = 8.0  # the kernel gives up on a device that does not answer after about 5 s
_OFF_S = 2.0  # without power, for its capacitors to drain
_MAY_NOT = (errno.EACCES, errno.EPERM, errno.EROFS)  # to a hardened service all of sysfs is read-only


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to bring a device back.

    Attributes:
        name: as it is published.
        act: does it; raises OSError or WorkerError when it cannot be done.
    """

    name: str
    act: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What was done after a failure.

    Attributes:
        name: of the rung, or `restart` or `parked`.
        text: for a person.
        pause_s: before the next start, seconds.
    """

    name: str
    text: str
    pause_s: float


class Ladder:
    """What to try after each failure, one rung higher each time.

    Args:
        rungs: between restarting and parking.
        backoff: pauses before each start.
        park_s: pause of a device that no rung has helped, seconds.
        steady_s: after so long without failure the next one begins at the bottom again, seconds.
        clock: seconds, monotonic.

    Attributes:
        counts: how often each rung was tried.
    """

    def __init__(
        self,
        rungs: Sequence[Rung],
        backoff: Backoff,
        park_s: float,
        steady_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._rungs, self._backoff = tuple(rungs), backoff
        self._park_s, self._steady_s, self._clock = park_s, steady_s, clock
        self._climbed = 0
        self._well_since: float | None = None

    def succeeded(self) -> None:
        """Note that the device works."""
        self._well_since = self._clock()

    def begin(self) -> None:
        """Start at the bottom again: it is another device, or the same one plugged in anew."""
        self._climbed = 0
        self._backoff.reset()

    def failed(self, *, mendable: bool = True) -> Step:
        """Climb: do what comes next, and say how long to wait for it to help.

        Args:
            mendable: whether a reset may help; else the device is left alone.
        """
        if self._well_since is not None and self._clock() - self._well_since >= self._steady_s:
            self.begin()
        self._well_since = None
        problems = []
        rungs = len(self._rungs) if mendable else 0
        while (number := self._climbed - RESTARTS) < rungs:
            self._climbed += 1
            name = "restart" if number < 0 else self._rungs[number].name
            try:
                if number >= 0:
                    self._rungs[number].act()
            except (OSError, RuntimeError) as error:
                problems.append(f"{name} was not possible ({error})")
                continue
            return self._step(name, self._backoff.failed(), problems)
        return self._step("parked", self._park_s, problems)

    def _step(self, name: str, pause_s: float, problems: list[str]) -> Step:
        self.counts[name] += 1
        what = "; ".join([*problems, name.replace("_", " ")])
        return Step(name, f"{what}, next start in {pause_s:g} s", pause_s)


class UsbPort:
    """What can be done to the USB port that a device hangs on; a target of `edge_fer.process.worker`.

    Args:
        memory: not used.
        path: of the device in sysfs.
        dev: where device nodes are.
        helper: socket of the privileged helper (`systemd/edge-fer-usb.socket`), for what this user may not do.
        ioctl: of the kernel.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        memory: Any,
        path: str,
        dev: str,
        helper: str | None = None,
        ioctl: Callable[[int, int, int], Any] = fcntl.ioctl,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path, self._dev, self._helper = Path(path), Path(dev), helper
        self._ioctl, self._sleep = ioctl, sleep

    def usb_reset(self) -> None:
        """Reset the device as the kernel does after it was plugged in; its user may.

        Raises:
            OSError: when it is not there, no Edge TPU any more, or does not answer.
        """
        self._require_tpu()
        bus, number = (int((self._path / name).read_text()) for name in ("busnum", "devnum"))
        descriptor = os.open(self._dev / f"bus/usb/{bus:03}/{number:03}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            self._ioctl(descriptor, USBDEVFS_RESET, 0)
        finally:
            os.close(descriptor)

    def reauthorise(self) -> None:
        """Have the kernel drop the device and take it on again: all that a replug does but the power.

        Raises:
            OSError: as in `usb_reset`, or when neither this user nor the helper may do it.
        """
        self._require_tpu()
        self._toggle("reauthorise", self._path / "authorized", off="0", on="1", pause_s=0.5)

    def port_power(self) -> None:
        """Cut the port's power and give it back, where the hub can (Linux 6.0 and later).

        The helper does it where there is one: this process may be killed while the power is off.

        Raises:
            OSError: as in `reauthorise`.
        """
        self._require_tpu()
        if self._helper is not None:
            ask_helper(self._helper, "port_power", self._path.name)
            return
        self._toggle("port_power", self._path / "port/disable", off="1", on="0", pause_s=_OFF_S)

    def _require_tpu(self) -> None:
        """Another device may have been plugged into the port meanwhile."""
        found = usb_id(self._path)
        if found not in USB_IDS:
            raise OSError(f"expected an Edge TPU at USB port {self._path.name}, found {found or 'nothing'}")

    def _toggle(self, action: str, file: Path, off: str, on: str, pause_s: float) -> None:
        file = file.resolve()  # `port` is a link inside the device's folder, which goes with the device
        try:
            file.write_text(off)
        except OSError as error:
            if self._helper is None or error.errno not in _MAY_NOT:
                raise
            ask_helper(self._helper, action, self._path.name)
            return
        try:
            self._sleep(pause_s)
        finally:
            file.write_text(on)


def ask_helper(address: str, action: str, port: str) -> None:
    """Have the privileged helper do something to a USB port.

    Args:
        address: of its Unix socket.
        action: `reauthorise` or `port_power`.
        port: such as `2-1.3`.

    Raises:
        OSError: when it does not answer, or says why it could not.
    """
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(RUNG_S)
        channel.connect(address)
        channel.sendall(f"{action} {port}\n".encode())
        answer = channel.makefile().readline().strip()
    if answer != "ok":
        raise OSError(f"the helper at {address} could not do it: {answer or 'it hung up'}")


def usb_rungs(path: Path, dev: Path, helper: str | None, *, power: bool) -> tuple[Rung, ...]:
    """The rungs of one USB device.

    Args:
        path: of the device in sysfs.
        dev: where device nodes are.
        helper: see `UsbPort`.
        power: whether the port's power may be cut; on many hubs that takes all its ports along.
    """

    def act(method: str) -> None:  # and to the end: cut short, it would leave the port switched off
        with Worker("edge_fer.inference.edgetpu.recovery:UsbPort", name=f"USB port {path.name}") as worker:
            worker.start(RUNG_S, path=str(path), dev=str(dev), helper=helper)
            worker.call(method, deadline_s=RUNG_S)

    names = ("usb_reset", "reauthorise", *(("port_power",) if power else ()))
    return tuple(Rung(name, partial(act, name)) for name in names)
