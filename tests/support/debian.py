"""Tests that need a Debian package: skipped by name where it is missing, and one line at the end names them all.

    @pytest.mark.debian("shellcheck")
    def test_shellcheck_finds_nothing() -> None: ...

A fixture or a helper calls `need_debian("openssl")` itself. In CI, which installs them all, a missing one is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Where Debian puts programs, those for administrators too."""

_NEEDS = "needs Debian's "

_SIGNS = {
    "chromium": "chromium",
    "ffmpeg": "ffmpeg",
    "gcc": "cc",
    "libc6-dev": "/usr/include/stdio.h",
    "mosquitto": "mosquitto",
    "mosquitto-clients": "mosquitto_sub",
    "openssh-client": "ssh-keygen",
    "openssl": "openssl",
    "python3-gi": "/usr/lib/python3/dist-packages/gi",
    "shellcheck": "shellcheck",
    "systemd": "systemd-analyze",
}
"""A program or file of each package; one that is not named here is looked up in dpkg's list."""


def need_debian(*packages: str) -> None:
    """Skip the test that is running unless all packages are installed.

    Args:
        packages: names of Debian's packages.
    """
    missing = [package for package in packages if not _is_installed(package)]
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(_NEEDS + ", ".join(missing))


def program(package: str) -> str:
    """The path of a package's program; the test is skipped where it is not installed."""
    need_debian(package)
    path = shutil.which(_SIGNS[package], path=PATH)
    assert path is not None
    return path


def missing_packages(reasons: Iterable[str]) -> list[str]:
    """The packages that skipped tests named, each once, in order.

    Args:
        reasons: why tests were skipped.
    """
    lists = [reason.partition(_NEEDS)[2] for reason in reasons]
    return sorted({package for names in lists if names for package in names.split(", ")})


def _is_installed(package: str) -> bool:
    sign = _SIGNS.get(package)
    if sign is not None:
        return Path(sign).exists() if sign.startswith("/") else shutil.which(sign, path=PATH) is not None
    if shutil.which("dpkg-query") is None:
        return False
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout == "installed"
