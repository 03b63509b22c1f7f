"""Boxes written down in `data/trees`, each with one fault at a time, and what the doctor says of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_fer.doctor import examine, exit_code
from edge_fer.doctor.finding import Finding, fail, ok, warn
from edge_fer.doctor.library import pairs
from edge_fer.doctor.report import to_json, to_text
from edge_fer.inference.model_store import MANIFEST
from edge_fer.settings import Settings
from tests.support.trees import lay_out

HEALTHY = ("pi4_stick", "pi5_card", "dev_board", "computer")
STICK, CARD, ZONE = "sys/bus/usb/devices/2-1", "sys/class/apex/apex_0", "sys/class/thermal/thermal_zone0"
VCGENCMD, PYTHON = "usr/bin/vcgencmd", "usr/bin/python3"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one network, and its like for the Edge TPU."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "net.tflite").write_bytes(b"a network")
    (folder / "net_edgetpu.tflite").write_bytes(b"a compiled network")
    entry = {
        "task": "refine",
        "file": "net.tflite",
        "sha256": hashlib.sha256(b"a network").hexdigest(),
        "edgetpu": {
            "file": "net_edgetpu.tflite",
            "sha256": hashlib.sha256(b"a compiled network").hexdigest(),
            "compiler": "none",
        },
        "input": {"size": 24, "colour": "rgb", "mean": 0.5, "std": 0.5},
        "quantization": "float32",
        "source": "made for this test",
        "licence": "MIT",
        "card": "net.md",
    }
    (folder / MANIFEST).write_text(yaml.safe_dump({"schema": "edge-fer/models/1", "models": {"net": entry}}))
    return folder


def troubles(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


def flags(bits: str) -> dict[str, Any]:
    return {"programs": {VCGENCMD: f"echo throttled={bits}"}}


def facts(**changed: Any) -> dict[str, Any]:
    return {"host": changed}


def file(folder: str, **changed: str | None) -> dict[str, Any]:
    return {"files": {folder: changed}}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_box_has_no_fault(name: str, tmp_path: Path, models: Path) -> None:
    findings = examine(lay_out(name, tmp_path / "box", {}), Settings(models=models))
    assert troubles(findings) == []
    assert exit_code(findings) == 0


# Box, what is changed, and all faults that are found: subject, level, words of what was found, words of what to type.
FAULTS = {
    "stick at USB 2": (
        "pi4_stick", file(STICK, speed="480"), [("accelerator", "warn", "480 Mbit/s", "blue USB 3 port")]),
    "stick of another's group": (
        "pi4_stick", {"host": {"groups": ["pi", "video"]}, "files": {"etc": {"group": "plugdev:x:46:ann,bob"}}},
        [("accelerator", "fail", "pi may not open /dev/bus/usb/002/003", "usermod -aG plugdev pi")]),
    "stick of a group that this session is not in yet": (
        "pi4_stick", facts(groups=["pi", "video"]),
        [("accelerator", "fail", "pi may not open", "log out and in again: pi is in the group plugdev")]),
    "stick without a rule": (
        "pi4_stick", {"devices": {"dev/bus/usb/002/003": "root"}},
        [("accelerator", "fail", "pi may not open", 'GROUP="plugdev"')]),
    "stick outside the container": (
        "pi4_stick", {"devices": {"dev/bus/usb/002/003": None}},
        [("accelerator", "fail", "/dev/bus/usb/002/003 is missing", "--device /dev/bus/usb/002/003")]),
    "dead card": ("dev_board", file(CARD, status="DEAD"), [("accelerator", "fail", "apex_0 is DEAD", "power supply")]),
    "lamed card": ("pi5_card", file(CARD, status="LAMED"), [("accelerator", "fail", "apex_0 is LAMED", "off and on")]),
    "silent card": ("pi5_card", file(CARD, status=None), [("accelerator", "fail", "apex_0 is silent", "off and on")]),
    "card without a rule": (
        "dev_board", {"devices": {"dev/apex_0": "root"}},
        [("accelerator", "fail", "mendel may not open /dev/apex_0", 'SUBSYSTEM=="apex"')]),
    "card without its driver": (
        "pi5_card", {"files": {CARD: None}},
        [("accelerator", "fail", "PCIe 0000:01:00.0 without its driver", "gasket")]),
    "hot card": ("dev_board", file(CARD, temp="86000"), [("box", "warn", "apex_0 is at 86.0 °C", "fan")]),
    "card at its last trip point": (
        "dev_board", file(CARD, temp="95000"), [("box", "fail", "its last trip point is 95 °C", "fan")]),
    "hot processor": ("dev_board", file(ZONE, temp="80000"), [("box", "warn", "0:cpu-thermal is at 80.0 °C", "fan")]),
    "no library": (
        "pi4_stick", {"files": {"usr/lib/aarch64-linux-gnu": None}},
        [("library", "fail", "no libedgetpu.so.1", "feranick/libedgetpu")]),
    "Google's library with a newer interpreter": (
        "dev_board", facts(packages={"tflite-runtime": "2.14.0"}),
        [("library", "fail", "16.0) is Google's build, which crashes with tflite-runtime 2.14.0", "16.0TF2.19.1-1")]),
    "library that crashes": (
        "pi4_stick", {"edgetpu": {"trouble": "was ended by SIGSEGV", "crashed": True}},
        [("library", "fail", "does not pair with ai-edge-litert 2.3.0: was ended by SIGSEGV", "feranick")]),
    "library that finds no device": (
        "pi4_stick", {"edgetpu": {"trouble": "it finds no device that it can use"}},
        [("library", "fail", "it finds no device", "unplug")]),
    "library that cannot be loaded": (
        "pi4_stick", {"edgetpu": {"version": None, "trouble": "invalid ELF header"}},
        [("library", "fail", "cannot be loaded: invalid ELF header", "feranick")]),
    "camera without group": (
        "pi4_stick", {"host": {"groups": ["pi", "plugdev"]}, "files": {"etc": {"group": "video:x:44:"}}},
        [("cameras", "fail", "HD Pro Webcam C920, which pi may not open", "usermod -aG video pi")]),
    "camera that another holds": (
        "pi4_stick", {"links": {"proc/812/fd/7": "/dev/video0"}}, [("cameras", "warn", "held by motion (812)", "end")]),
    "camera outside the container": (
        "dev_board", {"devices": {"dev/video0": None}},
        [("cameras", "fail", "device is missing", "--device /dev/video0")]),
    "no picamera2": (
        "pi5_card", {"programs": {PYTHON: "echo \"ModuleNotFoundError: No module named 'picamera2'\" >&2; exit 1"}},
        [("cameras", "fail", "no picamera2 for /usr/bin/python3", "apt install python3-picamera2")]),
    "picamera2 beside a foreign numpy": (
        "pi5_card", {"programs": {PYTHON: "echo 'ValueError: numpy.dtype size changed' >&2; exit 1"}},
        [("cameras", "fail", "numpy.dtype size changed", "pip uninstall")]),
    "under-voltage now": (
        "pi4_stick", flags("0x50005"),
        [("box", "fail", "the voltage is too low, now", "power supply"), ("box", "warn", "throttled, now", "fan")]),
    "under-voltage since the start": (
        "pi4_stick", flags("0x10000"), [("box", "warn", "voltage is too low: not now", "power supply")]),
    "under-voltage by the kernel's monitor": (
        "pi5_card", file("sys/class/hwmon/hwmon1", in0_lcrit_alarm="1"),
        [("box", "fail", "the voltage is too low, now", "5 V 5 A")]),
    "capped at the soft limit": (
        "pi4_stick", flags("0xa"),
        [("box", "warn", "clock is capped, now", "fan"), ("box", "warn", "soft temperature limit", "fan")]),
    "firmware that does not answer": (
        "pi4_stick", {"programs": {VCGENCMD: "echo \"Can't open device file: /dev/vcio\" >&2; exit 255"}},
        [("box", "warn", "Can't open device file: /dev/vcio", "usermod -aG video pi")]),
    "no vcgencmd": ("pi4_stick", {"programs": {VCGENCMD: None}}, [("box", "warn", "no vcgencmd", "raspi-utils-core")]),
    "slow governor": (
        "dev_board", file("sys/devices/system/cpu/cpu0/cpufreq", scaling_governor="powersave"),
        [("box", "warn", "`powersave`", "echo schedutil")]),
    "little memory": (
        "dev_board", file("proc", meminfo="MemTotal: 1000000 kB\nMemAvailable: 200000 kB"),
        [("box", "warn", "195 of 976 MB", "end other programs")]),
    "full disk": ("computer", facts(free_gb=0.1), [("box", "warn", "100 MB of disk", "apt clean")]),
    "clock": ("computer", facts(clock_synced=False), [("box", "warn", "set from no reference", "set-ntp")]),
    "numpy 2 with tflite-runtime": (
        "dev_board", facts(packages={"numpy": "2.2.6"}),
        [("software", "fail", "tflite-runtime needs numpy 1", "numpy<2")]),
    "no interpreter": (
        "computer", facts(packages={"ai-edge-litert": None}),
        [("software", "fail", "neither ai-edge-litert nor tflite-runtime", "pip install ai-edge-litert")]),
    "no interpreter on 32 bits": (
        "computer", facts(machine="armv7l", python=[3, 11], packages={"ai-edge-litert": None}),
        [("software", "fail", "no interpreter", "pip install tflite-runtime && pip install 'numpy<2'")]),
    "no interpreter for a new Python on 32 bits": (
        "computer", facts(machine="armv7l", packages={"ai-edge-litert": None}),
        [("software", "fail", "no interpreter", "64-bit system")]),
    "old Python": (
        "dev_board", facts(python=[3, 7]), [("software", "fail", "Python 3.7, and edge-fer needs 3.10", "newer")]),
    "interpreter that cannot be imported": (
        "computer", facts(import_error="ImportError: libGL.so.1"),
        [("software", "fail", "libGL.so.1", "--force-reinstall")]),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_nothing_else(fault: str, tmp_path: Path, models: Path) -> None:
    name, changes, expected = FAULTS[fault]
    findings = examine(lay_out(name, tmp_path / "box", changes), Settings(models=models))
    found = troubles(findings)
    assert [(finding.subject, finding.level) for finding in found] == [each[:2] for each in expected]
    for finding, (_, _, words, mend) in zip(found, expected, strict=True):
        assert words in finding.found
        assert finding.mend is not None
        assert mend in finding.mend
        assert "\n" not in finding.found + finding.mend
    assert exit_code(findings) == (2 if any(level == "fail" for _, level, *_ in expected) else 1)


def test_a_box_with_many_faults_names_them_all(tmp_path: Path, models: Path) -> None:
    found = troubles(examine(lay_out("broken_stick", tmp_path / "box"), Settings(models=models)))
    words = " | ".join(finding.found for finding in found)
    for expected in ("not used yet, 480 Mbit/s", "may not open /dev/bus/usb/001/004", "Google's build", "may not open",
                     "voltage is too low, now", "throttled, now", "soft temperature limit", "MB of memory",
                     "200 MB of disk", "no reference"):  # fmt: skip
        assert expected in words


@pytest.mark.parametrize(
    ("damage", "found", "mend"),
    [
        (lambda folder: (folder / "net.tflite").write_bytes(b"a netw0rk"), "(9 bytes)", "repair that folder"),
        (lambda folder: (folder / "net.tflite").unlink(), "No such file", "repair that folder"),
        (lambda folder: (folder / MANIFEST).unlink(), "expected the model manifest", "repair that folder"),
    ],
)
def test_a_broken_network_is_named(damage: Any, found: str, mend: str, tmp_path: Path, models: Path) -> None:
    damage(models)
    (finding,) = troubles(examine(lay_out("computer", tmp_path / "box"), Settings(models=models)))
    assert (finding.subject, finding.level) == ("models", "fail")
    assert found in finding.found
    assert mend in (finding.mend or "")


def test_a_compiled_network_that_was_changed_is_found(tmp_path: Path, models: Path) -> None:
    (models / "net_edgetpu.tflite").write_bytes(b"junk")
    (finding,) = troubles(examine(lay_out("computer", tmp_path / "box"), Settings(models=models)))
    assert (finding.subject, finding.level) == ("models", "fail")
    assert "net_edgetpu.tflite" in finding.found


def test_without_a_compiled_network_it_says_how_to_get_one(tmp_path: Path, models: Path) -> None:
    manifest = yaml.safe_load((models / MANIFEST).read_text())
    del manifest["models"]["net"]["edgetpu"]  # the file alone is nothing that the runtime would use
    (models / MANIFEST).write_text(yaml.safe_dump(manifest))
    (finding,) = troubles(examine(lay_out("pi4_stick", tmp_path / "box"), Settings(models=models)))
    assert finding.level == "warn"
    assert "deploy/compile_edgetpu.sh" in (finding.mend or "")


def test_the_library_is_tried_with_a_device_that_is_free_and_only_then(tmp_path: Path, models: Path) -> None:
    free = lay_out("dev_board", tmp_path / "free")
    held = lay_out("dev_board", tmp_path / "held", {"links": {"proc/77/fd/9": "/dev/apex_0"}})
    assert not troubles(examine(free, Settings(models=models)))
    assert free.tried == [models / "net_edgetpu.tflite"]
    assert any("in use by edge-fer (77)" in finding.found for finding in examine(held, Settings(models=models)))
    assert held.tried == [None]


@pytest.mark.parametrize(
    ("package", "interpreter", "version", "expected"),
    [
        ("16.0", "tflite-runtime", "2.5.0.post1", True),
        ("16.0", "tflite-runtime", "2.11.1", True),
        ("16.0", "tflite-runtime", "2.12.0", False),
        ("16.0", "ai-edge-litert", "1.4.0", False),
        ("16.0tf2.19.1-1.bookworm", "ai-edge-litert", "2.3.0", True),
        ("16.0TF2.13.1-1", "tflite-runtime", "2.14.0", True),
    ],
)
def test_which_library_pairs_with_which_interpreter(
    package: str, interpreter: str, version: str, expected: bool
) -> None:
    assert pairs(package, interpreter, version) is expected


@pytest.mark.parametrize(("findings", "code"), [((), 0), ((ok("a"),), 0), ((ok("a"), warn("b", "c")), 1),
                                                ((fail("a", "b"), warn("c", "d")), 2)])  # fmt: skip
def test_the_worst_finding_is_the_exit_code(findings: tuple[Finding, ...], code: int) -> None:
    assert exit_code(findings) == code
    assert json.loads(to_json(findings))["worst"] == ("ok", "warn", "fail")[code]


def test_text_has_what_to_type_below_each_fault() -> None:
    text = to_text((Finding("ok", "fine", None, "box"), Finding("fail", "broken", "type this", "cameras")))
    assert text.splitlines() == [
        "ok    box          fine",
        "fail  cameras      broken",
        "                   -> type this",
        "1 ok, 0 warn, 1 fail",
    ]


@pytest.mark.slow
def test_the_command_reads_another_root_and_prints_json(tmp_path: Path) -> None:
    lay_out("pi4_stick", tmp_path, file(STICK, speed="480"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_FER_")}
    done = subprocess.run(
        [sys.executable, "-m", "edge_fer", "doctor", "--json", "--root", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert done.returncode == 2, done.stderr  # the library of the tree is none
    assert (report["schema"], report["worst"]) == ("edge-fer/doctor/1", "fail")
    found = {finding["found"]: finding for finding in report["findings"]}
    assert any("480 Mbit/s" in words and finding["level"] == "warn" for words, finding in found.items())
    assert any("cannot be loaded" in words and finding["subject"] == "library" for words, finding in found.items())
