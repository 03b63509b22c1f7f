"""Install in a clean Debian, look, and take it away again: `python -m tools.field.install_root`.

Makes a root of Debian with mmdebstrap (root needed), and works in it with chroot, without network. Twice
`deploy/install.sh --wheels`, `edge-fer` on the sample clip as the service's user, `deploy/uninstall.sh`; with --deb,
the same for the Debian package: installed, removed, purged. Exit code 0 when each step did what it promises and nothing
was left behind but the configuration; else 1. Then what deploy/Containerfile does, in two roots instead of an engine.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.field.debian_root import make_root, run_inside

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = "python3,python3-venv,systemd,udev"
CONFIG = {"etc/edge-fer", "etc/edge-fer/config.yaml", "etc/edge-fer/serve.yaml"}
# Written anew by useradd, dpkg and ldconfig whenever they run; none belongs to a package.
CHURN = (
    *("proc", "run", "tmp", "var/log", "var/cache/ldconfig", "var/lib/dpkg", "var/lib/systemd/deb-systemd"),
    *("etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/.pwd.lock"),
)
# As docs/install.md says, but with setpriv, and without the web page: there is no network, not even to the box itself.
CHECK_CONFIG = (
    "cd /root && EDGE_FER_PUBLISH__HTTP__ENABLED=false setpriv --reuid edge-fer --regid edge-fer --init-groups "
    "/opt/edge-fer/current/bin/edge-fer config check --config /etc/edge-fer/config.yaml"
)
READ_SAMPLE = "cd / && edge-fer run --camera sample --max-frames 20 --format json | grep edge-fer/reading | tail -n 1"


def files(root: Path) -> dict[str, str]:
    """Every file and folder, with the hash of what is in it or where it points."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name.startswith(CHURN):
            continue
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder" if path.is_dir() else "device"
    return found


def inside(root: Path, command: str) -> str:
    """Run a shell command in the root, without network; its output."""
    print(f"# {command}", flush=True)
    code, said = run_inside(root, command, ["--net"])
    print(said, flush=True)
    if code:
        raise SystemExit(f"NOT as it should be: `{command}` ended with {code}")
    return said


def expect(what: str, holds: bool, found: object) -> None:
    """Say that a promise was kept, or end."""
    if not holds:
        raise SystemExit(f"NOT as it should be: {what}; found {found}")
    print(f"ok: {what}\n", flush=True)


def changes(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Names of what came, went or has other content."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def check_scripts(root: Path) -> None:
    """install.sh twice, then uninstall.sh."""
    source = root / "tmp/edge-fer"
    source.mkdir()
    for folder in ("deploy", "systemd", "docs"):
        shutil.copytree(CHECKOUT / folder, source / folder)
    before = files(root)
    install = "/tmp/edge-fer/deploy/install.sh --wheels /tmp/wheels --with mavlink-serial"
    inside(root, f"{install} --dry-run")
    expect("a dry run changes nothing", not (found := changes(before, files(root))), found)
    inside(root, install)
    first = files(root)
    inside(root, "ls -l /opt/edge-fer /etc/edge-fer; cat /opt/edge-fer/installed; du -sh /opt/edge-fer")
    inside(root, "echo '# mine' >>/etc/edge-fer/config.yaml")
    inside(root, install)
    found = changes(first, files(root))
    expect("a second time changes nothing, and keeps the configuration", found == {"etc/edge-fer/config.yaml"}, found)
    use(root)
    inside(root, "/opt/edge-fer/current/share/edge-fer/deploy/uninstall.sh")
    found = changes(before, files(root))
    expect("nothing is left but the configuration", found == CONFIG, found)
    inside(root, "/tmp/edge-fer/deploy/uninstall.sh --purge && /tmp/edge-fer/deploy/uninstall.sh")
    expect("--purge takes that, too", not (found := changes(before, files(root))), found)


def check_package(root: Path, package: Path) -> None:
    """dpkg -i twice, remove, purge."""
    shutil.copy(package, root / "tmp/edge-fer.deb")
    before = files(root)
    inside(root, "dpkg -i /tmp/edge-fer.deb && dpkg -s edge-fer && du -sh /opt/edge-fer")
    inside(root, "echo '# mine' >>/etc/edge-fer/config.yaml && dpkg -i /tmp/edge-fer.deb")
    inside(root, "grep mine /etc/edge-fer/config.yaml")
    use(root)
    inside(root, "dpkg -r edge-fer")
    # By Debian's rules users and groups of packages stay, and before purging whether a service is enabled.
    accounts = {f"etc/{name}" for name in ("passwd", "group", "shadow", "gshadow")}
    enabled = {"etc/systemd/system/multi-user.target.wants/edge-fer.service"}
    found = changes(before, files(root)) - accounts
    expect("nothing is left but the configuration and the user", found == CONFIG | enabled, found)
    inside(root, "dpkg -P edge-fer")
    expect("purging takes that, too", not (found := changes(before, files(root)) - accounts), found)


def check_container(build: Path, final: Path) -> None:
    """What deploy/Containerfile does, in two roots; its RUN lines but for apt-get, and without network."""
    lines = (CHECKOUT / "deploy/Containerfile").read_text().replace("\\\n", "").splitlines()
    (install,) = (line.removeprefix("RUN ") for line in lines if line.startswith("RUN /src"))
    (user,) = (line[line.index("useradd") :] for line in lines if "useradd" in line)
    for folder in ("deploy", "systemd", "docs"):
        shutil.copytree(CHECKOUT / folder, build / "src" / folder)
    inside(build, f"{install} --wheels /tmp/wheels")
    inside(final, user)
    for copied in (line.split()[2] for line in lines if line.startswith("COPY --from=build")):
        destination = final / copied.lstrip("/")
        destination.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--archive", build / copied.lstrip("/"), destination], check=True)
    inside(final, "ln -s /opt/edge-fer/current/bin/edge-fer /usr/local/bin")
    read_sample(final)


def use(root: Path) -> None:
    """Look at the units as systemd does, check the settings and read the sample as the service's user would."""
    inside(root, "systemd-analyze verify --man=no --recursive-errors=yes edge-fer.service edge-fer-usb.socket")
    said = inside(root, CHECK_CONFIG)
    expect("the service's user may check the settings", "settings ok" in said, said)
    read_sample(root)


def read_sample(root: Path) -> None:
    """Read the sample as the service's user would."""
    inside(root, "edge-fer config show --config /etc/edge-fer/config.yaml | grep -A2 '^publish:'")
    become = "setpriv --reuid edge-fer --regid edge-fer --clear-groups"
    reading = inside(root, f"{become} env HOME=/ XDG_CACHE_HOME=/tmp/cache sh -euc '{READ_SAMPLE}'")
    expect("the sample is read", '"edge-fer/reading/1"' in reading, reading)


def root_with_wheels(root: Path, packages: str, options: argparse.Namespace) -> Path:
    """A clean Debian, with the wheels."""
    make_root(root, options.suite, packages)
    if options.wheels:
        shutil.copytree(options.wheels, root / "tmp/wheels")
    return root


def main() -> int:
    """Make the root, and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder with the wheel of edge-fer and all that it needs")
    parser.add_argument("--deb", type=Path, help="the Debian package")
    parser.add_argument("--suite", default="bookworm", help="release of Debian")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.wheels:
            check_scripts(root_with_wheels(Path(folder, "scripts"), PACKAGES, options))
            build, final = (
                root_with_wheels(Path(folder, name), packages, options)
                for name, packages in (("build", "python3,python3-venv"), ("final", "python3"))
            )
            check_container(build, final)
        if options.deb:
            check_package(root_with_wheels(Path(folder, "package"), PACKAGES, options), options.deb)
    print("all is well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
