"""V4L2 cameras: what a driver is asked, what is chosen of its answers, and the child process that reads."""

from __future__ import annotations

import ctypes
import errno
import json
import select
import subprocess
import sys
import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge_fer.capture import listing
from edge_fer.capture.sources.v4l2 import child as v4l2_child
from edge_fer.capture.sources.v4l2 import source as v4l2
from edge_fer.capture.sources.v4l2.abi import FormatStructure
from edge_fer.capture.sources.v4l2.buffers import Stream
from edge_fer.capture.sources.v4l2.child import Camera, Listing
from edge_fer.capture.sources.v4l2.device import Control, Device, Format, Mode, Size
from edge_fer.capture.sources.v4l2.mode import READABLE, USB2_BYTES_S, bus_bytes_s, choose, set_controls
from edge_fer.cli.app import app
from edge_fer.errors import ConfigError
from tests.capture.sources.test_sources import Plain, settings
from tests.support.child_camera import HERE
from tests.support.fake_v4l2 import (
    BROKEN,
    DQBUF,
    ENUM_FMT,
    G_PARM,
    MONOTONIC,
    QUERYCAP,
    REQBUFS,
    S_CTRL,
    S_FMT,
    S_PARM,
    FakeDriver,
)

pytestmark = pytest.mark.skipif(ctypes.sizeof(FormatStructure) != 208, reason="the fake driver is a 64-bit one")


@pytest.fixture
def node(tmp_path):
    """A file in the place of a device node: only ioctls tell the difference."""
    path = tmp_path / "video0"
    path.touch()
    return str(path)


# The driver's answers


def test_a_device_says_what_it_is_and_what_it_gives(node):
    with Device(node, FakeDriver()) as device:
        assert (device.name, device.driver, device.bus) == ("USB Camera", "uvcvideo", "usb-0000:00:14.0-1")
        assert device.formats() == (
            Format("YUYV", (Size(640, 480, rates=(30.0, 15.0)), Size(1280, 720, rates=(10.0,)))),
            Format("MJPG", (Size(640, 480, rates=(30.0,)), Size(1280, 720, rates=(30.0,)),
                            Size(1920, 1080, rates=(30.0,)))),
            Format("H264", (Size(1920, 1080, rates=(30.0,)),)),
        )  # fmt: skip
        assert device.mode() == Mode("YUYV", 640, 480, stride=1280)
        assert device.set_mode(Mode("MJPG", 1280, 720)) == Mode("MJPG", 1280, 720)


def test_sizes_and_rates_may_be_ranges(node):
    sizes = [((32, 3280, 2, 32, 2464, 4), [(1, 90, 1, 1, 1, 1)])]
    with Device(node, FakeDriver([(b"YU12", sizes)])) as device:
        assert device.formats() == (Format("YU12", (Size(3280, 2464, (32, 32), (2, 4), (90.0, 1.0)),)),)


def test_formats_of_big_endian_pixels_keep_their_name(node):
    with Device(node, FakeDriver([(b"Y16\xa0", [])])) as device:
        assert device.formats()[0].name == "Y16-BE"
        assert device.set_mode(Mode("Y16-BE", 64, 48)) == Mode("Y16-BE", 64, 48, stride=128)
        assert device.set_mode(Mode("Y16", 64, 48)) == Mode("Y16", 64, 48, stride=128)


def test_controls_are_those_that_a_number_sets(node):
    with Device(node, FakeDriver()) as device:
        controls = device.controls()
    assert [one.name for one in controls] == [
        "brightness", "white_balance_automatic", "gain", "power_line_frequency", "auto_exposure",
        "exposure_time_absolute",
    ]  # fmt: skip
    assert controls[0] == Control("brightness", 0x00980900, "integer", -64, 64, 1, 0)
    assert [one.kind for one in controls[1:4]] == ["boolean", "integer", "menu"]


@pytest.mark.parametrize("capabilities", [(0x00000002, 0), (0x84000001, 0x00800000), (0x00000001, 0)])
def test_a_node_that_gives_no_pictures_is_refused(node, capabilities):
    with pytest.raises(OSError, match="it takes no pictures that can be read"):
        Device(node, FakeDriver(capabilities=capabilities))


def test_a_node_s_own_capabilities_count(node):
    Device(node, FakeDriver(capabilities=(0x84200001, 0x04200001))).close()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EBUSY, "^another program reads from it$"),
        (errno.ENODEV, "^it was unplugged$"),
        (errno.ENOTTY, "^it is no camera that V4L2 knows$"),
        (errno.EIO, "^Made to fail$"),
    ],
)
def test_what_the_kernel_refuses_is_said_in_words(node, code, reason):
    with Device(node, FakeDriver(failing={S_FMT: code, ENUM_FMT: errno.EIO})) as device:
        with pytest.raises(OSError, match=reason):
            device.set_mode(Mode("YUYV", 640, 480))
        with pytest.raises(OSError, match="Made to fail"):
            device.formats()
    with pytest.raises(OSError, match=reason):
        Device(node, FakeDriver(failing={QUERYCAP: code}))


def test_a_missing_node_says_so(tmp_path):
    with pytest.raises(OSError, match=r"^No such file or directory$"):
        Device(str(tmp_path / "video9"), FakeDriver())


def test_a_driver_without_lists_has_none(node):
    driver = FakeDriver(failing={ENUM_FMT: errno.ENOTTY}, controls=())
    with Device(node, driver) as device:
        assert device.formats() == ()
        assert device.controls() == ()


# What is chosen


FORMATS = (
    Format("YUYV", (Size(640, 480, rates=(30.0,)), Size(1280, 720, rates=(30.0, 10.0)))),
    Format("MJPG", (Size(640, 480, rates=(30.0,)), Size(1280, 720, rates=(60.0,)), Size(1920, 1080, rates=(30.0,)))),
    Format("H264", (Size(3840, 2160, rates=(30.0,)),)),
)
NOW = Mode("YUYV", 640, 480)


@pytest.mark.parametrize(
    ("requested", "bus", "expected"),
    [
        ({}, USB2_BYTES_S, Mode("YUYV", 640, 480)),  # 18.4 MB/s
        ({"width": 1280, "height": 720}, USB2_BYTES_S, Mode("MJPG", 1280, 720)),  # 55 MB/s would not fit
        ({"width": 1280, "height": 720}, None, Mode("YUYV", 1280, 720)),
        ({"width": 1280, "height": 720, "fps": 60.0}, None, Mode("MJPG", 1280, 720)),  # raw has no such rate
        ({"width": 1280, "height": 720, "fps": 10.0}, USB2_BYTES_S, Mode("YUYV", 1280, 720)),
        ({"width": 1280, "height": 720, "format": "YUYV"}, USB2_BYTES_S, Mode("YUYV", 1280, 720)),
        ({"height": 480, "fps": 60.0}, USB2_BYTES_S, Mode("YUYV", 640, 480)),
        ({"width": 1920}, USB2_BYTES_S, Mode("MJPG", 1920, 1080)),
        ({"format": "MJPG"}, None, Mode("MJPG", 640, 480)),
    ],
)
def test_the_mode_is_the_one_that_brings_the_rate_and_raw_where_it_can(requested, bus, expected):
    requested = {"format": None, "width": None, "height": None, "fps": None, **requested}
    mode = requested.pop("format")
    assert choose(FORMATS, NOW, mode, **requested, bus_bytes_s=bus) == expected


def test_a_size_within_a_range_is_one_of_it():
    formats = [Format("YU12", (Size(3280, 2464, (32, 32), (2, 4)),))]
    assert choose(formats, NOW, None, 640, 480, None, None) == Mode("YU12", 640, 480)
    assert choose(formats, NOW, None, None, None, None, None) == Mode("YU12", 640, 480)
    with pytest.raises(OSError, match=r"it gives no picture of 640x482, but 32x32 to 3280x2464"):
        choose(formats, NOW, None, 640, 482, None, None)


def test_a_camera_whose_present_size_is_not_listed_gives_its_largest():
    assert choose(FORMATS[:1], Mode("YUYV", 1, 1), None, None, None, 10.0, None) == Mode("YUYV", 1280, 720)


@pytest.mark.parametrize(
    ("mode", "width", "expected"),
    [
        ("NV12", None, r"^it has no format NV12, but YUYV, MJPG$"),
        ("H264", None, r"^it has no format H264, but YUYV, MJPG$"),
        ("YUYV", 1920, r"^it gives no picture of 1920xany, but 640x480, 1280x720$"),
        (None, 800, r"^it gives no picture of 800xany, but 640x480, 1280x720, 1920x1080$"),
    ],
)
def test_what_a_camera_has_not_is_refused_with_what_it_has(mode, width, expected):
    with pytest.raises(OSError, match=expected):
        choose(FORMATS, NOW, mode, width, None, None, None)


def test_a_camera_of_unreadable_formats_says_which():
    with pytest.raises(OSError, match="it has no format that we can read, but H264"):
        choose(FORMATS[2:], NOW, None, None, None, None, None)


SIDES = st.integers(2, 4000)
SIZES = st.builds(lambda width, height, rate: Size(width, height, rates=(rate,)), SIDES, SIDES, st.floats(1, 240))
OFFERED = st.builds(Format, st.sampled_from(sorted(READABLE)), st.lists(SIZES, min_size=1, max_size=5).map(tuple))


@examples(deadline=None)
@given(st.lists(OFFERED, min_size=1, max_size=5), st.floats(1, 240), st.none() | st.floats(1e6, 1e9))
def test_whatever_a_camera_offers_the_choice_is_one_of_it(formats, fps, bus):
    mode = choose(formats, NOW, None, None, None, fps, bus)
    assert any(
        one.name == mode.format and (mode.width, mode.height) in {(size.width, size.height) for size in one.sizes}
        for one in formats
    )


@pytest.mark.parametrize(("speed", "expected"), [("480\n", USB2_BYTES_S), ("5000\n", None), ("?", None), (None, None)])
def test_what_a_bus_carries_is_told_by_sysfs(node, tmp_path, speed, expected):
    with Device(node, FakeDriver()) as device:
        interface = tmp_path / "usb1/1-1/1-1:1.0"
        interface.mkdir(parents=True)
        if speed:
            (interface.parent / "speed").write_text(speed)
        link = tmp_path / "dev/char" / device.number
        link.mkdir(parents=True)
        (link / "device").symlink_to(interface)
        assert bus_bytes_s(device, tmp_path) == expected


# Controls


def test_values_switch_the_automatic_off_first(node):
    driver = FakeDriver()
    with Device(node, driver) as device:
        set_controls(
            device, {"exposure": 100.4, "gain": 7, "focus": None}, {"brightness": -3, "power_line_frequency": 2}
        )
    assert list(driver.set.items()) == [
        (0x009A0901, 1), (0x009A0902, 100), (0x00980913, 7), (0x00980900, -3), (0x00980918, 2),
    ]  # fmt: skip


def test_what_is_not_asked_is_left_alone(node):
    driver = FakeDriver()
    with Device(node, driver) as device:
        set_controls(device, {"exposure": None, "gain": None, "focus": None}, {})
    assert driver.set == {}


@pytest.mark.parametrize(
    ("requested", "others", "expected"),
    [
        ({"focus": 3.0}, {}, r"its focus cannot be set; leave capture\.focus at null"),
        ({"gain": 300.0}, {}, "gain takes 0 to 100, not 300"),
        ({}, {"zoom": 1}, "it has no control zoom, but auto_exposure, brightness"),
    ],
)
def test_controls_that_cannot_be_are_refused(node, requested, others, expected):
    with Device(node, FakeDriver()) as device, pytest.raises(OSError, match=expected):
        set_controls(device, requested, others)


def test_a_value_that_the_driver_refuses_is_named(node):
    with (
        Device(node, FakeDriver(failing={S_CTRL: errno.EIO})) as device,
        pytest.raises(OSError, match=r"^it refuses brightness 3: Made to fail$"),
    ):
        set_controls(device, {}, {"brightness": 3})


# Streaming


@pytest.fixture
def stream(node):
    """A stream of the fake driver, and that driver."""
    driver = FakeDriver()
    with Device(node, driver) as device:
        yield Stream(device, 25.0), driver


def read(stream):
    taken = []
    return stream.read(lambda content: taken.append(bytes(content))), taken


def test_a_picture_is_read_from_the_driver_s_buffer_and_that_is_given_back(stream):
    stream, driver = stream
    assert driver.streaming
    assert (driver.rate, stream.fps) == ((1000, 25000), 25.0)
    before = time.monotonic_ns()
    driver.show(b"first picture", age_ns=50_000_000)
    (size, captured_ns), taken = read(stream)
    assert taken == [b"first picture"]
    assert size == 13
    assert 0 <= captured_ns - (before - 50_000_000) < 5_000_000_000
    assert sorted(driver.given) == [0, 1, 2, 3]


def test_of_several_pictures_the_newest_is_read(node):
    driver = FakeDriver()
    with Device(node, driver) as device:
        stream = Stream(device)
        for content in (b"old", b"older", b"newest"):
            driver.show(content)
        assert read(stream)[1] == [b"newest"]
        assert sorted(driver.given) == [0, 1, 2, 3]


def test_a_picture_that_the_driver_lost_a_part_of_is_left_out(stream):
    stream, driver = stream
    driver.show(b"half", flags=MONOTONIC | BROKEN)
    driver.show(b"")
    driver.show(b"whole")
    assert read(stream)[1] == [b"whole"]
    assert sorted(driver.given) == [0, 1, 2, 3]


@pytest.mark.parametrize(("flags", "age_ns"), [(0, 1000), (0x4000, 1000), (MONOTONIC, 10**10), (MONOTONIC, -(10**9))])
def test_a_stamp_of_another_clock_is_not_believed(stream, flags, age_ns):
    stream, driver = stream
    driver.show(b"picture", flags, age_ns)
    before = time.monotonic_ns()
    assert before <= read(stream)[0].captured_ns <= time.monotonic_ns()


def test_a_driver_without_a_rate_has_none(node):
    with Device(node, FakeDriver(failing={G_PARM: errno.ENOTTY})) as device:
        assert Stream(device).fps is None


def test_a_device_that_is_unplugged_says_so(node):
    driver = FakeDriver(failing={DQBUF: errno.ENODEV})
    with Device(node, driver) as device, pytest.raises(OSError, match=r"^it was unplugged$"):
        read(Stream(device))


def test_a_device_that_hangs_up_gives_no_more(stream, monkeypatch):
    stream, _ = stream
    monkeypatch.setattr(stream, "_poller", FakePoller())
    with pytest.raises(OSError, match="it gives no more frames"):
        read(stream)


class FakePoller:
    def poll(self):
        return [(0, select.POLLERR)]


# The child process


@pytest.fixture
def open_camera(node, monkeypatch):
    """Opens a camera of the fake driver in this process; it shows `content` whenever a picture is wanted."""

    def open_it(driver=None, content=b"picture", fps=None, memory=None, **requested):
        driver = driver or FakeDriver()
        driver.on_empty = lambda: driver.show(content)
        monkeypatch.setattr(v4l2_child, "Device", partial(Device, ioctl=driver))
        asked = {"pixel_format": None, "width": None, "height": None, "requested": {}, "controls": {}, **requested}
        return Camera(memory or Plain(), node, fps=fps, **asked)

    return open_it


def test_a_camera_is_set_up_and_read_by_ioctl(open_camera):
    driver, memory = FakeDriver(), Plain()
    camera = open_camera(driver, fps=15.0, memory=memory, width=1280, height=720, controls={"brightness": 5})
    assert driver.mode == (1280, 720, b"MJPG")
    assert driver.set == {0x00980900: 5}
    assert camera.info == {"fps": 15.0}
    reply = camera.read()
    captured_ns = reply.pop("captured_ns")
    assert reply == {"width": 1280, "height": 720, "pixel_format": "mjpeg", "stride": 0, "bytes": 7}
    assert bytes(memory.content) == b"picture"
    assert camera.read()["captured_ns"] > captured_ns
    camera.close()
    camera.close()


def test_raw_pictures_arrive_with_their_stride(open_camera):
    reply = open_camera(pixel_format="YUYV").read()
    assert (reply["pixel_format"], reply["stride"]) == ("yuyv422", 1280)


def test_a_rate_is_set_only_when_one_is_wished(open_camera):
    driver = FakeDriver()
    assert open_camera(driver).info == {"fps": 30.0}
    assert S_PARM not in driver.asked


def test_a_busy_camera_is_refused(open_camera):
    with pytest.raises(OSError, match="another program reads from it"):
        open_camera(FakeDriver(failing={REQBUFS: errno.EBUSY}))


def test_a_driver_that_gives_another_format_than_it_lists_is_refused(open_camera, monkeypatch):
    monkeypatch.setattr(Device, "set_mode", lambda device, mode: Mode("H264", 640, 480))
    with pytest.raises(OSError, match="it gives H264, though it lists YUYV"):
        open_camera()


def test_the_child_loads_neither_numpy_nor_opencv():
    """It is started whenever a camera comes back, and those take seconds on a small board."""
    code = "import sys, edge_fer.capture.sources.v4l2.child; print({'numpy', 'cv2', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_listing_has_formats_and_controls(node, monkeypatch):
    monkeypatch.setattr(v4l2_child, "Device", partial(Device, ioctl=FakeDriver()))
    found = Listing(Plain()).describe(node)
    assert (found["name"], found["driver"], found["bus"]) == ("USB Camera", "uvcvideo", "usb-0000:00:14.0-1")
    assert found["formats"][1]["name"] == "MJPG"
    assert found["formats"][1]["sizes"][2]["rates"] == (30.0,)
    assert found["controls"][0]["name"] == "brightness"


def test_nodes_are_listed_with_all_their_names(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "_V4L2_CHILD", f"{HERE}:Cameras")
    for name in ("video0", "video1", "video2", "video10", "video-something"):
        (tmp_path / name).touch()
    (tmp_path / "v4l/by-id").mkdir(parents=True)
    (tmp_path / "v4l/by-id/usb-Camera-video-index0").symlink_to("../../video0")
    camera, broken = listing.list_cameras("/no/python3", tmp_path)
    assert camera["sources"] == ["0", f"{tmp_path}/video0", f"{tmp_path}/v4l/by-id/usb-Camera-video-index0"]
    assert broken == {"sources": ["10", f"{tmp_path}/video10"], "error": "another program reads from it"}
    assert listing.to_text([camera, broken]).splitlines() == [
        "USB Camera (uvcvideo, usb-1)",
        "  --camera 0",
        f"  --camera {tmp_path}/video0",
        f"  --camera {tmp_path}/v4l/by-id/usb-Camera-video-index0",
        "  MJPG     1280x720 at 30/15, 32x32 to 64x48",
        "  H264       (not read by edge-fer)",
        "  gain: 0 to 100 (50)",
        "",
        "a camera",
        "  --camera 10",
        f"  --camera {tmp_path}/video10",
        "  cannot be opened: another program reads from it",
    ]


def test_the_command_prints_text_or_json(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(listing, "_V4L2_CHILD", f"{HERE}:Cameras")
    (tmp_path / "video0").touch()
    monkeypatch.setenv("EDGE_FER_CAPTURE__PYTHON", "/no/python3")
    CliRunner().invoke(app, ["cameras", "--dev", str(tmp_path)])
    assert capfd.readouterr().out.startswith("USB Camera (uvcvideo, usb-1)\n  --camera 0\n")
    CliRunner().invoke(app, ["cameras", "--json", "--dev", str(tmp_path)])
    assert json.loads(capfd.readouterr().out)[0]["formats"][0]["name"] == "MJPG"


# From the settings


def test_the_settings_arrive_in_the_driver_s_units(monkeypatch):
    given_to = {}
    monkeypatch.setattr(v4l2, "check_device", lambda path: None)
    monkeypatch.setattr(v4l2, "ChildSource", lambda settings, target, **more: given_to.update(more))
    v4l2.open_v4l2(
        settings("3", exposure_ms=12.5, gain=4, controls={"white_balance_automatic": False}, format="MJPG"),
        lambda: False,
    )
    assert given_to["arguments"] == {
        "path": "/dev/video3",
        "pixel_format": "MJPG",
        "width": None,
        "height": None,
        "fps": None,
        "requested": {"exposure": 125.0, "gain": 4.0, "focus": None},
        "controls": {"white_balance_automatic": 0},
    }


def test_a_list_is_no_value_for_a_driver(monkeypatch):
    monkeypatch.setattr(v4l2, "check_device", lambda path: None)
    with pytest.raises(ConfigError, match=r"capture\.controls\.x`: expected a number for a V4L2 camera"):
        v4l2.open_v4l2(settings("0", controls={"x": [1.0, 2.0]}), lambda: False)
