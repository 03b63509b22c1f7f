"""The README's two commands on a bare Debian: `python -m tools.field.clean_roots`. Not part of the test suite.

Makes clean roots of Debian 12 and 13 with mmdebstrap, with python3, python3-venv, make and git and nothing else,
clones this checkout's last commit into each, and runs `make demo` and `make test` there: as root and as a user, each
in a folder that only its owner may enter and whose path has a space. pip is configured as it is outside.

Exit code 0 when all passed and the tests that were skipped named the Debian packages that they need; else 1. Needs
root, mmdebstrap, a network, 4 GB, and about half an hour on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from tools.field.debian_root import ENVIRONMENT, make_root, run_inside

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = "python3,python3-venv,make,git"
SUITES = ("bookworm", "trixie")
USERS = {"root": "root", "ada": "home/ada"}
COMMANDS = ("make demo", "make test")
SPACE = "a place"
SHOWN = 12  # the last lines of each command
# What a container has, too: terminals, shared memory, the kernel's view of the devices.
MOUNTS = """
mount -t sysfs -o ro sys "$0/sys"
mkdir -p "$0/dev/shm" "$0/dev/pts"
mount -t tmpfs -o mode=1777 shm "$0/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 pts "$0/dev/pts"
rm -f "$0/dev/ptmx"
ln -s pts/ptmx "$0/dev/ptmx"
"""


class CleanRoot:
    """A bare Debian with a user and pip's configuration of this machine.

    Args:
        folder: for the root; there is none yet.
        suite: release of Debian.
    """

    def __init__(self, folder: Path, suite: str) -> None:
        self.root = make_root(folder, suite, PACKAGES)
        self._mounts = MOUNTS
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        self._configure_pip()
        self._run("useradd --create-home --shell /bin/sh ada")

    def check(self, user: str, jobs: str) -> bool:
        """Clone, run the commands, and tell how they ended; whether all did well.

        Args:
            user: who runs them.
            jobs: how many tests run side by side.
        """
        home = self.root / USERS[user]
        home.chmod(0o700)
        clone = home / SPACE / "edge-fer"
        subprocess.run(["git", "clone", "--quiet", "--no-local", CHECKOUT, clone], check=True)
        place = Path("/", USERS[user], SPACE, "edge-fer")
        self._run(f"chown -R {user}: {shlex.quote(str(place.parent))}")
        well = [self._command(command, user, place, jobs) for command in COMMANDS]
        shutil.rmtree(home / SPACE)
        return all(well)

    def _command(self, command: str, user: str, place: Path, jobs: str) -> bool:
        became = f"setpriv --reuid {user} --regid {user} --init-groups env HOME=/{USERS[user]}"
        start = time.monotonic()
        inner = f"cd {shlex.quote(str(place))} && {command} WORKERS={jobs}"
        code, said = self._run(f"{became} sh -c {shlex.quote(inner)}", may_fail=True)
        print(f"\n# {user}, {place}: {command}  # exit code {code}, {time.monotonic() - start:.0f} s")
        lines = [line for line in said.splitlines() if line.strip()]
        shown = lines if code else [line for line in lines if _is_told(line)] or lines[-SHOWN:]
        print("\n".join(shown), flush=True)
        return code == 0 and (command != "make test" or "to run them, too: apt-get install" in said)

    def _run(self, command: str, *, may_fail: bool = False) -> tuple[int, str]:
        code, said = run_inside(self.root, command, (), self._mounts, {**ENVIRONMENT, **_pip_variables()})
        if code and not may_fail:
            raise SystemExit(f"`{command}` ended with {code}: {said}")
        return code, said

    def _configure_pip(self) -> None:
        """The same settings in a file of the root, and the files and folders that they name in the same places."""
        command = [sys.executable, "-m", "pip", "config", "list"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        settings = {name: value.strip("'") for name, _, value in (line.partition("=") for line in said.splitlines())}
        lines = [f"{name.removeprefix('global.')} = {value}\n" for name, value in settings.items() if name[0] != ":"]
        (self.root / "etc/pip.conf").write_text("[global]\n" + "".join(lines).replace("\\n", "\n    "))
        for path in sorted({path for value in settings.values() for path in _local_paths(value)}):
            inside = self.root / path.relative_to("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.mkdir(exist_ok=True) if path.is_dir() else inside.touch()
            self._mounts += f'mount --bind -o ro {path} "$0{path}"\n'


def _pip_variables() -> dict[str, str]:
    """What tells pip in this environment where to find packages, and how to get there."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_") or "proxy" in name.lower()}


def _local_paths(value: str) -> list[Path]:
    """The files and folders of this machine that a setting of pip names; an index refers to files beside it."""
    words = value.replace("\\n", " ").split()
    paths = [Path(word) for word in words if word.startswith("/")]
    indices = [Path(urlsplit(word).path).parent for word in words if word.startswith("file://")]
    return [path for path in (*paths, *indices) if path.exists()]


def _is_told(line: str) -> bool:
    """Whether a line of a test run that passed says how it went."""
    return line.startswith(("SKIPPED", "tests were skipped", "TOTAL")) or " passed" in line


def main() -> int:
    """Make the roots, and run the commands in them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=SUITES, action="append", help="release of Debian; default: all")
    parser.add_argument("--user", choices=USERS, action="append", help="who runs the commands; default: both")
    parser.add_argument("--workers", default="2", help="how many tests run side by side")
    options = parser.parse_args()
    well = True
    with tempfile.TemporaryDirectory() as folder:
        for suite in options.suite or SUITES:
            root = CleanRoot(Path(folder, suite), suite)
            for user in options.user or USERS:
                well = root.check(user, options.workers) and well
    print("\nall is well" if well else "\nNOT as it should be")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
