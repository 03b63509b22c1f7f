"""What a JPEG's header states, of whole, damaged and arbitrary bytes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.capture.sources.jpeg import MAX_SCANS, has_more_pictures, jpeg_size
from tests.capture.sources.test_sources import picture


def jpeg(height=48, width=64, *options):
    return cv2.imencode(".jpg", picture(size=(height, width)), options)[1].tobytes()


def with_segment(content, marker, body):
    """The JPEG with a segment of that marker at its beginning."""
    return content[:2] + bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body + content[2:]


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 1)])
def test_the_size_stands_in_the_header(options):
    assert jpeg_size(jpeg(48, 64, *options)) == (64, 48)


def test_a_thumbnail_fill_bytes_and_strange_bytes_before_a_marker_do_not_hide_the_header():
    content = with_segment(jpeg(), 0xE1, b"Exif\0\0" + jpeg(8, 8))
    assert jpeg_size(content) == (64, 48)
    assert jpeg_size(content[:2] + b"\xff\xff\xff" + content[2:]) == (64, 48)
    assert jpeg_size(content[:2] + b"\x00\x11\xff\x00" + content[2:]) == (64, 48)  # as libjpeg does


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", jpeg()[:30], b"\x89PNG", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xe0\0\1"]
)
def test_without_a_header_there_is_no_size(content):
    assert jpeg_size(content) is None


def test_a_jpeg_of_endless_scans_has_no_size():
    content = jpeg()
    assert jpeg_size(content + b"\xff\xda" * (MAX_SCANS - 1)) == (64, 48)
    assert jpeg_size(content + b"\xff\xda" * MAX_SCANS) is None


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 1)])
def test_a_film_of_jpegs_has_more_pictures(options):
    content = jpeg(48, 64, *options)
    assert not has_more_pictures(content)
    assert has_more_pictures(content * 2)
    assert has_more_pictures(content + bytes(7) + content)
    assert not has_more_pictures(content + b"trailer" + content)  # as phones append a film to a photo
    assert not has_more_pictures(with_segment(content, 0xE1, content))


def test_a_photo_with_a_preview_beside_it_is_one_picture():
    assert not has_more_pictures(with_segment(jpeg(), 0xE2, b"MPF\0") + jpeg(8, 8))


PIECES = st.sampled_from(
    [b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"\xff\xe1\xff\xff", b"\xff", b"\0\2", jpeg()]
)


@given(st.lists(PIECES | st.binary(max_size=20), max_size=20).map(b"".join), st.booleans())
def test_any_bytes_have_a_size_or_none(content, starts):
    content = b"\xff\xd8" * starts + content
    size = jpeg_size(content)
    assert size is None or (0 < size[0] <= 0xFFFF and 0 < size[1] <= 0xFFFF)
    assert has_more_pictures(content) in (True, False)


@given(st.integers(0, 400), st.integers(1, 255))
def test_the_decoder_never_finds_another_size_than_the_header_reader(place, flipped):
    content = bytearray(jpeg())
    content[place] ^= flipped
    size = jpeg_size(bytes(content))
    if size is None or size[0] * size[1] <= 1 << 22:
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return
        assert image is None or image.shape[1::-1] == size
