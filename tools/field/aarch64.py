"""Prove edge-fer on aarch64 without a board: `python -m tools.field.aarch64`. Not part of the test suite.

Makes roots of Debian 12 and 13 for arm64 with mmdebstrap, without mounts, and runs what is in them by qemu, unpacked
from Debian 13 (that of Debian 12 crashes on ai-edge-litert 2.2 and later). In each, `deploy/install.sh` installs this
checkout's wheel with the wheels that pip chooses for aarch64, and then these run: `--version`, `models verify`,
`doctor`, `run` on the sample clip and on pictures, and the tests that depend on the processor. Readings are compared
with those of the same libraries on this computer; `debian12-old` has the older ones of `deploy/constraints-old.txt`.

Exit code 0 when each step did what it promises and readings are the same within the tolerances; else 1. Needs root,
mmdebstrap, a network, 3 GB, and 15 to 30 minutes a system. Figures of speed found here mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from ai_edge_litert import schema_py_generated

from edge_fer.capture.sources.sample import CLIP
from tools.same_readings import compare, readings_of

CHECKOUT = Path(__file__).resolve().parents[2]
CONSTRAINTS = CHECKOUT / "deploy" / "constraints-old.txt"
SCHEMA = Path(schema_py_generated.__file__)
PACKAGES = "python3,python3-venv,libstdc++6,libgcc-s1,zlib1g,libexpat1"

# What depends on the processor, on the libraries' builds for it, or on system calls that others do not make.
TESTS = (
    "align", "attitude", "backends", "blur", "boxes", "classify", "detect", "enhance", "find", "keyframe",
    "label", "labels", "level", "models", "mtcnn", "picture_health", "pixels", "precision", "pyramid", "quality",
    "resize", "smooth", "synthetic", "track", "worker",
)  # fmt: skip
# The fake Edge TPU would need a compiler for Arm; to a crash, qemu adds words of its own.
LEFT_OUT = "not (supervised or edgetpu or test_a_crash_is_one_clear_line)"


@dataclass(frozen=True, slots=True)
class System:
    """A Debian, the processor that it runs on, and the set of libraries in it.

    The processor is that of a Raspberry Pi 4 or 5. On qemu's own, which has every extension there is, numpy 2.5.5
    multiplies matrices wrongly; without SME (`max,sme=off`) rightly.
    """

    suite: str
    processor: str
    old: bool = False

    @property
    def interpreter(self) -> str:
        """The package that runs the networks."""
        return "tflite-runtime" if self.old else "ai-edge-litert"


SYSTEMS = {
    "debian12-old": System("bookworm", "cortex-a72", old=True),
    "debian12": System("bookworm", "cortex-a72"),
    "debian13": System("trixie", "cortex-a76"),
}


class Emulated:
    """A root for arm64, and programs in it.

    Programs see the files of the root first and this computer's behind them, so no mount is needed. What the
    root's Python starts in turn is emulated, too, since its name is that of a script that calls qemu.

    Args:
        folder: of its own, made anew.
        system: what to make.
        qemu: program.
    """

    def __init__(self, folder: Path, system: System, qemu: Path) -> None:
        self.folder, self.root, self.python = folder, folder / "root", folder / "python3"
        shutil.rmtree(folder, ignore_errors=True)
        debootstrap(self.root, system.suite, PACKAGES, "--architectures=arm64")
        if not (self.root / "lib").exists():  # Debian 13's loader is named so, and only base-files would bring the link
            (self.root / "lib").symlink_to("usr/lib")
        real = (self.root / "usr/bin/python3").resolve()
        site = self.root / "usr/lib" / real.name / "sitecustomize.py"
        site.unlink(missing_ok=True)
        site.write_text("import os\n\ndel os.listxattr  # qemu looks for its path on this computer alone\n")
        command = shlex.join([str(qemu), "-cpu", system.processor, "-L", str(self.root)])
        self.python.write_text(f'#!/bin/sh\nexec {command} -0 "$0" {shlex.quote(str(real))} "$@"\n')
        self.python.chmod(0o755)
        temporary = folder / "tmp"  # /tmp itself is also a folder of the root
        temporary.mkdir()
        self.environment = {**os.environ, "PYTHON": str(self.python), "TMPDIR": str(temporary), "LC_ALL": "C.UTF-8"}

    @property
    def release(self) -> Path:
        """The virtual environment that install.sh made."""
        return (self.root / "opt/edge-fer/current").resolve()

    def run(self, *command: str | Path, may_fail: bool = False, **environment: str) -> tuple[int, str]:
        """Run a program to its end; what it says lies in `out.txt` and `err.txt` until the next one.

        Returns:
            Its exit code, and its standard output.

        Raises:
            SystemExit: when it fails and may not.
        """
        started = time.monotonic()
        out, err = self.folder / "out.txt", self.folder / "err.txt"
        with out.open("w") as stdout, err.open("w") as stderr:
            done = subprocess.run(
                command,
                env={**self.environment, **environment},
                cwd=self.folder,
                check=False,
                stdout=stdout,
                stderr=stderr,
            )
        shown = shlex.join(map(str, command))
        for path in (self.release / "bin", self.folder, CHECKOUT):
            shown = shown.replace(f"{path}/", "")
        print(f"$ {shown}  # exit code {done.returncode}, {time.monotonic() - started:.0f} s", flush=True)
        if done.returncode and not may_fail:
            raise SystemExit(f"NOT as it should be: that failed:\n{out.read_text()}\n{err.read_text()}")
        return done.returncode, out.read_text()

    def pip(self, *arguments: str, **environment: str) -> None:
        """Run pip in the release."""
        self.run(self.release / "bin/python", "-m", "pip", "--quiet", *arguments, **environment)


def debootstrap(folder: Path, suite: str, packages: str, *options: str) -> None:
    """Unpack packages and what they depend on."""
    print(f"# {suite}: {packages}", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={packages}", *options, suite, str(folder)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"NOT as it should be: {shlex.join(command)}\n{done.stdout}")


def install(box: Emulated, wheel: Path, *, old: bool) -> None:
    """As on a board: install.sh, and for the old libraries what `constraints-old.txt` says."""
    constraints = {"PIP_CONSTRAINT": str(CONSTRAINTS)} if old else {}
    box.run(CHECKOUT / "deploy/install.sh", "--root", box.root, "--no-start", wheel, **constraints)
    if old:
        box.pip("install", "tflite-runtime", **constraints)
        box.pip("uninstall", "--yes", "ai-edge-litert")


def libraries(doctor: str) -> str:
    """The interpreter, numpy and OpenCV, as in doctor's JSON."""
    return next(one["found"] for one in json.loads(doctor)["findings"] if "numpy" in one["found"])


def check_commands(box: Emulated, interpreter: str) -> Iterator[str]:
    """The short commands; yields what is wrong, another interpreter than this one included."""
    edge_fer = box.release / "bin/edge-fer"
    print(box.run(edge_fer, "--version")[1].rstrip())
    print(box.run(edge_fer, "models", "verify")[1].rstrip())
    _, doctor = box.run(edge_fer, "doctor", "--json", may_fail=True)
    findings = json.loads(doctor)["findings"]
    for finding in findings:
        print(f"{finding['level']:4}  {finding['subject']:11}  {finding['found']}".replace(str(box.root), ""))
    yield from (f"doctor: {finding['found']}" for finding in findings if finding["level"] == "fail")
    if not (found := libraries(doctor)).startswith(f"{interpreter} "):
        yield f"doctor: expected {interpreter}, found {found}"


def check_readings(box: Emulated, reference: Path, frames: int) -> Iterator[str]:
    """The same command here and there; yields each difference beyond the tolerances."""
    pictures = write_pictures(box.folder / "pictures", frames)
    here = (reference, "-m", "edge_fer")
    doctor = subprocess.run([*here, "doctor", "--json"], check=False, capture_output=True, text=True, cwd=CHECKOUT)
    print(f"compared with x86-64: {libraries(doctor.stdout)}")
    for source in ("sample", str(pictures)):
        command = ["run", "--camera", source, "--max-frames", str(frames), "--format", "json"]
        expected = subprocess.run(
            [*here, *command], cwd=CHECKOUT, check=True, capture_output=True, text=True
        )  # fmt: skip
        _, there = box.run(box.release / "bin/edge-fer", *command)
        found = compare(readings_of(expected.stdout), readings_of(there))
        print(f"{source}: {found}")
        yield from found.beyond


def check_tests(box: Emulated, *, old: bool) -> Iterator[str]:
    """The tests that make sense there, away from the checkout; yields what pytest says when one fails."""
    box.pip("install", "hypothesis", "pytest")
    shutil.copytree(CHECKOUT / "tests", box.folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", box.folder)
    if old:  # the tests' networks are written with ai-edge-litert's schema; its interpreter stays away
        (box.folder / SCHEMA.parent.name).mkdir()
        shutil.copy(SCHEMA, box.folder / SCHEMA.parent.name)
    modules = [f"tests/test_{name}.py" for name in TESTS]
    code, said = box.run(
        box.release / "bin/python", "-m", "pytest", "-q", "--no-header", "-m", "not shared", "-k", LEFT_OUT,
        "--hypothesis-profile=ci", "--durations=5", *modules, may_fail=True,
    )  # fmt: skip
    print(said[said.rfind("\n=") :].strip())
    if code:
        yield f"tests failed: {said.splitlines()[-1]}"


def write_pictures(folder: Path, count: int) -> Path:
    """As many frames of the sample, spread over all of it: other faces than at its start."""
    folder.mkdir()
    video = cv2.VideoCapture(str(CLIP))
    length = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = {round((i + 0.5) * length / count) for i in range(count)}
    for number in range(length):
        read, frame = video.read()
        if read and number in wanted:
            cv2.imwrite(str(folder / f"{number:05}.png"), frame)
    video.release()
    return folder


def prove(name: str, wheel: Path, qemu: Path, options: argparse.Namespace) -> list[str]:
    """Everything in one system; what is wrong."""
    system = SYSTEMS[name]
    print(f"\n## {name}, {system.processor}", flush=True)
    started = time.monotonic()
    box = Emulated(options.work / name, system, qemu)
    install(box, wheel, old=system.old)
    wrong = [*check_commands(box, system.interpreter)]
    wrong += check_readings(box, options.old_python if system.old else Path(sys.executable), options.frames)
    if not options.no_tests:
        wrong += check_tests(box, old=system.old)
    print(f"{name}: {len(wrong)} wrong, {(time.monotonic() - started) / 60:.0f} minutes", flush=True)
    return [f"{name}: {what}" for what in wrong]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=CHECKOUT / "out/aarch64", help="folder for all of it")
    parser.add_argument("--system", action="append", choices=SYSTEMS, help="only this one; may be repeated")
    parser.add_argument("--frames", type=int, default=60, help="of the sample, and pictures, that are compared")
    parser.add_argument("--no-tests", action="store_true", help="leave pytest out")
    parser.add_argument(
        "--old-python", type=Path, default=CHECKOUT / ".venv-old/bin/python",
        help="with the older libraries, on this computer; `make test-old` makes it",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if shutil.which("mmdebstrap") is None:
        parser.error("expected mmdebstrap, found none: apt-get install mmdebstrap")
    options.work = options.work.resolve()
    qemu = options.work / "qemu/usr/bin/qemu-aarch64"
    if not qemu.is_file():
        debootstrap(options.work / "qemu", "trixie", "qemu-user")
    wheels = options.work / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(CHECKOUT)]
    subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
    (wheel,) = wheels.glob("edge_fer-*.whl")
    wrong = [what for name in options.system or SYSTEMS for what in prove(name, wheel, qemu, options)]
    print("\n" + "\n".join(wrong or ["all is well"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
