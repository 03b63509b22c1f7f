"""Boot a small Debian with the service under systemd: `python -m tools.field.boot_service`. Not a part of the tests.

Makes a root with mmdebstrap (root needed), installs edge-fer in it with `deploy/install.sh --wheels`, and boots it
without network: by default with systemd-nspawn, systemd as process 1 on this kernel at full speed; with --qemu in an
emulated machine with Debian's kernel, which has cameras (vivid) and serial ports (g_serial) to plug in. In there
`tools/field/boot_guest.py` goes through its steps; prints what it says. Exit code 0 when all is well; else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = "systemd-sysv,udev,dbus,kmod,python3,python3-venv,procps"
KERNEL_PACKAGE = ",linux-image-amd64"
STEPS = "boot,clock,reload_settings,watchdog,serve,failures,no_camera,drop_ins,upgrade,root_directory,uninstall"
QEMU_STEPS = "boot,camera,devices"
OUTPUT = "root/output"
GUEST_FILES = ("boot_guest.py", "boot_box.py", "boot_stream.py")
GUEST = """\
[Unit]
Description=checks of edge-fer
After=dbus.service
[Service]
ExecStart=/usr/bin/python3 -u /root/boot_guest.py
ExecStopPost=/bin/systemctl poweroff --force
StandardOutput=append:{output}
StandardError=inherit
Environment=LC_ALL=C.UTF-8
[Install]
WantedBy=multi-user.target
"""
KERNEL = "root=/dev/vda rw console=ttyS0 panic=-1 quiet systemd.journald.forward_to_console=1"
# What goes wrong in versions that should not stay.
CRASH = "\nraise RuntimeError('this version is broken')\n"
NEVER_READY = "\nimport time\ntime.sleep(3600)\n"


def version_of(wheel: Path, version: str, folder: Path, spoil: str = "") -> None:
    """The same wheel under another version, perhaps with a service that does not work."""
    old = wheel.name.split("-")[1]
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(folder / wheel.name.replace(old, version), "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("/METADATA"):
                content = content.replace(f"\nVersion: {old}\n".encode(), f"\nVersion: {version}\n".encode())
            elif name == "edge_fer/service.py":
                content += spoil.encode()
            elif name.endswith("/RECORD"):
                content = b""
            elif name == "edge_fer/__init__.py":
                content = content.replace(f'"{old}"'.encode(), f'"{version}"'.encode())
            target.writestr(name.replace(f"edge_fer-{old}", f"edge_fer-{version}"), content)


def chroot(root: Path, command: str) -> None:
    """Run a shell command in the root, without network."""
    script = 'mount -t proc proc "$0/proc" && exec chroot "$0" sh -euc "$1"'
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-euc", script, str(root), command]
    subprocess.run(unshare, check=True, env=environment)


def make_root(root: Path, options: argparse.Namespace) -> None:
    """Debian with edge-fer installed, to be booted."""
    root.mkdir()
    if options.root:
        subprocess.run(["tar", "-xf", options.root, "-C", root], check=True)
    else:
        packages = f"--include={PACKAGES}{KERNEL_PACKAGE * options.qemu}"
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", packages, options.suite, root], check=True)
    tree = root / "root/edge-fer"
    for folder in ("deploy", "systemd", "docs"):
        shutil.copytree(CHECKOUT / folder, tree / folder)
    shutil.copytree(options.wheels, root / "root/wheels")
    versions = root / "root/versions"
    versions.mkdir()
    (wheel,) = options.wheels.glob("edge_fer-*.whl")
    for version, spoil in (("0.1.1", ""), ("0.1.2", CRASH), ("0.1.3", NEVER_READY)):
        version_of(wheel, version, versions, spoil)
    for name in GUEST_FILES:
        shutil.copy(CHECKOUT / "tools/field" / name, root / "root")
    steps = (options.steps or (QEMU_STEPS if options.qemu else STEPS)).split(",")
    (root / "root/options.json").write_text(
        json.dumps({"minutes": options.minutes, "steps": steps, "emulated": options.qemu})
    )
    output = "/dev/ttyS1" if options.qemu else f"/{OUTPUT}"
    (root / "etc/systemd/system/check.service").write_text(GUEST.format(output=output))
    chroot(root, "/root/edge-fer/deploy/install.sh --wheels /root/wheels && python3 /root/boot_guest.py configure")
    if "root_directory" in steps:
        make_second_root(root)
    chroot(root, "systemctl enable check.service && passwd --delete root && echo drone >/etc/hostname")
    shutil.rmtree(root / "tmp", ignore_errors=True)
    (root / "tmp").mkdir(mode=0o1777)


def make_second_root(root: Path) -> None:
    """What a box with an old system of its own would run the service in; here the same Debian once more."""
    second = root / "srv/edge-fer"
    folders = [root / name for name in ("etc", "opt", "usr", "bin", "sbin", "lib", "lib64")]
    second.mkdir(parents=True)
    subprocess.run(["cp", "--archive", *folders, second], check=True)
    for name in ("dev", "proc", "run", "sys", "tmp", "var/lib", "var/cache", "etc/edge-fer"):
        (second / name).mkdir(parents=True, exist_ok=True)
    (second / "etc/edge-fer/config.yaml").unlink()
    (second / "second").touch()


def boot_container(root: Path) -> bool:
    """Start systemd in a container and print what the guest says; whether all was well."""
    systemd = subprocess.run(["systemd-nspawn", "--version"], capture_output=True, text=True, check=True).stdout
    print(f"container: {systemd.splitlines()[0]} of the host, {os.cpu_count()} processors", flush=True)
    output = root / OUTPUT
    output.touch()
    options = ["--quiet", "--boot", "--register=no", "--keep-unit", "--private-network", "--console=pipe"]
    options += ["--system-call-filter=adjtimex clock_adjtime"]  # containers do not let the clock be asked, machines do
    with (
        subprocess.Popen(
            ["systemd-nspawn", "--directory", root, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as container,
        output.open() as said,
    ):
        while container.poll() is None:
            print(said.read(), end="", flush=True)
            time.sleep(0.5)
        print(said.read(), end="", flush=True)
    return output.read_text().rstrip().endswith("all is well")


def boot_machine(disk: Path, root: Path, options: argparse.Namespace) -> bool:
    """Start the machine and print what the guest says; whether all was well."""
    kernel, initrd = (next((root / "boot").glob(f"{name}-*")) for name in ("vmlinuz", "initrd.img"))
    print(f"virtual machine: emulated, 2 processors, {options.memory} MB, {kernel.name}", flush=True)
    command = [
        *(
            "qemu-system-x86_64",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "Nehalem",
            "-smp",
            "2",
            "-m",
            str(options.memory),
        ),
        *("-kernel", kernel, "-initrd", initrd, "-append", KERNEL),
        *("-drive", f"file={disk},format=raw,if=virtio", "-nic", "none", "-display", "none", "-no-reboot"),
        *("-serial", f"file:{options.console}", "-serial", "stdio", "-monitor", "none"),
    ]
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
    parser.add_argument("--minutes", type=float, default=1.0, help="without a camera, and again without a face")
    parser.add_argument("--qemu", action="store_true", help="emulate a machine; needs qemu-system-x86_64")
    parser.add_argument("--steps", help=f"by default {STEPS}; with --qemu {QEMU_STEPS}")
    parser.add_argument("--suite", default="bookworm", help="release of Debian")
    parser.add_argument("--root", type=Path, help="tar of a root made before")
    parser.add_argument("--memory", type=int, default=2048, help="of the machine, MB")
    parser.add_argument("--console", type=Path, default=Path("/dev/null"), help="file for the kernel's console")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, disk = Path(folder, "root"), Path(folder, "disk")
        make_root(root, options)
        if not options.qemu:
            return 0 if boot_container(root) else 1
        subprocess.run(["mke2fs", "-q", "-q", "-t", "ext4", "-d", root, disk, "6G"], check=True)
        return 0 if boot_machine(disk, root, options) else 1


if __name__ == "__main__":
    sys.exit(main())
