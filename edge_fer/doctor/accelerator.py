"""Edge TPUs: whether they are there, alive, fast and ours to open. Their temperature is the box's matter."""

from __future__ import annotations

from collections.abc import Iterator

from edge_fer.doctor.finding import Finding, fail, ok, warn
from edge_fer.doctor.host import Host
from edge_fer.doctor.permissions import how_to_open, udev_rule
from edge_fer.inference.edgetpu.devices import Tpu, list_tpus
from edge_fer.inference.model_store import ModelStore

_UNUSED_VENDOR = "1a6e"  # becomes 18d1 with the first inference, when the device gets its firmware
_USB3_MBIT = 5000
_PCI_ID = ("0x1ac1", "0x089a")

_USB_RULE = udev_rule(
    'SUBSYSTEM=="usb", ATTR{idVendor}=="1a6e|18d1", ATTR{idProduct}=="089a|9302"', group="plugdev"
)  # fmt: skip
_APEX_RULE = udev_rule('SUBSYSTEM=="apex"', group="apex")
_NO_DRIVER = (
    "install gasket-dkms for this kernel (github.com/feranick/gasket-driver), then sudo modprobe apex; "
    "a Pi 5 also needs kernel=kernel8.img and dtoverlay=pineboards-hat-ai in /boot/firmware/config.txt"
)
_REPLUG = "unplug it, plug it in again, or switch the box off and on; if it stays so, try another power supply"


def check_accelerator(host: Host, store: ModelStore | None) -> Iterator[Finding]:
    """Check every Edge TPU, and whether a network was compiled for it.

    Args:
        host: the machine.
        store: the networks; None where there is no manifest.
    """
    tpus = list_tpus(host.path("sys"))
    yield from _check_driver(host)
    for tpu in tpus:
        yield from _check_stick(host, tpu) if tpu.kind == "usb" else _check_card(host, tpu)
    if not tpus:
        yield ok("no Edge TPU: networks run on the processor")
    elif store is not None and not compiled_networks(store):
        yield warn(
            f"no network in {store.folder} is compiled for the Edge TPU: the processor runs them",
            "deploy/compile_edgetpu.sh on an x86-64 computer, then copy its folder of models here",
        )


def usable_tpus(host: Host) -> list[Tpu]:
    """The Edge TPUs that this user may open, and that no other process holds."""
    tpus = [(tpu, _node(host, tpu)) for tpu in list_tpus(host.path("sys"))]
    return [
        tpu for tpu, node in tpus
        if host.path(node).exists() and host.may_open(host.path(node)) and not host.users_of(f"/{node}")
    ]  # fmt: skip


def compiled_networks(store: ModelStore) -> list[str]:
    """The files that the manifest has for the Edge TPU; the runtime uses no others."""
    return sorted(spec.edgetpu.file for spec in store.networks.values() if spec.edgetpu is not None)


def _check_driver(host: Host) -> Iterator[Finding]:
    """Find a card on the PCIe bus that has no driver."""
    cards = [path.parent for path in host.paths("sys/bus/pci/devices/*/vendor")
             if (host.read(path), host.read(path.parent / "device")) == _PCI_ID]  # fmt: skip
    if len(cards) > len(host.paths("sys/class/apex/apex_*")):
        yield fail(f"an Edge TPU at PCIe {cards[-1].name} without its driver", _NO_DRIVER)


def _check_stick(host: Host, tpu: Tpu) -> Iterator[Finding]:
    speed = host.number(tpu.path / "speed")
    state = "not used yet" if host.read(tpu.path / "idVendor") == _UNUSED_VENDOR else "in service"
    found = f"{tpu.name}: USB Accelerator at USB {tpu.path.name}, {state}, {speed:g} Mbit/s"
    if speed >= _USB3_MBIT:
        yield ok(found)
    else:
        yield warn(
            f"{found}: USB 2 brings its weights ten times more slowly than USB 3",
            "plug it into a blue USB 3 port, with the cable that came along, not through a hub",
        )
    yield from _check_access(host, tpu, _USB_RULE)


def _check_card(host: Host, tpu: Tpu) -> Iterator[Finding]:
    status = host.read(tpu.path / "status")
    if status == "ALIVE":
        yield ok(f"{tpu.name}: /dev/{tpu.path.name} is ALIVE")
    else:
        yield fail(f"{tpu.name}: /dev/{tpu.path.name} is {status or 'silent'}, expected ALIVE", _REPLUG)
    yield from _check_access(host, tpu, _APEX_RULE)


def _check_access(host: Host, tpu: Tpu, rule: str) -> Iterator[Finding]:
    node = _node(host, tpu)
    device = host.path(node)
    if not device.exists():
        yield fail(f"{tpu.name}: the device /{node} is missing", f"in a container: --device /{node}; else: {_REPLUG}")
    elif not host.may_open(device):
        yield fail(f"{tpu.name}: {host.user} may not open /{node}", how_to_open(host, device, rule))
    elif users := host.users_of(f"/{node}"):
        yield ok(f"{tpu.name}: in use by {', '.join(users)}")


def _node(host: Host, tpu: Tpu) -> str:
    """The device file of an Edge TPU, such as `dev/bus/usb/002/003`."""
    if tpu.kind == "pci":
        return f"dev/{tpu.path.name}"
    bus, device = (int(host.number(tpu.path / name)) for name in ("busnum", "devnum"))
    return f"dev/bus/usb/{bus:03}/{device:03}"
