"""Cameras behind http://: every dialect of motion JPEG, snapshots, and whatever else is answered."""

from __future__ import annotations

import socket
import time
from http.client import HTTPResponse

import numpy as np
import pytest

from edge_fer.capture.sources import MAX_PIXELS
from edge_fer.capture.sources.http_camera.child import open_camera
from edge_fer.capture.sources.http_camera.pictures import MAX_BROKEN, MjpegPictures
from edge_fer.capture.sources.open_source import open_source
from edge_fer.errors import SourceLost, SourceRefused
from tests.capture.sources.test_sources import Plain, picture, settings, write_video
from tests.support.mjpeg_server import jpeg
from tests.support.scripted_http import ScriptedHttp, ok

JPEGS = [jpeg(picture(number)) for number in range(5)]
MIXED = "multipart/x-mixed-replace; boundary=f"
TYPE, LENGTH = b"Content-Type: image/jpeg\r\n", b"Content-Length: %d\r\n"


def parts(before: bytes, after: bytes = b"\r\n", files=JPEGS) -> bytes:
    return b"".join((before % len(one) if b"%d" in before else before) + one + after for one in files)


def chunked(body: bytes, size: int = 700) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;a=b\r\n" % len(one) + one + b"\r\n" for one in pieces)


def shown(reply: dict, memory: Plain) -> int:
    """The number of the picture in a reply."""
    image = np.frombuffer(memory.content, np.uint8, reply["bytes"]).reshape(reply["height"], reply["width"], 3)
    return round(float(image[..., 2].mean()) / 20)


def until(source, error: str):
    """What a source gives until it raises an error."""
    with pytest.raises(OSError, match=error):
        yield from iter(source.read, None)


def read_all(answer: bytes, **more) -> list[int]:
    """The numbers of the pictures that an answer gives, read in this process; those that were overtaken are missing."""
    memory = Plain()
    numbers, dropped = [], 0
    with ScriptedHttp({"*": answer}) as server:
        camera = open_camera(memory, server.url(), 5.0, 5.0, **more)
        for reply in until(camera, "it gives no more frames"):
            assert reply["skipped"] == 0
            numbers.append(shown(reply, memory))
            dropped += reply["dropped"]
        camera.close()
    assert dropped + len(numbers) == len(JPEGS)
    return numbers


ALL = parts(b"--f\r\n\r\n")
DIALECTS = {
    "usual": ok(MIXED, parts(b"--f\r\n" + TYPE + LENGTH + b"\r\n")),
    "type with a parameter": ok(MIXED, parts(b"--f\r\nContent-Type: image/jpeg; q=1\r\n" + LENGTH + b"\r\n")),
    "image/jpg": ok(MIXED, parts(b"--f\r\nContent-Type: image/jpg\r\n" + LENGTH + b"\r\n")),
    "no type": ok(MIXED, parts(b"--f\r\n" + LENGTH + b"\r\n")),
    "no header": ok(MIXED, parts(b"--f\r\n\r\n")),
    "no length": ok(MIXED, parts(b"--f\r\n" + TYPE + b"\r\n")),
    "a wrong length": ok(MIXED, parts(b"--f\r\n" + TYPE + b"Content-Length: 17\r\n\r\n")),
    "line feeds": ok(MIXED, parts(b"--f\nContent-Type: image/jpeg\n\n", b"\n")),
    "preamble": ok(MIXED, b"This is a message of several parts\r\n" + parts(b"--f\r\n" + TYPE + b"\r\n")),
    "boundary after": ok(MIXED, parts(TYPE + LENGTH + b"\r\n", b"\r\n--f\r\n")),
    "quoted boundary": ok('multipart/x-mixed-replace; boundary="--f"', parts(b"--f\r\n" + TYPE + b"\r\n")),
    "another boundary": ok("Multipart/X-Mixed-Replace;boundary=g", parts(b"\r\n--f\r\n" + TYPE + b"\r\n")),
    "no boundary": ok("multipart/x-mixed-replace", parts(b"--f\r\n" + TYPE + b"\r\n")),
    "multipart/mixed": ok("multipart/mixed; boundary=f", parts(b"--f\r\n" + TYPE + b"\r\n")),
    "a length of all": ok(MIXED, ALL, f"Content-Length: {len(ALL)}"),
    "an end": ok(MIXED, parts(b"--f\r\n" + TYPE + b"\r\n") + b"--f--\r\n"),
    "padding": ok(MIXED, parts(b"--f\r\n" + TYPE + b"\r\n", bytes(64) + b"\r\n")),
    "no type at all": ok(None, parts(b"--f\r\n" + TYPE + b"\r\n")),
    "bytes": ok("application/octet-stream", parts(b"\r\n--f\r\n" + TYPE + b"\r\n")),
    "chunks": ok(MIXED, chunked(parts(b"--f\r\n" + TYPE + LENGTH + b"\r\n")), "Transfer-Encoding: chunked"),
    "a chunk a part": ok(MIXED, chunked(parts(b"--f\r\n" + TYPE + b"\r\n"), 5000), "Transfer-Encoding: chunked"),
    "HTTP/1.0": b"HTTP/1.0 200 OK\nContent-type: multipart/x-mixed-replace;boundary=f\n\n" + parts(b"--f\n\n"),
}  # fmt: skip


@pytest.mark.parametrize("answer", DIALECTS.values(), ids=DIALECTS)
def test_every_dialect_is_read(answer):
    numbers = read_all(answer)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == len(JPEGS) - 1


@pytest.fixture(params=["plain", "chunked"])
def piped(request):
    """Motion JPEG whose bytes the test sends itself; its pictures. A read that would wait for more fails."""
    near, far = socket.socketpair()
    far.settimeout(5.0)
    in_chunks = request.param == "chunked"
    near.sendall(ok(MIXED, b"", *(["Transfer-Encoding: chunked"] if in_chunks else [])))
    with near, far:
        answer = HTTPResponse(far)
        answer.begin()
        with answer:
            yield lambda content: near.sendall(chunked(content) if in_chunks else content), MjpegPictures(answer, far)


def test_the_newest_picture_wins_and_the_others_are_counted(piped):
    send, pictures = piped
    noise = np.random.default_rng(0).integers(0, 256, (3, 120, 160, 3), np.uint8)
    large = [jpeg(one) for one in noise]  # each larger than what http.client reads ahead
    before = time.monotonic_ns()
    send(parts(b"--f\r\n\r\n", files=large) + large[0][:100])
    content, captured_ns = pictures.next()
    assert (content, pictures.dropped, pictures.broken) == (large[-1], 2, 0)
    assert before <= captured_ns <= time.monotonic_ns()


def test_a_picture_that_is_on_its_way_is_not_waited_for(piped):
    send, pictures = piped
    send(b"--f\r\n\r\n" + JPEGS[0] + b"\r\n--f\r\n\r\n" + JPEGS[1][:-1])
    assert pictures.next().content == JPEGS[0]
    send(JPEGS[1][-1:])
    assert pictures.next().content == JPEGS[1]
    assert pictures.dropped == 0


def test_a_picture_is_as_old_as_its_first_byte(piped):
    send, pictures = piped
    send(b"--f\r\n\r\n" + JPEGS[0] + b"\r\n--f\r\n\r\n" + JPEGS[1][:50])
    pictures.next()
    arrived = time.monotonic_ns()
    send(JPEGS[1][50:])
    assert pictures.next().captured_ns < arrived


def test_broken_pictures_are_left_out_and_counted():
    truncated, scrambled = (
        JPEGS[1][:-60],
        JPEGS[2].replace(b"\xff\xc0", b"\xff\xc9", 1),
    )  # of a kind that is not decoded
    memory = Plain()
    with ScriptedHttp({"*": ok(MIXED, parts(b"--f\r\n\r\n", files=[truncated, scrambled, JPEGS[3]]))}) as server:
        camera = open_camera(memory, server.url(), 5.0, 5.0)
        reply = camera.read()
        assert shown(reply, memory) == 3
        assert reply["skipped"] + reply["dropped"] == 2
        assert reply["skipped"] >= 1
        camera.close()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (parts(b"--f\r\n\r\n", files=[JPEGS[0][:-60]] * (MAX_BROKEN + 2)), f"{MAX_BROKEN} pictures in a row broke off"),
        (b"--f\r\nContent-Type: image/png\r\n\r\n" + bytes(1 << 21), "it sends 1024 KiB without a JPEG picture"),
        (b"\n\xff\xd8\xff\xda\0\x02" + bytes(33 << 20), "it sends a picture of more than 32 MiB"),
        (b"", "it gives no more frames"),
    ],
)
def test_a_camera_that_never_gives_a_picture_is_given_up(body, expected):
    with ScriptedHttp({"*": ok(MIXED, body)}) as server, pytest.raises(OSError, match=expected):
        open_camera(Plain(), server.url(), 5.0, 5.0)


def test_a_picture_of_too_many_pixels_is_not_decoded():
    start = JPEGS[0].index(b"\xff\xc0")
    huge = JPEGS[0][: start + 5] + b"\xff\xff\xff\xff" + JPEGS[0][start + 9 :]
    assert MAX_PIXELS < 65535 * 65535
    for content_type, body in ((MIXED, parts(b"--f\r\n\r\n", files=[huge])), ("image/jpeg", huge)):
        with (
            ScriptedHttp({"*": ok(content_type, body)}) as server,
            pytest.raises(OSError, match=r"a picture of 65535x65535 pixels; choose a smaller one in its settings"),
        ):
            open_camera(Plain(), server.url(), 5.0, 5.0)


@pytest.mark.parametrize(
    ("content_type", "headers", "expected"),
    [
        ("text/html; charset=utf-8", [], r"it answers with a web page; name the address of its stream or snapshot"),
        ("image/png", [], r"it answers with a picture that is no JPEG \(image/png\); choose JPEG in its settings"),
        (MIXED, ["Content-Encoding: gzip"], r"it compresses its answer \(gzip\) without being asked to; switch"),
    ],
)
def test_an_answer_of_no_use_is_told(content_type, headers, expected):
    with ScriptedHttp({"*": ok(content_type, b"abc", *headers)}) as server, pytest.raises(OSError, match=expected):
        open_camera(Plain(), server.url(), 5.0, 5.0)


def test_what_ffmpeg_cannot_read_is_told_with_its_type():
    with (
        ScriptedHttp({"*": ok("application/json", b"{}")}) as server,
        pytest.raises(OSError, match=r"^it answers with application/json, but it cannot be opened"),
    ):
        open_camera(Plain(), server.url(), 5.0, 5.0)


# As a source, in a child process


def test_a_film_behind_http_is_left_to_ffmpeg(tmp_path):
    """With the login, and from where it was redirected to."""
    film = write_video(tmp_path / "a.mp4", frames=5).read_bytes()
    wanted = "Authorization: Basic dTpw"

    def answer(request, connection):
        body = ok("video/mp4", film, f"Content-Length: {len(film)}")
        connection.sendall(body if wanted in request else b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=a\r\n\r\n")
        return False

    moved = b"HTTP/1.1 302 Found\r\nLocation: /film.mp4\r\nContent-Length: 0\r\n\r\n"
    with ScriptedHttp({"/": moved, "*": answer}) as server:
        opened = open_source(settings(server.url("/", "u:p@")))
        numbers = [opened.read().image.shape for _ in range(3)]
        opened.close()
    assert numbers == [(48, 64, 3)] * 3


def test_a_refusal_reaches_the_user_with_its_own_hint_and_without_the_password():
    with ScriptedHttp({"*": b"HTTP/1.1 401 Unauthorized\r\n\r\n"}) as server, pytest.raises(SourceRefused) as caught:
        open_source(settings(server.url("/a", "admin:hunter2@")))
    assert str(caught.value).startswith(
        f"expected to open http://***@127.0.0.1:{server.port}/a, found: it answers 401 "
    )
    assert str(caught.value).endswith("in a password, percent-encode @ : / ? # and % (%40 for @)")
    assert "hunter2" not in str(caught.value)


def test_what_is_left_out_is_counted_by_the_source():
    body = parts(b"--f\r\n\r\n", files=[JPEGS[0], JPEGS[1][:-60], JPEGS[2], JPEGS[3]])
    with ScriptedHttp({"*": ok(MIXED, body)}) as server:
        opened = open_source(settings(server.url()))
        frames = list(until(opened, "stopped: it gives no more frames"))
        opened.close()
    assert opened.skipped == 1
    assert len(frames) + sum(one.dropped for one in frames) == 3


@pytest.mark.slow
def test_a_server_that_drips_costs_the_deadline():
    def drip(request, connection):
        connection.sendall(ok(MIXED, parts(b"--f\r\n\r\n", files=JPEGS[:1])))
        while True:
            connection.sendall(b"-")
            time.sleep(0.02)

    with ScriptedHttp({"*": drip}) as server:
        opened = open_source(settings(server.url(), read_timeout_s=0.4))
        opened.read()
        began = time.monotonic()
        with pytest.raises(SourceLost, match=r"gave no frame for 0\.4 s"):
            opened.read()
        assert time.monotonic() - began < 5.0
        opened.close()
