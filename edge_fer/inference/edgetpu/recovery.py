"""How an Edge TPU that failed is brought back: in which order what is tried, and what is done to its USB port.

    restart the child process -> reset the device -> withdraw its authorisation and restore it -> cut its power
    -> parked: the CPU reads faces, and the device is tried again every 10 minutes

Killing the process does not reset a stick that hangs; many users of Coral sticks unplug them and plug them in again
(google-coral/edgetpu issues 252, 766). Each step is tried once, after a failure, and is followed by a new start. A PCIe
device is only restarted and parked, and so is a stick that returned an error, without a crash, when it was opened:
another program may be using it. Writing to a port's files can block in the kernel, so a child process does it.
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
from edge_fer.inference.recovery_attempt import RecoveryAttempt
from edge_fer.process.worker import Worker

USBDEVFS_RESET = 0x5514
"""`_IO('U', 20)` of <linux/usbdevice_fs.h>."""

RESTARTS = 3
"""How many restarts come before the first step that touches the device."""

STEP_S = 8.0
"""Deadline of one step, seconds: the kernel gives up on a device that does not answer after about 5 s."""

_OFF_S = 2.0  # seconds without power, for the capacitors to drain
_NOT_PERMITTED = (errno.EACCES, errno.EPERM, errno.EROFS)  # to a hardened service all of sysfs is read-only


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """One way to bring a device back.

    Attributes:
        name: the name in the status record.
        act: carries the step out; raises OSError or WorkerError when that is not possible.
    """

    name: str
    act: Callable[[], None]


class RecoveryPolicy:
    """What to do after each failure: restart a few times, then one step after the other, then park.

    Args:
        steps: what is tried between restarting and parking, the gentlest step first.
        backoff: pauses before each start.
        park_s: pause of a device that no step has helped, seconds.
        steady_s: a device that worked for so long has recovered: its next failure is a first one, seconds.
        clock: seconds, monotonic.

    Attributes:
        counts: how often each step was tried.
    """

    def __init__(
        self,
        steps: Sequence[RecoveryStep],
        backoff: Backoff,
        park_s: float,
        steady_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._steps, self._backoff = tuple(steps), backoff
        self._park_s, self._steady_s, self._clock = park_s, steady_s, clock
        self._tried = 0  # restarts and steps since the first failure
        self._works_since: float | None = None

    def succeeded(self) -> None:
        """Note that the device works."""
        self._works_since = self._clock()

    def start_over(self) -> None:
        """Begin with restarts again: it is another device, or the same one plugged in anew."""
        self._tried = 0
        self._backoff.reset()

    def failed(self, *, reset_may_help: bool = True) -> RecoveryAttempt:
        """Do what comes next, and say how long to wait before the next start.

        Args:
            reset_may_help: whether to try the steps; if not, the device is only restarted and parked.
        """
        if self._works_since is not None and self._clock() - self._works_since >= self._steady_s:
            self.start_over()
        self._works_since = None
        problems = []
        steps = len(self._steps) if reset_may_help else 0
        while (number := self._tried - RESTARTS) < steps:
            self._tried += 1
            name = "restart" if number < 0 else self._steps[number].name
            try:
                if number >= 0:
                    self._steps[number].act()
            except (OSError, RuntimeError) as error:
                problems.append(f"{name} was not possible ({error})")
                continue
            return self._record(name, self._backoff.failed(), problems)
        return self._record("parked", self._park_s, problems)

    def _record(self, name: str, pause_s: float, problems: list[str]) -> RecoveryAttempt:
        self.counts[name] += 1
        what = "; ".join([*problems, name.replace("_", " ")])
        return RecoveryAttempt(name, f"{what}, next start in {pause_s:g} s", pause_s)


class UsbPort:
    """The USB port of a device, and what can be done to it; a target of `edge_fer.process.worker`.

    Args:
        memory: not used.
        path: the device's folder in sysfs.
        dev: where device nodes are.
        helper: socket of the privileged helper (`systemd/edge-fer-usb.socket`), for what this user may not do.
        ioctl: the system call, `fcntl.ioctl` in its place.
        sleep: waits for a number of seconds.
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
        """Reset the device as the kernel does after it was plugged in; a user who may open the device may do this.

        Raises:
            OSError: when no Edge TPU is at the port any more, or it does not answer.
        """
        self._require_tpu()
        bus, number = (int((self._path / name).read_text()) for name in ("busnum", "devnum"))
        descriptor = os.open(self._dev / f"bus/usb/{bus:03}/{number:03}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            self._ioctl(descriptor, USBDEVFS_RESET, 0)
        finally:
            os.close(descriptor)

    def reauthorise(self) -> None:
        """Have the kernel remove the device and add it again, as a replug does, but without a loss of power.

        Raises:
            OSError: as in `usb_reset`, or when neither this user nor the helper may do it.
        """
        self._require_tpu()
        self._toggle("reauthorise", self._path / "authorized", off="0", on="1", pause_s=0.5)

    def port_power(self) -> None:
        """Cut the port's power and restore it, where the hub can (Linux 6.0 and later).

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
        """Raise OSError if another device has been plugged into the port meanwhile."""
        found = usb_id(self._path)
        if found not in USB_IDS:
            raise OSError(f"expected an Edge TPU at USB port {self._path.name}, found {found or 'nothing'}")

    def _toggle(self, action: str, file: Path, off: str, on: str, pause_s: float) -> None:
        file = file.resolve()  # `port` is a link inside the device's folder, which goes with the device
        try:
            file.write_text(off)
        except OSError as error:
            if self._helper is None or error.errno not in _NOT_PERMITTED:
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
        address: the helper's Unix socket.
        action: `reauthorise` or `port_power`.
        port: the USB port's name in sysfs, such as `2-1.3`.

    Raises:
        OSError: when the helper does not answer, or answers with the reason why it failed.
    """
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(STEP_S)
        channel.connect(address)
        channel.sendall(f"{action} {port}\n".encode())
        answer = channel.makefile().readline().strip()
    if answer != "ok":
        raise OSError(f"the helper at {address} could not do it: {answer or 'it hung up'}")


def usb_steps(path: Path, dev: Path, helper: str | None, *, power: bool) -> tuple[RecoveryStep, ...]:
    """The recovery steps of one USB device.

    Args:
        path: the device's folder in sysfs.
        dev: where device nodes are.
        helper: see `UsbPort`.
        power: whether the port's power may be cut; many hubs then cut all their ports.
    """

    def act(method: str) -> None:  # never cut short, which would leave the port switched off
        with Worker("edge_fer.inference.edgetpu.recovery:UsbPort", name=f"USB port {path.name}") as worker:
            worker.start(STEP_S, path=str(path), dev=str(dev), helper=helper)
            worker.call(method, deadline_s=STEP_S)

    names = ("usb_reset", "reauthorise", *(("port_power",) if power else ()))
    return tuple(RecoveryStep(name, partial(act, name)) for name in names)
