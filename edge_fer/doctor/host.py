"""The box under examination: its files below a root, and what no file tells."""

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
from edge_fer.process.worker import Worker
from edge_fer.status.monitor import clock_synced

IMPORT_S = 20.0
"""Loading numpy, OpenCV and the interpreter takes seconds on a cold SD card."""

EDGETPU_S = 10.0
"""The first use of a stick uploads its firmware, which takes seconds."""

_CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said: whether it succeeded, and its last line."""

    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What became of libedgetpu in a child process.

    Attributes:
        version: as the library calls itself; null when it could not be loaded.
        trouble: why it cannot be used; null when all went well.
        crashed: whether the child process ended or hung over it.
    """

    version: str | None
    trouble: str | None = None
    crashed: bool = False


class Host:
    """The box that this runs on.

    Args:
        root: where its /sys, /proc, /dev, /usr and so on lie.

    Attributes:
        root: see above.
        python: version of this Python.
        machine: architecture, such as `aarch64`.
        user: name of this user.
        groups: those that this session is in.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root.resolve()
        self.python: tuple[int, int] = sys.version_info[:2]
        self.machine = platform.machine()
        self.user = _user_name(os.getuid())
        self.groups = frozenset(_group_name(group) for group in (os.getegid(), *os.getgroups()))

    def path(self, name: str) -> Path:
        """A file of the box, such as `dev/video0`."""
        return self.root / name

    def paths(self, *patterns: str) -> list[Path]:
        """All files of the box that match, sorted by pattern, then name."""
        return [path for pattern in patterns for path in sorted(self.root.glob(pattern))]

    def read(self, name: str | Path) -> str | None:
        """What a file says, without blanks around it; null where it cannot be read."""
        try:
            return self.path(str(name)).read_text(errors="replace").strip(" \t\n\0")
        except OSError:
            return None

    def number(self, name: str | Path) -> float:
        """What a file says, as a number; 0 where it says none."""
        try:
            return float(self.read(name) or 0)
        except ValueError:
            return 0.0

    def version(self, package: str) -> str | None:
        """Version of a Python package that we would import; null where there is none."""
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
        """The other processes that hold one of these devices, such as `motion (812)`; those that we may look into."""
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
        """Room left on the disk."""
        return shutil.disk_usage(self.root).free

    def clock_synced(self) -> bool:
        """Whether the clock is set from a network, GPS or another reference."""
        return clock_synced()

    def run(self, program: str, *arguments: str, timeout_s: float) -> Answer:
        """Run a program of the box, such as `usr/bin/vcgencmd`, that is there."""
        try:
            done = subprocess.run(
                [self.path(program), *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Answer(False, str(error))
        lines = (done.stdout + done.stderr).strip().splitlines()
        return Answer(done.returncode == 0, lines[-1].strip() if lines else f"exit status {done.returncode}")

    def trial_import(self, modules: list[str]) -> str | None:
        """Import modules in a child process; null when that works, else why not."""
        with Worker(f"{_CHILD}:Imports", name="Python") as worker:
            try:
                worker.start(IMPORT_S, modules=modules)
            except (WorkerFailed, WorkerCrashed, WorkerTimeout) as error:
                return str(error)
        return None

    def probe_edgetpu(self, library: Path, network: Path | None) -> Probe:
        """Load libedgetpu in a child process, and hand it a network as the interpreter would.

        Args:
            library: its path.
            network: a .tflite file; null: the library is only loaded, and no device is touched.
        """
        version = None
        with Worker(f"{_CHILD}:EdgeTpu", name="libedgetpu") as worker:
            try:
                version = worker.start(EDGETPU_S, library=str(library))["version"]
                if network is not None:
                    worker.call("pair", deadline_s=EDGETPU_S, network=str(network))
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
