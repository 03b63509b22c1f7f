"""From the bytes of a frame to a picture: every format, with and without padding."""

from __future__ import annotations

from typing import get_args

import cv2
import numpy as np
import pytest

from edge_fer.capture.sources.pixels import decode, frame_bytes, row_bytes
from edge_fer.types import PixelFormat
from tests.capture.sources.test_sources import picture

WIDTH, HEIGHT = 64, 48


def encode(image, pixel_format):
    """The rows of a picture in a format, by OpenCV or by hand."""
    if pixel_format == "bgr24":
        return image.reshape(HEIGHT, -1)
    if pixel_format in ("rgb24", "bgr0", "rgb0", "gray8"):
        code = {"rgb24": cv2.COLOR_BGR2RGB, "bgr0": cv2.COLOR_BGR2BGRA, "rgb0": cv2.COLOR_BGR2RGBA}
        return cv2.cvtColor(image, code.get(pixel_format, cv2.COLOR_BGR2GRAY)).reshape(HEIGHT, -1)
    planar = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    if pixel_format == "yuv420p":
        return planar
    luma, u, v = np.split(planar.reshape(-1), [WIDTH * HEIGHT, WIDTH * HEIGHT * 5 // 4])
    if pixel_format == "nv12":
        return np.concatenate([luma, np.stack([u, v], axis=1).reshape(-1)]).reshape(-1, WIDTH)
    colour = np.stack([u, v], axis=1).reshape(HEIGHT // 2, WIDTH).repeat(2, axis=0)
    pair = [luma.reshape(HEIGHT, WIDTH), colour]
    return np.stack(pair if pixel_format == "yuyv422" else pair[::-1], axis=2).reshape(HEIGHT, -1)


@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize("pixel_format", get_args(PixelFormat))
def test_every_format_is_the_picture_it_was(pixel_format, padding):
    image = picture(size=(HEIGHT, WIDTH))
    rows = encode(image, pixel_format)
    if pixel_format == "yuv420p" and padding:  # a row of colour is half as long, and so is its padding
        luma, colour = rows[:HEIGHT], rows[HEIGHT:].reshape(-1, WIDTH // 2)
        padded = [np.pad(luma, ((0, 0), (0, padding))), np.pad(colour, ((0, 0), (0, padding // 2)))]
        rows = np.concatenate([part.reshape(-1) for part in padded]).reshape(-1, WIDTH + padding)
    else:
        rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    stride = row_bytes(pixel_format, WIDTH) + padding
    content = rows.tobytes()
    assert len(content) == frame_bytes(pixel_format, stride, HEIGHT)
    decoded = decode(content, pixel_format, WIDTH, HEIGHT, stride)
    assert decoded.shape == (HEIGHT, WIDTH, 3)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    expected = (
        cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) if "gray" in pixel_format else image
    )
    exact = pixel_format in ("bgr24", "rgb24", "bgr0", "rgb0", "gray8")
    assert np.abs(decoded.astype(int) - expected).max() <= (0 if exact else 12)


def test_a_picture_is_a_copy_of_the_bytes():
    content = bytearray(12)
    decoded = decode(content, "bgr24", 2, 2, 6)
    content[0] = 9
    assert decoded[0, 0, 0] == 0


def test_a_jpeg_is_decoded_where_it_has_the_size_that_was_agreed():
    image = picture(size=(HEIGHT, WIDTH))
    content = cv2.imencode(".jpg", image)[1].tobytes()
    decoded = decode(content, "mjpeg", WIDTH, HEIGHT, 0)
    assert decoded.shape == image.shape
    assert np.abs(decoded.astype(int) - image).mean() < 3
    assert decode(content, "mjpeg", WIDTH + 1, HEIGHT, 0) is None
    assert decode(content, "mjpeg", WIDTH, HEIGHT // 2, 0) is None
    assert decode(b"\xff\xd8 broken", "mjpeg", WIDTH, HEIGHT, 0) is None


def test_a_jpeg_of_whole_blocks_is_cut_to_the_size_that_was_agreed():
    content = cv2.imencode(".jpg", picture(size=(HEIGHT, WIDTH)))[1].tobytes()
    cut = decode(content, "mjpeg", WIDTH - 3, HEIGHT - 8, 0)
    assert cut.flags.c_contiguous
    np.testing.assert_array_equal(cut, decode(content, "mjpeg", WIDTH, HEIGHT, 0)[: HEIGHT - 8, : WIDTH - 3])


def test_what_bytes_are_missing_of_is_no_picture():
    assert decode(bytes(row_bytes("yuyv422", WIDTH) * HEIGHT - 1), "yuyv422", WIDTH, HEIGHT, WIDTH * 2) is None


def test_a_jpeg_that_is_damaged_is_no_picture_and_takes_no_memory(monkeypatch):
    whole = cv2.imencode(".jpg", picture(size=(HEIGHT, WIDTH)))[1].tobytes()
    start = whole.index(b"\xff\xc0") + 5  # the frame header: length, precision, then height and width
    two_bits = bytearray(whole)
    two_bits[start] ^= 0x40  # 16 thousand pixels high
    two_bits[start + 2] ^= 0x40
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded though its size is wrong"))
    for content in (two_bits, whole[:start] + b"\xff" * 4 + whole[start + 4 :], whole[:40], b"\xff\xd8\xff"):
        assert decode(content, "mjpeg", WIDTH, HEIGHT, 0) is None
    monkeypatch.undo()
    assert decode(whole, "mjpeg", WIDTH, HEIGHT, 0).shape == (HEIGHT, WIDTH, 3)
    assert decode(whole[: len(whole) // 2], "mjpeg", WIDTH, HEIGHT, 0) is None
