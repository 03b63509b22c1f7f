"""The machine that is examined: its files below a root, and facts that stand in no file."""

from __future__ import annotations

import grp
import os
import platform
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edge_fer.errors import WorkerCrashed, WorkerFailed, WorkerTimeout
from edge_fer.process.reply import Reply
from edge_fer.process.worker import Worker
from edge_fer.status.monitor import clock_synced

IMPORT_S = 20.0
"""Deadline for importing numpy, OpenCV and the interpreter, which takes seconds from a cold SD card."""

EDGETPU_S = 10.0
"""Deadline of each call of libedgetpu; the first one uploads the firmware of a USB device, which takes seconds."""

_CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a program.

    Attributes:
        ok: whether it succeeded.
        text: the last line of its output.
    """

    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of loading libedgetpu in a child process.

    Attributes:
        version: the version that the library reports; None when it could not be loaded.
        trouble: why it cannot be used; None when it can.
        crashed: whether the child process crashed or hung.
    """

    version: str | None
    trouble: str | None = None
    crashed: bool = False


class _Library(Reply):
    """The `info` of the child that loads libedgetpu."""

    version: str


class Host:
    """The machine that this runs on.

    Args:
        root: the folder with its /sys, /proc, /dev, /usr and so on.
        edgetpu_s: deadline of each call of libedgetpu, seconds.

    Attributes:
        root: the same folder, as an absolute path.
        python: version of this Python.
        machine: architecture, such as `aarch64`.
        user: name of this user.
        groups: names of the groups that this session is in.
    """

    def __init__(self, root: Path = Path("/"), edgetpu_s: float = EDGETPU_S) -> None:
        self.root, self._edgetpu_s = root.resolve(), edgetpu_s
        self.python: tuple[int, int] = sys.version_info[:2]
        self.machine = platform.machine()
        self.user = _user_name(os.getuid())
        self.groups = frozenset(_group_name(group) for group in (os.getegid(), *os.getgroups()))

    def path(self, name: str) -> Path:
        """The path of a file of the machine, such as `dev/video0`."""
        return self.root / name

    def paths(self, *patterns: str) -> list[Path]:
        """All files of the machine that match one of the patterns, sorted by pattern, then name."""
        return [path for pattern in patterns for path in sorted(self.root.glob(pattern))]

    def read(self, name: str | Path) -> str | None:
        """The text of a file, without blanks around it; None where it cannot be read."""
        try:
            return self.path(str(name)).read_text(errors="replace").strip(" \t\n\0")
        except OSError:
            return None

    def number(self, name: str | Path) -> float:
        """The number in a file; 0 where there is none."""
        try:
            return float(self.read(name) or 0)
        except ValueError:
            return 0.0

    def version(self, package: str) -> str | None:
        """Version of an installed Python package; None where it is not installed."""
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    def may_open(self, path: Path) -> bool:
        """Whether this user may read and write a device."""
        return os.access(path, os.R_OK | os.W_OK)

    def group_of(self, path: Path) -> str:
        """The group that a device belongs to."""
        return _group_name(path.stat().st_gid)

    def members(self, group: str) -> set[str]:
        """The users that were added to a group, in this session or not."""
        entries = (line.split(":") for line in (self.read("etc/group") or "").splitlines())
        return {user for entry in entries if entry[0] == group for user in entry[-1].split(",")}

    def users_of(self, *devices: str) -> list[str]:
        """The other processes that hold one of these devices open, such as `motion (812)`, where that may be seen."""
        found = set()
        for path in self.root.glob("proc/[0-9]*/fd/*"):
            try:
                target = str(path.readlink())
            except OSError:
                continue  # it was closed meanwhile
            process = path.parents[1]
            if target in devices and process.name != str(os.getpid()):
                found.add(f"{self.read(process / 'comm')} ({process.name})")
        return sorted(found)

    def free_bytes(self) -> int:
        """Free space on the disk, bytes."""
        return shutil.disk_usage(self.root).free

    def clock_synced(self) -> bool:
        """Whether the clock is set from a network, GPS or another reference."""
        return clock_synced()

    def run(self, program: str, *arguments: str, timeout_s: float) -> Answer:
        """Run a program of the machine, such as `usr/bin/vcgencmd`."""
        try:
            done = subprocess.run(
                [self.path(program), *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Answer(False, str(error))
        lines = (done.stdout + done.stderr).strip().splitlines()
        return Answer(done.returncode == 0, lines[-1].strip() if lines else f"exit status {done.returncode}")

    def trial_import(self, modules: list[str]) -> str | None:
        """Import modules in a child process; None when that works, else why it does not."""
        with Worker(f"{_CHILD}:Imports", name="Python") as worker:
            try:
                worker.start(IMPORT_S, modules=modules)
            except (WorkerFailed, WorkerCrashed, WorkerTimeout) as error:
                return str(error)
        return None

    def probe_edgetpu(self, library: Path, network: Path | None) -> Probe:
        """Load libedgetpu in a child process, and let the interpreter prepare a network for it.

        Args:
            library: the path of the library.
            network: a .tflite file; None: the library is only loaded, and no device is used.
        """
        version = None
        with Worker(f"{_CHILD}:EdgeTpu", name="libedgetpu") as worker:
            try:
                version = _Library.of(worker.start(self._edgetpu_s, library=str(library))).version
                if network is not None:
                    worker.call("pair", deadline_s=self._edgetpu_s, network=str(network))
            except WorkerFailed as error:
                return Probe(version, str(error))
            except (WorkerCrashed, WorkerTimeout) as error:
                return Probe(version, str(error), crashed=True)
        return Probe(version)


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:  # a container may give a number only
        return str(user)


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)
