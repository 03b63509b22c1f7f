"""The picamera2 source, with a fake picamera2 in the child's interpreter; `picamera2_virtual.py` runs the real one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_fer.capture.listing import list_cameras, to_text
from edge_fer.capture.sources.open_source import open_source
from edge_fer.errors import SourceError, SourceLost
from tests.capture.sources.test_sources import settings
from tests.support import ROOT

FAKE = ROOT / "tests/support/fake_picamera2"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter that has numpy and the fake, as a Pi's has numpy and picamera2."""
    folder = tmp_path_factory.mktemp("system")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "fake.pth").write_text(f"{FAKE}\n{Path(np.__file__).parents[1]}\n")
    return folder / "bin/python"


@pytest.fixture
def camera(python, monkeypatch):
    """Opens the fake camera, and closes it in the end."""
    opened = []

    def open_it(source="picamera2", setup=None, **asked):
        monkeypatch.setenv("FAKE_PICAMERA2", json.dumps(setup or {}))
        asked = {"width": 100, "height": 80, **asked}
        opened.append(open_source(settings(source, python=str(python), **asked)))
        return opened[-1]

    yield open_it
    for source in opened:
        source.close()


def test_contract(camera):
    before = time.monotonic_ns()
    source = camera()
    frames = [source.read() for _ in range(20)]
    assert [image.shape for image, *_ in frames] == [(80, 100, 3)] * 20
    assert [int(image[3, 3, 1]) for image, *_ in frames] == list(range(20)), (
        "more than there are buffers: all came back"
    )
    assert all(image.dtype == np.uint8 and image.flags.c_contiguous for image, *_ in frames)
    stamps = [captured_ns for _, captured_ns, *_ in frames]
    assert before < stamps[0]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= time.monotonic_ns()
    assert not np.shares_memory(frames[0][0], frames[1][0])
    assert (source.name, source.live, source.fps, source.skipped) == ("picamera2", True, None, 0)
    source.close()
    source.close()


def test_the_stamp_is_the_sensor_s_on_our_clock(camera):
    age_ns = 123_000_000
    source = camera(setup={"stamp_age_ns": age_ns})
    before = time.monotonic_ns()
    source.read()  # the first one was taken while it opened
    captured_ns = source.read()[1]
    assert before - age_ns <= captured_ns <= time.monotonic_ns() - age_ns


@pytest.mark.parametrize("age_ns", [10**10, -(10**9)])
def test_a_stamp_that_cannot_be_is_not_believed(camera, age_ns):
    before = time.monotonic_ns()
    assert before < camera(setup={"stamp_age_ns": age_ns}).read()[1] <= time.monotonic_ns()


@pytest.mark.parametrize("pixel_format", ["RGB888", "BGR888", "XRGB8888", "NV12"])
def test_padded_rows_of_every_format_arrive_in_their_place(camera, pixel_format):
    image, *_ = camera(setup={"formats": [pixel_format], "split": True}).read()
    assert image.shape == (80, 100, 3)
    left, right = image[:, :48], image[:, 52:]
    assert left.std(axis=(0, 1)).max() == right.std(axis=(0, 1)).max() == 0
    assert int(right[0, 0, 1]) > 100 > int(left[0, 0, 0])


def test_what_the_settings_ask_reaches_the_camera(camera, tmp_path):
    note = tmp_path / "note"
    source = camera(
        setup={"note": str(note)}, fps=30, hflip=True, exposure_ms=5, gain=2.5, focus=1, controls={"AnalogueGain": 3.0}
    )
    assert source.fps == 30
    assert note.read_text() == (
        "configured RGB888 True False {'ExposureTime': 5000, 'AnalogueGain': 3.0, 'AfMode': 0, 'LensPosition': 1.0, "
        "'FrameDurationLimits': (33333, 33333)}\n"
    )


@pytest.mark.parametrize("mirrors", [True, False])
def test_what_a_camera_cannot_mirror_is_mirrored_here(camera, mirrors):
    source = camera(setup={"mirrors": mirrors, "split": True}, hflip=True)
    image, *_ = source.read()
    assert (int(image[0, 0, 0]), int(image[0, -1, 0])) == ((0, 200) if mirrors else (200, 0)), "the fake never mirrors"


def test_with_a_dma_heap_buffers_come_from_there(camera, monkeypatch):
    monkeypatch.setenv("FAKE_PICAMERA2_HEAP", "/dev/null")
    assert camera().read() is not None


@pytest.mark.parametrize(
    ("source", "setup", "asked", "expected"),
    [
        ("picamera2:2", {}, {}, "to open picamera2:2, found: No camera number 2 found"),
        ("picamera2", {"busy": True}, {}, "found: Failed to acquire camera: Device or resource busy; see"),
        ("picamera2", {}, {"controls": {"Zoom": 2}}, "it has no control Zoom, but AfMode, AnalogueGain, "),
        ("picamera2", {}, {"format": "YUV420"}, "it has no format YUV420; the nearest is NV12"),
        ("picamera2", {"formats": ["MJPEG"]}, {}, "it gives MJPEG, which we cannot read, but for RGB888, "),
        ("picamera2", {}, {"width": 101}, "width and height should be even"),
    ],
)
def test_what_cannot_be_is_one_line(camera, source, setup, asked, expected):
    with pytest.raises(SourceError, match=expected) as caught:
        camera(source, setup, **asked)
    assert not isinstance(caught.value, SourceLost)
    assert len(str(caught.value).splitlines()) == 1


def test_without_picamera2_the_message_says_what_to_install():
    with pytest.raises(SourceError, match=r"No module named .*sudo apt install python3-picamera2"):
        open_source(settings("picamera2", python=sys.executable))


def test_without_that_interpreter_the_message_names_it():
    with pytest.raises(SourceError, match=r"cannot start a child process with /no/python3"):
        open_source(settings("picamera2", python="/no/python3"))


def test_a_camera_that_hangs_is_lost(camera):
    source = camera(setup={"hang_at": 2}, read_timeout_s=0.5)
    source.read()
    source.read()
    with pytest.raises(SourceLost, match=r"picamera2 gave no frame for 0\.5 s"):
        source.read()


# Listing


def test_cameras_of_picamera2_are_listed(python, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_PICAMERA2", json.dumps({"cameras": 2}))
    first, second = list_cameras(str(python), tmp_path)
    assert first["sources"] == ["picamera2", "picamera2:0"]
    assert second["sources"] == ["picamera2:1"]
    assert first["modes"] == [{"format": "SRGGB10_CSI2P", "size": [1536, 864], "fps": 120.13}]
    text = to_text([first, second])
    assert text.startswith("imx708 (/base/soc/i2c0mux/imx708@0)\n  --camera picamera2\n  --camera picamera2:0\n")
    assert "  sensor   SRGGB10_CSI2P 1536x864 at 120.13\n" in text
    assert "  LensPosition: 0.0 to 32.0 (1.0)" in text


def test_a_busy_camera_is_listed_with_the_reason(python, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_PICAMERA2", json.dumps({"busy": True}))
    (found,) = list_cameras(str(python), tmp_path)
    assert found["error"] == "Failed to acquire camera: Device or resource busy"
    assert "cannot be opened: Failed to acquire" in to_text([found])


def test_without_picamera2_none_is_listed(tmp_path):
    assert list_cameras(sys.executable, tmp_path) == []
    assert list_cameras("/no/python3", tmp_path) == []
    assert to_text([]).startswith("no camera: plug one in")


def test_an_installation_that_is_broken_is_said(tmp_path):
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 7\n")
    python.chmod(0o755)
    (found,) = list_cameras(str(python), tmp_path)
    assert found["sources"] == ["picamera2"]
    assert "exited with status 7" in found["error"]


def test_the_child_needs_nothing_of_ours():
    text = (Path(open_source.__code__.co_filename).with_name("picamera2_child.py")).read_text()
    imports = {line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imports - {"picamera2", "libcamera"} <= set(sys.stdlib_module_names)
