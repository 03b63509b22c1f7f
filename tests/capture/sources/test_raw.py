"""Raw frames from a pipe, files that are played over and over, and pictures that are mirrored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from edge_fer.capture.camera import Camera
from edge_fer.capture.sources.open_source import open_source
from edge_fer.capture.sources.raw import Raw
from edge_fer.capture.sources.row_check import likely_stride
from edge_fer.errors import ConfigError, SourceError, SourceLost
from tests.capture.sources.test_sources import count, picture, settings, write_pictures, write_video
from tests.capture.test_camera import PATIENCE_S, drain, value

SIZE = {"width": 64, "height": 48}


@pytest.fixture
def pipe():
    """A pipe: its reading end, and a function that writes; null closes it."""
    reader, writer = os.pipe()
    open_ends = {reader, writer}

    def write(content):
        if content is None:
            open_ends.discard(writer)
            os.close(writer)
        else:
            os.write(writer, content)

    yield reader, write
    for descriptor in open_ends:
        os.close(descriptor)


def raw_settings(more=None, **options):
    return settings("-", raw={**SIZE, **(more or {})}, **options)


def test_frames_are_read_whole_and_the_end_is_an_end(pipe):
    reader, write = pipe
    images = [picture(number) for number in range(4)]

    def write_in_pieces():
        content = b"".join(image.tobytes() for image in images)
        for start in range(0, len(content), 5000):
            write(content[start : start + 5000])
        write(None)

    writer = threading.Thread(target=write_in_pieces)
    writer.start()
    source = Raw(raw_settings(fps=25), descriptor=reader)
    before = time.monotonic_ns()
    for image in images:
        read, captured_ns, *_ = source.read()
        assert np.array_equal(read, image)
        assert before <= captured_ns <= time.monotonic_ns()
    assert source.read() is None
    writer.join()
    assert (source.name, source.live, source.fps, source.skipped) == ("-", True, 25, 0)
    source.close()
    source.close()


def test_a_writer_that_never_begins_is_waited_for_so_long(pipe):
    with pytest.raises(SourceError, match=r"expected frames on standard input within 0\.05 s, found none"):
        Raw(raw_settings(open_timeout_s=0.05), descriptor=pipe[0])


def test_a_source_that_is_not_live_has_every_frame_read(pipe):
    reader, write = pipe
    write(picture().tobytes())
    assert not Raw(raw_settings({"live": False}), descriptor=reader).live


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"width": None}, r"expected the size of the frames on standard input.*set capture\.raw\.width"),
        ({"width": 63, "pixel_format": "nv12"}, "expected an even size for nv12, found 63x48"),
        ({"stride": 190}, r"expected rows of at least 192 bytes \(bgr24, 64 pixels\), found 190; correct capture\.raw"),
        (
            {"stride": 65, "pixel_format": "nv12"},
            r"expected rows of an even length \(nv12\), found capture\.raw",
        ),
    ],
)
def test_frames_of_no_size_are_a_fault_of_the_settings(raw, expected):
    with pytest.raises(ConfigError, match=expected):
        open_source(raw_settings(raw))


def test_a_writer_that_pauses_between_frames_is_lost_and_found_again(pipe):
    reader, write = pipe
    write(picture(1).tobytes())
    source = Raw(raw_settings(read_timeout_s=0.05), descriptor=reader)
    source.read()
    with pytest.raises(SourceLost, match=r"standard input gave no frame for 0\.05 s"):
        source.read()
    write(picture(2).tobytes())
    assert np.array_equal(Raw(raw_settings(), descriptor=reader).read()[0], picture(2))


def test_a_writer_that_stops_within_a_frame_has_ended(pipe):
    reader, write = pipe
    write(picture().tobytes()[:100])
    source = Raw(raw_settings(read_timeout_s=0.05), descriptor=reader)
    with pytest.raises(SourceError, match="gave no frame") as caught:
        source.read()
    assert not isinstance(caught.value, SourceLost)


def test_an_end_within_a_frame_tells_how_large_frames_should_be(pipe):
    reader, write = pipe
    write(picture().tobytes() + picture().tobytes()[:100])
    write(None)
    source = Raw(raw_settings(), descriptor=reader)
    source.read()
    with pytest.raises(
        SourceError,
        match=r"expected 9216 bytes .*64x48\).*found 100 in the last one, after 1 whole",
    ):
        source.read()
    assert source.skipped == 1


def padded(image, padding):
    """The rows of a picture with bytes behind each, as image processors and FFmpeg's filters leave them."""
    return np.pad(image.reshape(len(image), -1), ((0, 0), (0, padding)))


def scene(shift):
    """A picture with detail."""
    y, x = np.mgrid[: SIZE["height"], : SIZE["width"]]
    waves = [np.sin((x + shift) / (3 + k)) + np.cos(y / (5 + k)) + np.sin((x - 2 * y) / 30) for k in range(3)]
    return (128 + 40 * np.stack(waves, axis=-1)).astype(np.uint8)


def read_raw(pipe, frames, count, more=None):
    """The first pictures of some frames, and what was told about them."""
    reader, write = pipe
    write(b"".join(one.tobytes() for one in frames))
    told = []
    source = Raw(raw_settings(more), warn=told.append, descriptor=reader)
    return [source.read().image for _ in range(count)], told


def test_rows_that_are_padded_are_read_with_their_stride(pipe):
    images = [scene(shift) for shift in range(4)]
    read, told = read_raw(pipe, [padded(one, 128) for one in images], 4, {"stride": 320})
    assert all(np.array_equal(*pair) for pair in zip(read, images, strict=True))
    assert told == []


def test_rows_that_are_padded_and_not_said_to_be_are_noticed(pipe):
    _, told = read_raw(pipe, [padded(scene(shift), 16) for shift in range(6)], 6)
    assert told == [
        "rows on standard input seem to be 208 bytes apart, not 192: pictures are sheared; "
        "set capture.raw.stride, or correct capture.raw.width"
    ], "once"


@pytest.mark.parametrize("images", [[scene(shift) for shift in range(5)], [picture(k) for k in range(5)]])
def test_rows_that_are_as_said_are_no_news(pipe, images):
    _, told = read_raw(pipe, images, 5)
    assert told == []


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("padding", [4, 32, 100])
def test_the_distance_of_rows_is_found(channels, padding):
    import cv2

    image = cv2.resize(scene(3), (200, 150))[..., [0, 1, 2, 0][:channels]]
    row = 200 * channels
    assert likely_stride(image.reshape(-1), row) is None
    assert likely_stride(padded(image, padding).reshape(-1), row) == row + padding


def test_of_a_flat_picture_nothing_is_known():
    noise = np.random.default_rng(0).integers(126, 130, 64 * 48 * 3).astype(np.uint8)
    assert likely_stride(noise, 64 * 3) is None
    assert likely_stride(np.zeros(64 * 48 * 3, np.uint8), 64 * 3) is None


def test_an_end_before_the_first_frame_is_the_writers_fault(pipe):
    reader, write = pipe
    write(None)
    source = Raw(raw_settings(), descriptor=reader)
    with pytest.raises(SourceError, match="expected frames on standard input, found its end; see what its writer says"):
        source.read()


def test_a_cancelled_read_ends_soon(pipe):
    reader, write = pipe
    write(picture().tobytes())
    cancelled = threading.Event()
    source = Raw(raw_settings(), cancelled.is_set, descriptor=reader)
    source.read()
    cancelled.set()
    began = time.monotonic()
    with pytest.raises(SourceLost):
        source.read()
    assert time.monotonic() - began < 1.0


def test_a_run_reads_frames_from_its_standard_input():
    command = [sys.executable, "-m", "edge_fer", "run", "--camera", "-", "--format", "json"]
    environment = {**os.environ, "EDGE_FER_CAPTURE__RAW": "{width: 64, height: 48, pixel_format: gray8, live: false}"}
    frames = b"".join(bytes([number]) * (64 * 48) for number in range(5))
    done = subprocess.run(command, input=frames, capture_output=True, env=environment, check=True, timeout=60)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["frame"] for one in records if "frame" in one] == [0, 1, 2, 3, 4]
    assert records[-1]["message"] == "- has ended"


# Over and over


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_a_loop_begins_again(tmp_path, kind):
    path = write_video(tmp_path / "a.mp4", frames=4) if kind == "video" else write_pictures(tmp_path / "a", count=4)
    camera = Camera(settings(path, loop=True))
    camera.start()
    frames = [camera.get(PATIENCE_S) for _ in range(10)]
    camera.stop()
    assert [one.id for one in frames] == list(range(10))
    assert abs(value(frames[9]) - value(frames[1])) < 12
    stamps = [one.scene_ns for one in frames]
    assert stamps == sorted(set(stamps)), "the time of the scene goes on"


def test_skipped_pictures_count_in_every_turn(tmp_path):
    folder = write_pictures(tmp_path / "a", count=2)
    (folder / "1.png").write_bytes(b"broken")
    told = []
    source = open_source(settings(folder, loop=True), warn=told.append)
    for _ in range(3):
        assert source.read() is not None
    assert source.skipped == 2
    assert len(told) == 2
    source.close()
    source.close()


def test_without_a_loop_a_file_ends(tmp_path):
    assert count(open_source(settings(write_video(tmp_path / "a.mp4", frames=4), loop=False))) == 4


# Mirrored and rotated


@pytest.mark.parametrize(("hflip", "vflip"), [(True, False), (False, True), (True, True), (False, False)])
def test_pictures_are_mirrored(tmp_path, hflip, vflip):
    folder = write_pictures(tmp_path / "a", count=2)
    camera = Camera(settings(folder, hflip=hflip, vflip=vflip))
    camera.start()
    first = drain(camera)[0]
    expected = picture(0)[:: -1 if vflip else 1, :: -1 if hflip else 1]
    assert np.array_equal(first.image, expected)
    assert not camera.live
    assert camera.skipped == 0


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_pictures_are_turned_clockwise_once_they_are_mirrored(tmp_path, rotate):
    folder = write_pictures(tmp_path / "a", count=2)
    source = open_source(settings(folder, hflip=True, rotate=rotate))
    image, *_ = source.read()
    source.close()
    assert np.array_equal(image, np.rot90(picture(0)[:, ::-1], -rotate // 90))
    assert image.flags.c_contiguous
