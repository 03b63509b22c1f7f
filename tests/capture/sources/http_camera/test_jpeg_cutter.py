"""Pictures cut out of an endless answer, whatever stands between them and however it arrives."""

from __future__ import annotations

import itertools
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from edge_fer.capture.sources.http_camera.jpeg_cutter import JpegCutter
from tests.support.mjpeg_server import jpeg

MAX_PICTURE, MAX_BETWEEN = 20_000, 20_000


def noise(seed: int) -> bytes:
    """A small JPEG file whose data has many stuffed bytes."""
    return jpeg(np.random.default_rng(seed).integers(0, 256, (16, 24, 3), np.uint8))


JPEGS = [noise(seed) for seed in range(4)]


def with_thumbnail(content: bytes, thumbnail: bytes) -> bytes:
    """A JPEG file with another one in its header, as cameras put there."""
    body = b"Exif\0\0" + thumbnail
    return content[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + content[2:]


def cut(*pieces: bytes) -> tuple[list[bytes], int]:
    """The pictures in pieces of an answer, and how many were broken."""
    cutter = JpegCutter(MAX_PICTURE, MAX_BETWEEN)
    pictures = [picture.content for piece in pieces for picture in cutter.feed(piece, 0)]
    return pictures, cutter.broken


BETWEEN = {
    "usual": b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 1234\r\n\r\n",
    "line feeds only": b"\n--frame\nContent-Type: image/jpeg\n\n",
    "no header": b"--frame\r\n\r\n",
    "no boundary": b"\r\nContent-Type: image/jpeg\r\n\r\n",
    "nothing": b"",
    "padding": bytes(100) + b"\r\n--frame\r\n\r\n",
    "text": b"\r\n--frame\r\nContent-Type: text/plain\r\n\r\nmotion \xff\xd9\r\n--frame\r\n\r\n",
}


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
def test_what_stands_between_pictures_does_not_matter(between):
    assert cut(b"".join(between + one for one in JPEGS)) == (JPEGS, 0)
    assert cut(b"a preamble\r\n" + b"".join(between + one for one in JPEGS)) == (JPEGS, 0)


def test_a_picture_is_complete_with_its_last_byte():
    cutter = JpegCutter()
    assert cutter.feed(b"--f\r\n\r\n" + JPEGS[0][:-1], 1) == []
    assert cutter.feed(JPEGS[0][-1:], 2) == [(JPEGS[0], 1)], "its time is that of its first byte"


def test_a_thumbnail_is_part_of_its_picture():
    pictures = [with_thumbnail(one, JPEGS[0]) for one in JPEGS]
    assert cut(b"".join(BETWEEN["usual"] + one for one in pictures)) == (pictures, 0)


def test_a_progressive_picture_and_one_with_fill_bytes_are_whole():
    import cv2

    image = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    progressive = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1]
    filled = JPEGS[0][:2] + b"\xff\xff" + JPEGS[0][2:-2] + b"\xff\xff\xff\xd9"
    assert cut(b"\n" + progressive.tobytes() + b"\n" + filled) == ([progressive.tobytes(), filled], 0)


@pytest.mark.parametrize("keep", [3, 30, 300, -2])
def test_a_picture_that_breaks_off_costs_nothing_but_itself(keep):
    """What is cut off within a header may take the next picture with it."""
    pictures, broken = cut(b"".join([BETWEEN["usual"] + JPEGS[0][:keep], *(BETWEEN["usual"] + one for one in JPEGS)]))
    assert broken >= 1
    assert pictures in (JPEGS, JPEGS[1:])
    assert keep != -2 or pictures == JPEGS


def test_the_thumbnail_in_the_remains_of_a_picture_is_none():
    broken = with_thumbnail(JPEGS[0], JPEGS[1])
    broken = broken[:4] + b"\0\x08" + broken[6:]  # its header ends too early: the walk comes out within
    assert cut(b"\n" + broken + b"\r\n" + JPEGS[2]) == ([JPEGS[2]], 1)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\n\xff\xd8\xff\xda\0\x02" + bytes(MAX_PICTURE), "it sends a picture of more than"),
        (b"no picture at all " * 2_000, "it sends 19 KiB without a JPEG picture"),
    ],
)
def test_what_does_not_end_is_given_up(content, expected):
    with pytest.raises(OSError, match=expected):
        cut(*(content[at : at + 1000] for at in range(0, len(content), 1000)))


PIECES = st.lists(
    st.one_of(
        st.sampled_from([*JPEGS, *BETWEEN.values(), b"\n", b"\n\xff\xd8\xff", b"\xff\xd9", b"\xff\xda\0\x02"]),
        st.binary(max_size=60),
        st.tuples(st.sampled_from(JPEGS), st.integers(0, 700)).map(lambda one: one[0][: one[1]]),
    ),
    max_size=12,
)
CUTS = st.lists(st.integers(0, 8000), max_size=12)


@examples(deadline=None, max_examples=60)
@given(PIECES, CUTS)
def test_pictures_do_not_depend_on_how_the_bytes_arrive(parts, cuts):
    content = b"".join(parts)
    edges = [0, *sorted(min(at, len(content)) for at in cuts), len(content)]
    whole = cut(content)
    assert cut(*(content[a:b] for a, b in itertools.pairwise(edges))) == whole
    assert all(one.startswith(b"\xff\xd8\xff") and one.endswith(b"\xff\xd9") for one in whole[0])


@examples(deadline=None, max_examples=25)
@given(st.lists(PIECES.map(b"".join), min_size=1), st.integers(1, 4))
def test_garbage_for_ever_takes_bounded_memory(pieces, times):
    cutter = JpegCutter(MAX_PICTURE, MAX_BETWEEN)
    with suppress(OSError):  # given up, in words: see above
        for piece in pieces * times:
            cutter.feed(piece, 0)
            assert len(cutter._buffer) <= MAX_PICTURE
