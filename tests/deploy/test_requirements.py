"""What install.sh downloads: locked with hashes, and what pyproject.toml asks for."""

from __future__ import annotations

import re
import sys

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXTRAS = ("http", "mavlink", "mqtt")
MACHINES = [
    {"python_version": version, "python_full_version": f"{version}.0", "platform_machine": machine, "extra": ""}
    for version in ("3.10", "3.11", "3.13")
    for machine in ("x86_64", "aarch64")
]


def locked(name: str) -> list[tuple[Requirement, int]]:
    """The requirements of one file, each with how many hashes it has."""
    text = (ROOT / "deploy" / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(Requirement(re.sub(r"\s--hash=\S+", "", line)), line.count("--hash=sha256:")) for line in lines]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: "-".join(list(machine.values())[::2][:2]))
def test_what_the_package_needs_is_locked(machine: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in EXTRAS for one in project["optional-dependencies"][extra])]
    here = [one for one, _ in locked("requirements.txt") if one.marker is None or one.marker.evaluate(machine)]
    versions = {one.name.lower(): Version(next(iter(one.specifier)).version) for one in here}
    assert len(versions) == len(here), "one version of each"
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate(machine):
            name = requirement.name.lower()
            assert name in versions, f"{name}: make lock"
            assert requirement.specifier.contains(versions[name]), f"{requirement}, found {versions[name]}: make lock"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-build.txt"])
def test_every_requirement_has_a_version_and_hashes(name: str) -> None:
    for requirement, hashes in locked(name):
        assert [each.operator for each in requirement.specifier] == ["=="], requirement
        assert hashes >= 1, requirement
