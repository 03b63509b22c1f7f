"""Real V4L2 cameras in a small virtual machine: `python -m tools.field.camera_vm --wheels FOLDER`.

Makes a root of Debian with mmdebstrap (root needed), its kernel and edge-fer from wheels in it, and boots it in QEMU
without network. In there `tools/field/camera_guest.py` plugs the kernel's virtual
camera (vivid) in and out. Prints what it says. Exit code 0 when all is well; else 1.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

GUEST = Path(__file__).with_name("camera_guest.py")
PACKAGES = "python3,python3-venv,linux-image-amd64,kmod,udev,initramfs-tools"
# The guest's script is all that runs, as process 1.
KERNEL = "root=/dev/vda rw console=ttyS0 panic=-1 quiet loglevel=3 init=/root/init"
INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root
mount -t proc proc /proc; mount -t tmpfs tmp /tmp; mount -t tmpfs run /run
ip link set lo up 2>/dev/null
/lib/systemd/systemd-udevd --daemon; udevadm trigger; udevadm settle
exec >/dev/ttyS1 2>&1 </dev/null
python3 -u /root/camera_guest.py
sync; echo o >/proc/sysrq-trigger; sleep 60
"""


def inside(root: Path, command: str) -> None:
    """Run a shell command in the root, without network."""
    script = 'mount -t proc proc "$0/proc" && exec chroot "$0" sh -euc "$1"'
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-euc", script, str(root), command]
    subprocess.run(unshare, check=True, env=environment)


def make_root(root: Path, options: argparse.Namespace) -> None:
    """Debian with edge-fer, and a script for process 1."""
    root.mkdir()
    if options.root:
        subprocess.run(["tar", "-xf", options.root, "-C", root], check=True)
    else:
        packages = ["--variant=minbase", f"--include={PACKAGES}"]
        subprocess.run(["mmdebstrap", "--quiet", *packages, options.suite, root], check=True)
    shutil.copytree(options.wheels, root / "root/wheels")
    shutil.copy(GUEST, root / "root")
    init = root / "root/init"
    init.write_text(INIT)
    init.chmod(0o755)
    pip = "/opt/edge-fer/bin/pip install --quiet --no-index --find-links /root/wheels edge-fer"
    inside(root, f"python3 -m venv /opt/edge-fer && {pip} && rm -r /root/wheels")


def boot(disk: Path, root: Path, options: argparse.Namespace) -> bool:
    """Start the machine and print what the guest says; whether all was well."""
    kernel, initrd = (next((root / "boot").glob(f"{name}-*")) for name in ("vmlinuz", "initrd.img"))
    command = [
        "qemu-system-x86_64", "-accel", options.accel, "-cpu", options.cpu, "-smp", "2", "-m", "2048",
        "-kernel", kernel, "-initrd", initrd, "-append", KERNEL, "-drive", f"file={disk},format=raw,if=virtio",
        "-nic", "none", "-display", "none", "-no-reboot", "-monitor", "none",
        "-serial", f"file:{options.console}", "-serial", "stdio",
    ]  # fmt: skip
    last = ""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace") as vm:
        assert vm.stdout is not None
        for line in vm.stdout:
            print(line.rstrip(), flush=True)
            last = line.strip() or last
    return last == "all is well"


def main() -> int:
    """Make the machine, boot it, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, required=True, help="folder with the wheel of edge-fer and all it needs")
    parser.add_argument("--suite", default="bookworm", help="release of Debian")
    parser.add_argument("--root", type=Path, help="tar of a root made before")
    parser.add_argument("--accel", default="tcg,thread=multi", help="of QEMU: emulated by default; kvm is quicker")
    parser.add_argument("--cpu", default="Nehalem", help="of QEMU; the oldest that numpy runs on by default")
    parser.add_argument("--console", type=Path, default=Path("/dev/null"), help="file for the kernel's console")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, disk = Path(folder, "root"), Path(folder, "disk")
        make_root(root, options)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", root, disk, "3G"], check=True)
        return 0 if boot(disk, root, options) else 1


if __name__ == "__main__":
    sys.exit(main())
