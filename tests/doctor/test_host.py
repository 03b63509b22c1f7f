"""What the doctor tries in child processes, and what it reads of the box that it runs on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_fer.doctor.host import Host
from edge_fer.doctor.software import INTERPRETERS
from tests.support.fake_edgetpu import FakeEdgeTpu, library, twins


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "net_edgetpu.tflite"
    path.write_bytes(twins()[1])
    return path


def test_a_library_that_works_tells_its_version_and_takes_a_network(tmp_path: Path, network: Path) -> None:
    with FakeEdgeTpu(tmp_path).present() as tpu:
        probe = Host().probe_edgetpu(library(), network)
    assert (probe.version, probe.trouble, probe.crashed) == ("BuildLabel(fake), RuntimeVersion(14)", None, False)
    assert tpu.loads == 1


def test_without_a_network_no_device_is_touched(tmp_path: Path) -> None:
    with FakeEdgeTpu(tmp_path).present() as tpu:
        assert Host().probe_edgetpu(library(), None).version is not None
    assert tpu.loads == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "crashed", "words"),
    [
        ("segfault", True, "was ended by SIGSEGV during `pair`"),
        ("abort", True, "was ended by SIGABRT during `pair`; its last output: F driver/usb/usb_driver.cc"),
        ("hang", True, "no answer to `pair` within 4 s"),
        ("no_device", False, "it finds no device that it can use"),
        ("refuse", False, "the option is bogus"),
    ],
)
def test_a_library_that_fails_says_how(fault: str, crashed: bool, words: str, tmp_path: Path, network: Path) -> None:
    host = Host(edgetpu_s=4.0) if fault == "hang" else Host()
    with FakeEdgeTpu(tmp_path).present() as tpu:
        tpu.fail("load", fault)
        probe = host.probe_edgetpu(library(), network)
    assert probe.crashed is crashed
    assert words in (probe.trouble or "")


def test_a_file_that_is_no_library_or_no_network_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("neither")
    probe = Host().probe_edgetpu(text, None)
    assert probe.version is None
    assert "file too short" in (probe.trouble or "")
    with FakeEdgeTpu(tmp_path).present():
        probe = Host().probe_edgetpu(library(), text)
    assert "it refuses a network" in (probe.trouble or "")


def test_imports_are_tried_in_a_child_process() -> None:
    assert Host().trial_import(["numpy", "cv2"]) is None
    assert "No module named 'no_such_module'" in (Host().trial_import(["no_such_module"]) or "")


def test_the_versions_are_those_of_this_environment() -> None:
    assert any(Host().version(package) for package in INTERPRETERS)
    assert Host().version("no-such-package") is None


def test_programs_answer_with_their_last_line(tmp_path: Path) -> None:
    for name, script in {"good": "echo one; echo two", "bad": "echo why >&2; exit 3", "mute": "exit 4"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    answers = [Host(tmp_path).run(name, timeout_s=10) for name in ("good", "bad", "mute", "absent")]
    assert [answer.ok for answer in answers] == [True, False, False, False]
    assert [answer.text for answer in answers[:3]] == ["two", "why", "exit status 4"]
    assert "No such file" in answers[3].text


def test_who_holds_a_device_is_found_by_its_descriptors(tmp_path: Path) -> None:
    for process, target in (("12", "/dev/video0"), (str(os.getpid()), "/dev/video0"), ("13", "/dev/video1")):
        (tmp_path / "proc" / process / "fd").mkdir(parents=True)
        (tmp_path / "proc" / process / "comm").write_text(f"program{process}\n")
        (tmp_path / "proc" / process / "fd/3").symlink_to(target)
    assert Host(tmp_path).users_of("/dev/video0") == ["program12 (12)"]


def test_files_and_numbers_that_are_not_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("word\0\n")
    assert Host(tmp_path).read("word") == "word"
    assert Host(tmp_path).read("nothing") is None
    assert Host(tmp_path).number("word") == Host(tmp_path).number("nothing") == 0


def test_groups_come_from_the_file_of_groups_too(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("video:x:44:ada,bob\nplugdev:x:46:\n")
    assert Host(tmp_path).members("video") == {"ada", "bob"}
    assert "ada" not in Host(tmp_path).members("plugdev")


def test_this_box_is_read_as_it_is() -> None:
    host = Host()
    assert host.may_open(Path(os.devnull))
    assert host.group_of(Path("/proc/self/status")) in host.groups
    assert host.free_bytes() > 0
