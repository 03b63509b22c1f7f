"""A clean Debian in a folder, made with mmdebstrap (root needed), and commands in it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}


def make_root(root: Path, suite: str, packages: str) -> Path:
    """A clean Debian.

    Args:
        root: the folder; there is none yet.
        suite: release of Debian.
        packages: what it has beside the essential, names with commas between them.
    """
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", suite, root], check=True)
    print(f"== {root.name}: Debian {suite} with {packages}", flush=True)
    return root


def run_inside(
    root: Path, command: str, unshare: Sequence[str], before: str = "", environment: Mapping[str, str] = ENVIRONMENT
) -> tuple[int, str]:
    """Run a shell command in a root, in namespaces of its own.

    Args:
        root: the root.
        command: the command.
        unshare: the namespaces beside those of mounts and processes, as options of `unshare`.
        before: shell commands that run outside before, such as mounts, which end with the command; `$0` is the root.
        environment: all of its environment.

    Returns:
        Exit code, and what it said.
    """
    script = f'mount -t proc proc "$0/proc"\n{before}\nexec chroot "$0" sh -euc "$1"'
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *unshare]
    done = subprocess.run(
        [*namespaces, "sh", "-euc", script, str(root), command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=dict(environment),
    )
    return done.returncode, done.stdout
