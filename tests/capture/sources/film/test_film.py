"""The decoder of films and streams: every frame as it was filmed, or told why not."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edge_fer.capture.sources import film as film_package
from edge_fer.capture.sources.film import container as film_container
from edge_fer.capture.sources.film import picture as film_picture
from edge_fer.capture.sources.film.film import Film
from edge_fer.capture.sources.film.picture import Converter
from edge_fer.capture.sources.sample import CLIP
from edge_fer.capture.sources.video import Video
from edge_fer.common.text import counted
from edge_fer.errors import ConfigError, SourceError
from tests.support.films import SIZE, flip_bytes, noise, picture, write_film

TEN = [picture(number) for number in range(10)]
ONE = 1 << 16


def read(path: Path):
    """All frames of a film, what was told beside them, and the error at its end."""
    told: list[str] = []
    frames, error = [], None
    video = Video(path, warn=told.append)
    try:
        while (frame := video.read()) is not None:
            frames.append(frame)
    except SourceError as ended:
        error = str(ended)
    video.close()
    return frames, told, error, video.skipped


def images(path: Path):
    frames, told, error, skipped = read(path)
    assert (told, error, skipped) == ([], None, 0)
    return [frame.image for frame in frames]


def positions_ms(path: Path):
    return [frame.position_ns / 1e6 for frame in read(path)[0]]


def difference(one, other):
    """Mean difference of two pictures."""
    assert one.shape == other.shape
    return np.abs(one.astype(int) - other).mean()


# Pixels


def test_the_pixels_of_ordinary_film_are_those_of_opencvs_reader():
    with_opencv = cv2.VideoCapture(str(CLIP))
    video = Video(CLIP)
    for _ in range(12):
        image = video.read().image
        assert np.array_equal(image, with_opencv.read()[1])
        assert (image.dtype, image.flags.c_contiguous) == (np.uint8, True)
    video.close()


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv444p"),
        ("a.mkv", "libx264", "yuv420p10le"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mkv", "ffv1", "gray"),
        ("a.mkv", "ffv1", "bgra"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.flv", "flv1", "yuv420p"),
        ("a.nut", "rawvideo", "rgb24"),
    ],
)
def test_films_of_many_kinds_are_read_whole(tmp_path, name, codec, pixel_format):
    shown = images(write_film(tmp_path / name, TEN, codec, pixel_format=pixel_format))
    assert len(shown) == 10
    grey = pixel_format == "gray"
    for image, original in zip(shown, TEN, strict=True):
        expected = cv2.cvtColor(cv2.cvtColor(original, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) if grey else original
        assert difference(image, expected) < 8


@pytest.mark.parametrize("size", [(2, 2), (16, 18), (46, 50), (34, 1366)])
def test_films_of_odd_sizes_have_no_padding(tmp_path, size):
    (shown,) = images(write_film(tmp_path / "a.mkv", [picture(3, size)], "ffv1", pixel_format="bgr0"))
    assert np.array_equal(shown, picture(3, size))
    assert shown.flags.c_contiguous


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(64, 45), (48, 91)), (Fraction(1, 2), (96, 64)), (None, SIZE)])
def test_pixels_are_made_square(tmp_path, aspect, size):
    (shown,) = images(write_film(tmp_path / "a.mkv", TEN[:1], "libx264", pixel_aspect=aspect))
    assert shown.shape == (*size, 3)
    assert difference(shown, cv2.resize(TEN[0], size[::-1])) < 6


def test_an_aspect_that_cannot_be_true_is_ignored():
    frame = av.VideoFrame.from_ndarray(TEN[0], format="bgr24")
    assert Converter(Fraction(1000), print).convert(frame).shape == (*SIZE, 3)


MATRICES = {
    "as it is": ((ONE, 0, 0, 0, ONE), lambda image: image),
    "90 clockwise": ((0, ONE, 0, -ONE, 0), lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)),
    "180": ((-ONE, 0, 0, 0, -ONE), lambda image: cv2.rotate(image, cv2.ROTATE_180)),
    "90 counterclockwise": ((0, -ONE, 0, ONE, 0), lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)),
    "mirrored": ((-ONE, 0, 0, 0, ONE), lambda image: cv2.flip(image, 1)),
    "upside down": ((ONE, 0, 0, 0, -ONE), lambda image: cv2.flip(image, 0)),
    "transposed": ((0, ONE, 0, ONE, 0), cv2.transpose),
}


@pytest.mark.parametrize("name", MATRICES)
def test_films_are_turned_as_they_say(tmp_path, name):
    matrix, turn = MATRICES[name]
    path = write_film(tmp_path / "a.mov", TEN[:2], "mjpeg", matrix=(*matrix, 0, 0, 0, 1 << 30), pixel_format="yuvj444p")
    shown = images(path)
    assert difference(shown[0], turn(TEN[0])) < 3
    if name in ("90 clockwise", "180", "90 counterclockwise"):
        assert np.array_equal(shown[0], cv2.VideoCapture(str(path)).read()[1])


# Frames that FFmpeg does not convert by itself


def moving_bars(count=12, height=96, width=128):
    """Fields of a bar that moves: the even lines of each frame were taken later than the odd ones."""
    frames, fields = [], []
    for number in range(2 * count):
        field = np.full((height, width, 3), 40, np.uint8)
        field[:, 8 + 4 * number : 24 + 4 * number] = 220
        fields.append(field)
    for odd, even in zip(fields[::2], fields[1::2], strict=True):
        frame = even.copy()
        frame[1::2] = odd[1::2]
        frames.append(frame)
    return frames, fields[::2]


def combing(image):
    """How much neighbouring lines differ."""
    return np.abs(np.diff(image[..., 1].astype(int), axis=0)).mean()


def test_interlaced_frames_are_made_whole_one_for_each(tmp_path):
    frames, progressive = moving_bars()
    assert combing(frames[5]) > 10
    options = {"flags": "+ildct+ilme", "crf": "10"}  # the odd lines come first
    shown = images(write_film(tmp_path / "a.mp4", frames, "libx264", options=options))
    assert len(shown) == len(frames)
    assert all(combing(image) < 3 for image in shown)
    assert all(difference(image, original) < 12 for image, original in zip(shown, progressive, strict=True))


def test_frames_that_are_only_flagged_as_interlaced_come_all_and_in_time(tmp_path):
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    path = write_film(tmp_path / "a.mkv", TEN, "libx264", options=options, times_ms=[0, 40, 500, *range(600, 670, 10)])
    assert positions_ms(path) == [0, 40, 500, *range(600, 670, 10)]
    assert all(difference(image, original) < 6 for image, original in zip(images(path), TEN, strict=True))


def test_colours_that_ffmpeg_cannot_convert_are_approximated_and_told_once():
    told = []
    converter = Converter(None, told.append)
    for _ in range(2):
        frame = av.VideoFrame.from_ndarray(TEN[4], format="bgr24").reformat(format="yuv444p")
        frame.colorspace = 14  # ICtCp
        assert difference(converter.convert(frame), TEN[4]) < 20
    assert told == ["FFmpeg cannot convert its colours (matrix 14); they are read as BT.709"]


def test_a_picture_that_ffmpeg_cannot_convert_is_refused_and_the_next_one_is_read():
    converter = Converter(None, print)
    with pytest.raises(ValueError, match=r"a picture \(gray32le\) that FFmpeg cannot convert"):
        converter.convert(av.VideoFrame(64, 48, "gray32le"))
    frame = av.VideoFrame.from_ndarray(TEN[4], format="bgr24")
    assert np.array_equal(converter.convert(frame), TEN[4])


def test_high_dynamic_range_is_told(tmp_path):
    path = write_film(tmp_path / "a.mkv", TEN, "libx265", pixel_format="yuv420p10le", options={
        "x265-params": "log-level=none:transfer=smpte2084:colorprim=bt2020:colormatrix=bt2020nc"})  # fmt: skip
    frames, told, *_ = read(path)
    assert len(frames) == 10
    assert told == [f"{path}: its colours are of high dynamic range (PQ), which is not tone-mapped: they look pale"]


# Time


def test_positions_are_presentation_times(tmp_path):
    times_ms = [0, 40, 700, 705, 900, 1900, 1940, 1980, 2020, 2060]
    path = write_film(tmp_path / "a.mkv", TEN, "libx264", times_ms=times_ms)  # with B-frames
    assert positions_ms(path) == times_ms
    assert {frame.file for frame in read(path)[0]} == {str(path)}


def test_a_container_without_presentation_times_counts_frames(tmp_path):
    assert positions_ms(write_film(tmp_path / "a.avi", TEN, "mpeg4")) == [40 * number for number in range(10)]
    assert positions_ms(write_film(tmp_path / "a.m4v", TEN, "mpeg4"))[:3] == [0, 40, 80]


def test_a_film_may_begin_late_and_its_sound_may_be_longer(tmp_path):
    path = write_film(tmp_path / "a.mkv", TEN, times_ms=range(500, 900, 40), sound_s=2.0)
    frames, told, error, _ = read(path)
    assert [frame.position_ns // 10**6 for frame in frames] == list(range(500, 900, 40))
    assert (told, error) == ([], None)


# Damage


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "mjpeg"), ("a.ts", "libx264")]
)
def test_damage_is_told_with_numbers(tmp_path, name, codec):
    path = flip_bytes(write_film(tmp_path / name, noise(20), codec), 100)
    frames, told, _, skipped = read(path)
    assert told[-1].startswith(f"{path}: the film is damaged: {counted(skipped, 'frame')} left out, ")
    assert len(told) == 1
    assert len(frames) + skipped <= 20
    assert frames


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("a.mp4", "libx264", {"movflags": "faststart"}),
        ("a.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.mkv", "libx264", {}),
        ("a.avi", "mjpeg", {}),
    ],
)
def test_a_film_that_is_cut_short_gives_what_it_has_and_then_says_so(tmp_path, name, codec, container, capfd):
    options = {"g": "5"}
    path = write_film(tmp_path / name, [picture(n, (96, 128)) for n in range(40)], codec, options=options,
                      container_options=container)  # fmt: skip
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    for _ in range(2):  # the same words a second time
        frames, _, error, _ = read(path)
        assert 5 <= len(frames) < 40
        assert f"found that it breaks off after {len(frames)} frames (" in error
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.ts", "a.h264"])
def test_frames_before_the_first_key_frame_are_counted_as_lost(tmp_path, name):
    """As in a recording of a broadcast, or one whose first part is gone; the decoder often says nothing of them."""
    options = {"g": "10", "bf": "0", "x264-params": "scenecut=0:repeat-headers=1"}
    path = write_film(tmp_path / name, noise(30), "libx264", options=options)
    content = path.read_bytes()
    path.write_bytes(content[(len(content) // 3 // 2 // 188) * 188 :])
    frames, told, _, skipped = read(path)
    assert len(frames) == 20
    assert 0 < skipped < 10
    (line,) = told
    assert line.startswith(f"{path}: the film is damaged: {counted(skipped, 'frame')} left out, 0 of 20 shown with ")


def test_an_index_without_its_frames_is_cut_short(tmp_path):
    """The frames that are there are whole, and neither decoder nor demuxer reports anything."""
    path = write_film(tmp_path / "a.avi", [picture(n) for n in range(20)], "mjpeg")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"00dc", len(content) // 2)])
    frames, _, error, _ = read(path)
    assert f"breaks off after {len(frames)} frames (its header states 20 frames)" in error


def test_a_header_that_was_never_completed_states_nothing(tmp_path):
    """As an AVI file has it that was written into a pipe."""
    path = write_film(tmp_path / "a.avi", TEN, "mjpeg")
    content = path.read_bytes()
    path.write_bytes(content.replace((10).to_bytes(4, "little"), (1 << 30).to_bytes(4, "little"), 2))
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 1 << 30
    assert len(images(path)) == 10


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_closing_amid_damage_does_not_hang(tmp_path, name):
    """The decoder's threads report errors while it is closed."""
    path = flip_bytes(write_film(tmp_path / name, noise(12), "libx264", options={"crf": "10"}), 2000)
    for _ in range(10):
        film = Film(f"file:{path}", live=False)
        next(film.frames(), None)
        film.close()
        film.close()


def test_what_ffmpeg_reports_is_not_printed(tmp_path, capfd):
    path = flip_bytes(write_film(tmp_path / "a.mkv", noise(12), "libx264"), 60)
    assert read(path)[1]
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("libav").propagate


def test_a_film_larger_than_the_bound_is_refused(tmp_path, monkeypatch):
    path = write_film(tmp_path / "a.mkv", TEN, "ffv1", pixel_format="bgr0")
    monkeypatch.setattr(film_container, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(SourceError, match=r"cannot be decoded \(.*64x48 exceeds specified max pixel count"):
        Video(path)


def test_a_picture_larger_than_the_bound_is_refused(monkeypatch):
    monkeypatch.setattr(film_picture, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(ValueError, match="a picture of 64x48, more than 0 megapixels"):
        Converter(None, print).convert(av.VideoFrame(64, 48, "bgr24"))


def test_a_film_may_change_its_size(tmp_path):
    small, large = (
        write_film(tmp_path / f"{size[0]}.ts", [picture(n, size) for n in range(5)], "libx264", options={"bf": "0"})
        for size in ((48, 64), (96, 128))
    )
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    frames, *_ = read(both)
    assert [frame.image.shape[0] for frame in frames] == [48] * 5 + [96] * 5
    assert [frame.position_ns // 10**6 for frame in frames] == [40 * number for number in range(10)]


# Names, and what is no film


@pytest.mark.parametrize(
    "name", ["2026-01-02T12:00:00.mkv", "http:a.mkv", "a %d #1?.mkv", "b\udcff\udc80.mkv", "-a.mkv"]
)
def test_any_name_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "a.mkv", TEN).rename(tmp_path / name)
    for path in (Path(name), tmp_path / name):
        frames, *_ = read(path)
        assert len(frames) == 10
        assert frames[0].file.encode()


def test_sound_is_no_film(tmp_path):
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp2", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2304), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"cannot be decoded \(no film in it, only sound or data\)"):
        Video(path)


def test_without_pyav_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(film_package, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"expected PyAV, .* found none; pip install av, or on 32-bit Arm: .*python3-av"
    ):
        Video(CLIP)
