"""Every kind of source: one contract suite over all, then what each does on its own."""

from __future__ import annotations

import itertools
import os
import socket
import stat
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_fer.capture.sources import Source, child_source, sample
from edge_fer.capture.sources.child_source import ChildFrame, ChildSource, SourceInfo
from edge_fer.capture.sources.hand_over import to_bgr, write_frame
from edge_fer.capture.sources.open_source import kind_of, open_source
from edge_fer.capture.sources.stream_child import Stream as StreamChild
from edge_fer.capture.sources.v4l2 import source as v4l2
from edge_fer.capture.sources.video import Video
from edge_fer.common.text import redact
from edge_fer.errors import SourceError, SourceLost, WorkerCrashed
from edge_fer.settings import CaptureSettings
from tests.support.child_camera import HERE
from tests.support.mjpeg_server import MjpegServer, jpeg
from tests.support.scripted_http import ScriptedHttp, ok

GENERATOR = f"{HERE}:Generator"
SIZE = (48, 64)


def picture(number: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A smooth colour picture, different for every number."""
    height, width = size
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, number * 20 % 256)], axis=-1).astype(np.uint8)


def write_video(path: Path, frames: int = 10, codec: str = "mp4v", fps: float = 25.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, SIZE[::-1])
    assert writer.isOpened()
    for number in range(frames):
        writer.write(picture(number))
    writer.release()
    return path


def write_pictures(folder: Path, count: int = 3) -> Path:
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), picture(number))
    return folder


def count(source: Source) -> int:
    """Read to the end."""
    return sum(1 for _ in iter(source.read, None))


def settings(source: object, **more: object) -> CaptureSettings:
    return CaptureSettings.model_validate({"source": str(source), **more})


def generator(options: CaptureSettings | None = None, cancelled=lambda: False, **arguments: object) -> ChildSource:
    """A live source by the same code path as a real camera, with pictures made to order."""
    return ChildSource(options or settings("0"), GENERATOR, hint="plug it in", cancelled=cancelled, arguments=arguments)


def numbered_stream() -> MjpegServer:
    """A camera on the network, each of its pictures different from the one before."""
    return MjpegServer({"good": [jpeg(picture(number)) for number in range(64)]}, fps=100)


@pytest.fixture
def stream():
    with numbered_stream() as server:
        yield server


@pytest.fixture
def served(tmp_path):
    """A server of one picture a request, and of a film that FFmpeg reads."""
    film, numbers = write_video(tmp_path / "served.avi", frames=60, codec="MJPG").read_bytes(), itertools.count()

    def snapshot(request: str, connection: socket.socket) -> bool:
        body = jpeg(picture(next(numbers)))
        connection.sendall(ok("image/jpeg", body, f"Content-Length: {len(body)}"))
        return True

    with ScriptedHttp({"/snapshots": snapshot, "/stream": ok("video/x-msvideo", film)}) as server:
        yield server


@pytest.fixture
def deaf():
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(params=["picture", "folder", "video", "sample", "child", "http", "snapshots", "stream"])
def source(request, tmp_path, monkeypatch):
    """Every kind of source, open."""
    if request.param == "picture":
        path = tmp_path / "a.png"
        cv2.imwrite(str(path), picture())
    elif request.param == "folder":
        path = write_pictures(tmp_path / "folder")
    elif request.param == "video":
        path = write_video(tmp_path / "a.mp4")
    elif request.param == "sample":
        monkeypatch.setattr(sample, "CLIP", write_video(tmp_path / "sample.mp4"))
        path = "sample"
    elif request.param == "http":
        path = request.getfixturevalue("stream").url
    elif request.param in ("snapshots", "stream"):
        path = request.getfixturevalue("served").url(f"/{request.param}")
    opened = generator(pace=0.01) if request.param == "child" else open_source(settings(path, fps=100))
    yield opened
    opened.close()


def test_contract_frames_are_new_bgr_pictures_with_growing_stamps(source):
    before = time.monotonic_ns()
    frames = [source.read()]
    while len(frames) < 4 and frames[-1] is not None:
        frames.append(source.read())
    taken = [frame for frame in frames if frame is not None]
    assert taken
    for image, captured_ns, *_ in taken:
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert image.flags.c_contiguous
        assert before - 10_000_000_000 < captured_ns <= time.monotonic_ns()
    stamps = [captured_ns for _, captured_ns, *_ in taken]
    assert stamps == sorted(stamps)
    assert not any(np.shares_memory(one[0], next_one[0]) for one, next_one in itertools.pairwise(taken))
    assert isinstance(source.name, str)
    assert isinstance(source.live, bool)
    assert source.fps is None or source.fps > 0
    assert source.skipped == 0


def test_contract_a_file_ends_and_stays_at_its_end(source):
    if source.live:
        assert all(source.read() is not None for _ in range(15))
        return
    assert 1 <= count(source) <= 10
    assert source.read() is None


def test_contract_it_can_be_closed_twice(source):
    source.read()
    source.close()
    source.close()


# What a name means


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("0", "v4l2"),
        ("12", "v4l2"),
        ("/dev/video3", "v4l2"),
        ("/dev/v4l/by-id/usb-Some_Camera-video-index0", "v4l2"),
        ("rtsp://host/stream", "stream"),
        ("HTTP://host:8080/", "http"),
        ("https://host/stream.m3u8", "http"),
        ("picamera2", "picamera2"),
        ("picamera2:1", "picamera2"),
        ("-", "raw"),
        ("synthetic:4", "synthetic"),
        ("file:///dev/video3", "v4l2"),
        ("sample", "sample"),
    ],
)
def test_kind_of_a_name(name, kind):
    assert kind_of(name) == kind


def test_kind_of_what_lies_on_disk(tmp_path):
    clip = write_video(tmp_path / "a.mp4")
    (tmp_path / "named_wrongly.mp4").write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    link = tmp_path / "camera"
    link.symlink_to("/dev/null")
    assert kind_of(str(tmp_path)) == "folder"
    assert kind_of(str(clip)) == "video"
    assert kind_of(str(tmp_path / "named_wrongly.mp4")) == "picture"
    assert kind_of(str(link)) == "v4l2"


def test_a_path_that_is_not_there_is_named():
    with pytest.raises(SourceError, match=r"found no file 'no/such/file\.mp4'; check the path"):
        open_source(settings("no/such/file.mp4"))


def test_a_file_url_is_the_path_it_names(tmp_path):
    clip = write_video(tmp_path / "a clip 100%.mp4")
    for address in (clip.as_uri(), f"FILE://localhost{clip}", f"file://{clip}"):
        opened = open_source(settings(address))
        assert not opened.live
        assert count(opened) == 10
    with pytest.raises(SourceError, match=r"found no file '/no/such\.mp4'"):
        open_source(settings("file:///no/such.mp4"))


@pytest.mark.parametrize("address", ["file://", "file://sample", "file://host/clip.mp4"])
def test_a_file_url_without_a_path_is_refused(address):
    with pytest.raises(SourceError, match=rf"expected a URL such as file:///.*, found {address}; name the whole path"):
        kind_of(address)


def test_an_empty_name_is_not_the_folder_we_are_in():
    with pytest.raises(SourceError, match="found an empty name; see --camera"):
        kind_of("")


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_file_may_have_a_name_that_is_no_utf_8(tmp_path, scheme):
    path = tmp_path / "b\udcff.png"
    path.write_bytes(cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tobytes())
    source = open_source(CaptureSettings(source=f"{scheme}{path}".replace("\udcff", "%FF" if scheme else "\udcff")))
    frame = source.read()
    assert frame is not None
    assert frame.image.shape == (20, 30, 3)
    assert frame.file is not None
    assert frame.file.endswith(r"b\udcff.png")
    source.close()


@pytest.mark.parametrize(
    ("name", "reason"), [("x" * 300, "File name too long"), ("a\0b", "embedded null"), ("loop", "Too many levels")]
)
def test_a_name_that_no_file_can_have_is_one_line(tmp_path, monkeypatch, name, reason):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    with pytest.raises(SourceError, match=rf"^expected .* at '.*', found: .*{reason}.*; check the path$"):
        kind_of(name)


def test_a_folder_that_this_user_may_not_enter_is_one_line(monkeypatch):
    def refuse(self, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(SourceError, match=r"at '/locked/a\.mp4', found: Permission denied; check the path"):
        kind_of("/locked/a.mp4")
    with pytest.raises(SourceError, match=r"at '/dev/video0', found: Permission denied"):
        v4l2.check_device(Path("/dev/video0"))


def test_a_pipe_is_refused_before_it_can_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match=r"pipe, found a pipe, socket or disk; save what comes from it to a file"):
        kind_of(str(tmp_path / "pipe"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://user:secret@host:554/a", "rtsp://***@host:554/a"),
        ("rtsp:/user:secret@host/a", "rtsp:/***@host/a"),
        ("admin:secret@host/a", "admin:***@host/a"),
        ("http://host/a?user=u&password=secret&size=2", "http://host/a?user=***&password=***&size=2"),
        (
            "http://host/a.cgi?usr=u&loginpas=secret&pw=1234&fps=5",
            "http://host/a.cgi?usr=***&loginpas=***&pw=***&fps=5",
        ),
        ("http://host/a?access_token=secret#top", "http://host/a?access_token=***"),
        ("rtsp://host/user=u_password=secret_channel=1", "rtsp://host/user=u_password=***"),
        ("clip\udcff.mp4", r"clip\udcff.mp4"),
        ("open rtsp://u:p@ss/w@rd@host/a failed", "open rtsp://***@host/a failed"),
        ("http://host/a\nsecond", "http://host/a second"),
        ("mail me@host", "mail me@host"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_redact(text, expected):
    assert redact(text) == expected


SECRETS = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1)


@examples(deadline=None)
@given(SECRETS)
def test_no_password_survives_redaction(password):
    assert redact(f"cannot open rtsp://user:{password}@host/a") == "cannot open rtsp://***@host/a"
    assert redact(f"cannot open rtsp:/user:{password}@host/a") == "cannot open rtsp:/***@host/a"


@examples(deadline=None)
@given(st.sampled_from(["password", "pwd", "PASS", "token", "api_key", "auth", "X-Amz-Signature"]), SECRETS)
def test_no_secret_of_a_query_survives_redaction(field, secret):
    secret = secret.translate(str.maketrans("", "", "@&")) or "s"
    assert (
        redact(f"open http://host/a?w=1&{field}={secret}&h=2 failed")
        == f"open http://host/a?w=1&{field}=***&h=2 failed"
    )


@examples(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_what_is_redacted_is_one_line_of_utf_8(text):
    assert len(redact(text).encode().decode().splitlines()) <= 1


def test_a_mistyped_url_is_no_file_and_does_not_show_its_password():
    with pytest.raises(SourceError, match=r"found no file 'rtsp:/\*\*\*@host/a'"):
        kind_of("rtsp:/user:secret@host/a")


# Pixels


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1)])
def test_grey_becomes_three_equal_channels(shape):
    image = to_bgr(np.full(shape, 77, np.uint8))
    assert image.shape == (4, 6, 3)
    assert (image == 77).all()


def test_bgra_loses_its_alpha_and_keeps_its_order():
    image = to_bgr(np.tile(np.array([1, 2, 3, 4], np.uint8), (4, 6, 1)))
    assert image[0, 0].tolist() == [1, 2, 3]


def test_sixteen_bits_become_eight():
    assert to_bgr(np.full((2, 2), 0x4DFF, np.uint16))[0, 0].tolist() == [0x4D] * 3


def test_bgr_is_left_as_it_is():
    image = picture()
    assert np.array_equal(to_bgr(image[:, ::-1]), image[:, ::-1])
    assert to_bgr(image[:, ::-1]).flags.c_contiguous


@pytest.mark.parametrize(
    ("shape", "dtype"), [((4, 6, 2), np.uint8), ((4,), np.uint8), ((4, 6), np.float32), ((0, 6, 3), np.uint8)]
)
def test_other_pixels_are_refused(shape, dtype):
    with pytest.raises(SourceError, match=r"expected a grey, BGR or BGRA picture.*choose another pixel format"):
        to_bgr(np.zeros(shape, dtype))


@examples(deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(
            lambda side: st.sampled_from([side, (*side, 1), (*side, 3), (*side, 4)])
        ),
    )
)
def test_any_camera_picture_becomes_ours(given_picture):
    image = to_bgr(given_picture)
    assert image.shape == (*given_picture.shape[:2], 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


# Files


def test_a_picture_is_delivered_once_and_as_it_is(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    opened = open_source(settings(tmp_path / "a.png"))
    assert np.array_equal(opened.read()[0], picture())
    assert opened.read() is None


@pytest.mark.parametrize("kind", ["grey", "alpha", "sixteen"])
def test_pictures_of_other_pixels_are_converted(tmp_path, kind):
    pixels = {
        "grey": np.full(SIZE, 100, np.uint8),
        "alpha": np.full((*SIZE, 4), 100, np.uint8),
        "sixteen": np.full((*SIZE, 3), 100 * 256, np.uint16),
    }[kind]
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    image, *_ = open_source(settings(tmp_path / "a.png")).read()
    assert image.shape == (*SIZE, 3)
    assert (image == 100).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_a_picture_cut_short_is_an_error_and_nothing_else_on_stderr(tmp_path, capfd, suffix):
    content = cv2.imencode(f".{suffix}", picture())[1].tobytes()
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match=rf"a\.{suffix}, found \d+ bytes that cannot be decoded.*replace it"):
        open_source(settings(path))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_bytes_after_a_picture_do_no_harm(tmp_path, capfd, suffix):
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), picture())
    expected = open_source(settings(tmp_path / f"a.{suffix}")).read()[0]
    with (tmp_path / f"a.{suffix}").open("ab") as file:
        file.write(b"more" * 100)
    assert np.array_equal(open_source(settings(tmp_path / f"a.{suffix}")).read()[0], expected)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("where", [20, 60, -20])
def test_a_png_with_a_wrong_byte_is_an_error_and_nothing_else_on_stderr(tmp_path, capfd, where):
    content = bytearray(cv2.imencode(".png", picture())[1].tobytes())
    content[where] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.png, found \d+ bytes that cannot be decoded"):
        open_source(settings(tmp_path / "a.png"))
    assert capfd.readouterr() == ("", "")


def test_a_picture_of_absurd_size_is_an_error(tmp_path, capfd):
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\n2000000 2000000\n255\n" + bytes(100))
    with pytest.raises(SourceError, match=r"expected a picture of at most 67108864 pixels .* found many more"):
        open_source(settings(path))
    assert capfd.readouterr() == ("", "")


def test_a_folder_is_read_in_order_and_a_broken_picture_is_counted_and_told(tmp_path):
    folder = write_pictures(tmp_path / "folder", count=3)
    (folder / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_text("no picture")
    told = []
    opened = open_source(settings(folder), warn=told.append)
    shown = [image[0, 0, 2] for image, *_ in iter(opened.read, None)]
    assert shown == [0, 40]
    assert opened.skipped == len(told) == 2
    assert "left out notes.txt: expected a picture or a video in " in told[1]
    assert told[0].startswith("left out 1.png: expected a picture in ")
    assert [line.endswith(f"; {number} so far") for number, line in enumerate(told, start=1)] == [True, True]


def test_a_folder_of_broken_pictures_only_is_an_error(tmp_path):
    folder = write_pictures(tmp_path / "folder", count=2)
    for path in folder.iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(SourceError, match=r"found none that can be read among 2 files; the last reason: .*found text"):
        open_source(settings(folder))


def test_an_empty_folder_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(SourceError, match=r"expected pictures or videos .* found none that can be read among 1 files"):
        open_source(settings(tmp_path))


def test_a_folder_that_goes_away_is_an_error(tmp_path):
    from edge_fer.capture.sources.folder import Folder

    with pytest.raises(SourceError, match="No such file or directory"):
        Folder(tmp_path / "gone", open, warn=print)


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "mp4v"), ("avi", "MJPG")])
def test_a_video_is_read_frame_by_frame(tmp_path, suffix, codec):
    opened = open_source(settings(write_video(tmp_path / f"a.{suffix}", frames=8, codec=codec)))
    assert opened.fps == 25.0
    shown = [int(image[5, 5, 2]) for image, *_ in iter(opened.read, None)]
    assert np.allclose(shown, [number * 20 for number in range(8)], atol=12)


@pytest.mark.parametrize(
    "content", [b"hello world\n" * 100, b"", b"\x00\x00\x00\x18ftypmp42" + bytes(100)], ids=["text", "empty", "head"]
)
def test_what_is_no_video_is_an_error_and_nothing_else_on_stderr(tmp_path, capfd, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(
        SourceError, match=rf"expected a picture or a video in .*a\.mp4, found (text|{len(content)} bytes)"
    ):
        open_source(settings(path))
    assert capfd.readouterr() == ("", "")


def test_a_video_without_its_index_is_an_error(tmp_path, capfd):
    path = write_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(SourceError, match="cut short, damaged"):
        open_source(settings(path))
    assert capfd.readouterr() == ("", "")


def test_a_video_cut_short_gives_what_it_has_and_then_says_so(tmp_path, capfd):
    path = write_video(tmp_path / "a.avi", frames=20, codec="MJPG")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    opened = open_source(settings(path))
    expected = r"whole of .*a\.avi, found that it breaks off after (\d|1[01]) frames \(its last frame is incomplete\)"
    with pytest.raises(SourceError, match=expected):
        count(opened)
    opened.close()
    assert capfd.readouterr() == ("", "")


def damage(path: Path, frames: set[int]) -> Path:
    """Make nothing of some frames of a Motion JPEG video."""
    content = bytearray(path.read_bytes())
    start = content.index(b"movi")
    for number in range(max(frames) + 1):
        start = content.index(b"00dc", start) + 8
        length = int.from_bytes(content[start - 4 : start], "little")
        if number in frames:
            content[start : start + length] = bytes(length)
        start += length
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("lost", [{0}, {5}, {3, 4, 5, 11}])
def test_frames_of_a_video_that_cannot_be_decoded_are_left_out_and_counted(tmp_path, capfd, lost):
    path = damage(write_video(tmp_path / "a.avi", frames=13, codec="MJPG"), lost)
    opened = open_source(settings(path))
    shown = [int(image[5, 5, 2]) for image, *_ in iter(opened.read, None)]
    assert np.allclose(shown, [20 * number % 256 for number in range(13) if number not in lost], atol=12)
    assert opened.skipped == len(lost)
    assert opened.read() is None
    opened.close()
    assert capfd.readouterr() == ("", "")


def test_a_video_of_hardly_any_good_frame_ends(tmp_path):
    path = damage(write_video(tmp_path / "a.avi", frames=40, codec="MJPG"), set(range(5, 35)))
    opened = Video(path, max_lost=10)
    with pytest.raises(SourceError, match=r"breaks off after 5 frames \(11 frames in a row cannot be decoded\)"):
        count(opened)
    assert opened.skipped == 11
    opened.close()


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_a_file_that_cannot_be_read_names_the_reason(tmp_path, monkeypatch, name):
    path = tmp_path / name
    cv2.imwrite(str(path), picture()) if name == "a.png" else write_video(path)

    def refuse(*arguments, **more):
        raise PermissionError(13, "Permission denied")

    options = settings(path)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SourceError, match=rf"{name}, found: Permission denied"):
        open_source(options)


def test_the_packaged_clip_is_looked_for_in_the_package():
    import edge_fer

    assert Path(edge_fer.__file__).parent / "assets" / "sample.mp4" == sample.CLIP


# A camera in a child process


def test_a_childs_frames_arrive_as_it_made_them():
    opened = generator(sizes=[[12, 16]])
    assert [int(opened.read()[0][3, 3, 1]) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert opened.fps == 25.0
    opened.close()


def test_a_camera_may_change_its_size_in_mid_stream():
    sizes = [[12, 16], [600, 800], [2, 3], [1080, 1920], [12, 16]]
    opened = generator(sizes=sizes)
    frames = [opened.read()[0] for _ in sizes]
    assert [list(image.shape[:2]) for image in frames] == sizes
    assert [int(image[-1, -1, 2]) for image in frames] == [0, 1, 2, 3, 4]
    opened.close()


def test_a_camera_of_other_pixels_is_converted():
    opened = generator(dtype="uint16", channels=4)
    opened.read()
    assert (opened.read()[0] == np.ones((12, 16, 3))).all()
    opened.close()


def test_a_camera_of_unknown_pixels_is_lost_with_its_reason():
    opened = generator(channels=2)
    with pytest.raises(SourceLost, match=r"^0 stopped: expected a grey, BGR or BGRA picture.*\(12, 16, 2\)"):
        opened.read()
    opened.close()


def test_frames_that_cannot_be_decoded_are_left_out_and_counted():
    opened = ChildSource(settings("0"), f"{HERE}:Jpegs", hint="plug it in", arguments={"broken": [1, 3]})
    shown = [int(opened.read()[0][6, 6, 1]) for _ in range(3)]
    assert np.allclose(shown, [0, 30, 40], atol=3)
    assert opened.skipped == 2
    opened.close()


def test_a_camera_of_nothing_but_broken_frames_is_lost():
    opened = ChildSource(settings("0"), f"{HERE}:Jpegs", hint="plug it in", arguments={"broken": [0, 1000]})
    with pytest.raises(SourceLost, match=r"^0 gave 30 frames in a row that cannot be decoded$"):
        opened.read()
    opened.close()


AGREED = {"width": 16, "height": 12, "pixel_format": "bgr24", "stride": 48, "bytes": 576, "captured_ns": 1}
MALFORMED = {
    "another field": {"more": 1}, "no number": {"bytes": "x"}, "below zero": {"bytes": -5}, "nothing": {"bytes": 0},
    "more than there can be": {"bytes": 2**50}, "another format": {"pixel_format": "zzz"}, "none": {"height": None},
    "rows too short": {"stride": 0}, "rows too long": {"stride": 2**40}, "too wide": {"width": 10**9},
    "wider than its rows": {"width": 17}, "too many pixels": {"width": 9000, "height": 9000, "stride": 27000},
    "no width": {"width": 0}, "a width below zero": {"width": -16}, "not finite": {"width": float("nan")},
    "before time began": {"captured_ns": -(2**63)}, "no time": {"captured_ns": 2**200}, "true": {"height": True},
    "a time in words": {"captured_ns": "now"}, "a fraction": {"captured_ns": 1e300}, "a list": {"height": [12]},
    "broken text": {"pixel_format": "\ud800"},
}  # fmt: skip


@pytest.mark.parametrize("wrong", MALFORMED.values(), ids=MALFORMED)
def test_a_frame_of_a_child_is_what_was_agreed_or_refused(wrong):
    assert ChildFrame.of(AGREED).size == 576
    with pytest.raises(WorkerCrashed, match=r"^the child process gave a wrong reply: ") as caught:
        ChildFrame.of({**AGREED, **wrong})
    assert str(caught.value).encode()
    assert len(str(caught.value)) <= 200
    with pytest.raises(WorkerCrashed):
        ChildFrame.of(
            {name: value for name, value in AGREED.items() if name not in wrong} if "more" not in wrong else {}
        )


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"without": ["width", "height"]}, "^0 stopped: the child process gave a wrong reply: width: field required"),
        ({"reply": {"bytes": 2**20}}, "^0 stopped: camera: expected 1048576 bytes in the shared memory, found fewer$"),
        ({"reply": {"captured_ns": 0}}, "^0 gave a frame that is .* s old, by its time stamp$"),
        ({"reply": {"captured_ns": 2**62}}, "^0 gave a frame that is -.* s old, by its time stamp$"),
    ],
)
def test_a_camera_whose_child_replies_what_was_not_agreed_is_lost(wrong, expected):
    opened = ChildSource(settings("0"), f"{HERE}:Malformed", hint="plug it in", arguments=wrong)
    assert opened.read().image.shape == opened.read().image.shape == (12, 16, 3)
    with pytest.raises(SourceLost, match=expected):
        opened.read()
    opened.close()


@pytest.mark.parametrize(
    "info", [{"fps": "abc"}, {"fps": float("nan")}, {"fps": -1}, {"fps": 0}, {"more": 1}, {"fps": []}, {"hflip": 1}]
)
def test_what_a_child_says_of_itself_is_what_was_agreed_or_refused(info):
    assert SourceInfo.of({}) == SourceInfo.of({"fps": None, "hflip": False})
    with pytest.raises(WorkerCrashed, match=r"^the child process gave a wrong reply: (fps|more|hflip): "):
        SourceInfo.of(info)


def test_a_camera_whose_child_introduces_itself_wrongly_does_not_open():
    wrong = {"info": {"fps": "abc"}}
    expected = r"^expected to open 0, found: the child process gave a wrong reply: fps: .*; plug it in$"
    with pytest.raises(SourceError, match=expected) as caught:
        ChildSource(settings("0"), f"{HERE}:Malformed", hint="plug it in", arguments=wrong)
    assert not isinstance(caught.value, SourceLost)


def test_a_camera_without_memory_for_its_picture_is_lost(monkeypatch):
    opened = generator()

    def no_memory(*_arguments):
        raise MemoryError

    monkeypatch.setattr(child_source, "decode", no_memory)
    with pytest.raises(SourceLost, match=r"^0: not enough memory for 16x12 pixels$"):
        opened.read()
    opened.close()


def test_a_missing_camera_is_one_line():
    with pytest.raises(SourceError, match=r"^expected to open 0, found: it cannot be opened; plug it in$") as caught:
        generator(trouble="missing")
    assert not isinstance(caught.value, SourceLost)


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        ("abort", r"^0 stopped: camera: the child process was ended by SIGABRT during `read`$"),
        ("hang", r"^0 gave no frame for 0.3 s$"),
        ("fail", r"^0 stopped: it gives no more frames$"),
    ],
)
def test_a_camera_that_stops_is_lost_with_its_reason(tmp_path, trouble, expected):
    options = settings("0", read_timeout_s=0.3)
    opened = generator(options, trouble=trouble, at=2, marker=str(tmp_path / "marker"))
    opened.read()
    opened.read()
    with pytest.raises(SourceLost, match=expected):
        opened.read()
    opened.close()


def test_passwords_are_in_no_message():
    options = settings("rtsp://admin:hunter2@127.0.0.1:1/a", open_timeout_s=10)
    with pytest.raises(SourceError) as caught:
        open_source(options)
    assert "hunter2" not in str(caught.value)
    assert "admin" not in str(caught.value)
    assert "rtsp://***@127.0.0.1:1/a" in str(caught.value)


# OpenCV in the child process: devices


def test_a_camera_that_is_not_there_lists_those_that_are(tmp_path):
    (tmp_path / "video2").touch()
    (tmp_path / "video0").touch()
    with pytest.raises(SourceError, match=r"at .*video7, found .*video0, .*video2; plug it in, or name another"):
        v4l2.check_device(tmp_path / "video7", tmp_path)


def test_without_any_camera_the_message_says_so(tmp_path):
    with pytest.raises(SourceError, match="found no camera at all"):
        v4l2.check_device(tmp_path / "video0", tmp_path)


def test_an_index_means_a_device():
    with pytest.raises(SourceError, match="expected a camera at /dev/video987, found"):
        open_source(settings("987"))


def test_a_file_in_the_place_of_a_camera_is_named(tmp_path):
    (tmp_path / "video0").touch()
    with pytest.raises(SourceError, match="found no character device"):
        v4l2.check_device(tmp_path / "video0", tmp_path)


def test_a_camera_without_permission_says_which_group_to_join(monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    group = Path("/dev/null").group()
    with pytest.raises(SourceError, match=rf"found no permission; join its group: sudo usermod -aG {group} \$USER"):
        v4l2.check_device(Path("/dev/null"))


def test_a_group_without_a_name_goes_by_its_number(monkeypatch):
    def nameless(self):
        raise KeyError("getgrgid(): gid not found")

    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr(Path, "group", nameless)
    with pytest.raises(SourceError, match=rf"usermod -aG {Path('/dev/null').stat().st_gid} \$USER"):
        v4l2.check_device(Path("/dev/null"))


def test_a_device_that_takes_no_pictures_is_one_line(capfd):
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(
        SourceError, match=r"to open /dev/null, found: it is no camera that V4L2 knows; see `edge-fer cameras`"
    ):
        open_source(settings("/dev/null"))
    assert capfd.readouterr() == ("", "")


# OpenCV in the child process: streams


def test_a_refused_connection_is_one_line_with_the_reason(capfd):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    expected = rf"^expected to open http://127\.0\.0\.1:{port}/, found: Connection refused; check"
    with pytest.raises(SourceError, match=expected):
        open_source(settings(f"http://127.0.0.1:{port}/"))
    assert capfd.readouterr() == ("", "")


def test_an_unknown_scheme_is_one_line():
    with pytest.raises(SourceError, match=r"to open nonsense://host/a, found: it cannot be opened.*; check"):
        open_source(settings("nonsense://host/a"))


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_never_answers_costs_the_deadline(deaf, scheme):
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"expected|found"):
        open_source(settings(f"{scheme}://127.0.0.1:{deaf}/a", open_timeout_s=0.8))
    assert time.monotonic() - began < 10.0


def test_a_stream_that_ends_is_lost(stream):
    opened = open_source(settings(stream.url, read_timeout_s=3))
    assert opened.read()[0].shape == (*SIZE, 3)
    stream.stop()
    with pytest.raises(SourceLost, match=r"stopped: it gives no more frames"):
        count(opened)
    opened.close()


class Plain:
    """Memory of this process, for what runs in a child otherwise."""

    def __init__(self) -> None:
        self.content = bytearray()

    def view(self, size: int) -> memoryview:
        if len(self.content) < size:
            self.content = bytearray(size)
        return memoryview(self.content)[:size]


def test_write_frame_hands_over_every_pixel():
    memory = Plain()
    reply = write_frame(memory, picture(3), 123)
    assert reply == {"width": 64, "height": 48, "pixel_format": "bgr24", "stride": 192, "bytes": 9216,
                     "captured_ns": 123}  # fmt: skip
    assert bytes(memory.content) == picture(3).tobytes()


def test_a_stream_is_read_in_this_process(stream):
    memory = Plain()
    capture = StreamChild(memory, stream.url, 5.0, 5.0)
    replies = [capture.read() for _ in range(3)]
    assert [(reply["height"], reply["width"]) for reply in replies] == [SIZE] * 3
    assert len(memory.content) == 48 * 64 * 3
    capture.close()
