"""Converts the bytes of a frame, as cameras and pipes deliver them, to the runtime's picture."""

from __future__ import annotations

from typing import Literal, NamedTuple

import cv2
import numpy as np

from edge_fer.capture.sources.jpeg import jpeg_size
from edge_fer.types import Image, PixelFormat

_BLOCK = 16  # pixels: some cameras state a JPEG's size rounded up to whole blocks


class _Layout(NamedTuple):
    """How the pixels of a format are laid out in memory.

    Attributes:
        width: bytes a pixel in a row.
        height: rows of bytes for two rows of pixels; more than two where colour planes follow the luminance.
        conversion: OpenCV's code for the conversion to BGR; None where none is needed.
        shape: the last dimensions, one pixel's, of the array that OpenCV converts.
    """

    width: int
    height: int
    conversion: int | None
    shape: tuple[int, ...] = ()


_LAYOUTS: dict[PixelFormat, _Layout] = {
    "bgr24": _Layout(3, 2, None, (3,)),
    "rgb24": _Layout(3, 2, cv2.COLOR_RGB2BGR, (3,)),
    "bgr0": _Layout(4, 2, cv2.COLOR_BGRA2BGR, (4,)),
    "rgb0": _Layout(4, 2, cv2.COLOR_RGBA2BGR, (4,)),
    "gray8": _Layout(1, 2, cv2.COLOR_GRAY2BGR),
    "yuyv422": _Layout(2, 2, cv2.COLOR_YUV2BGR_YUYV, (2,)),
    "uyvy422": _Layout(2, 2, cv2.COLOR_YUV2BGR_UYVY, (2,)),
    "nv12": _Layout(1, 3, cv2.COLOR_YUV2BGR_NV12),
    "yuv420p": _Layout(1, 3, cv2.COLOR_YUV2BGR_I420),
}


def row_bytes(pixel_format: PixelFormat, width: int) -> int:
    """Bytes of a row of pixels without padding.

    Args:
        pixel_format: the format.
        width: pixels of the row.
    """
    return width * _LAYOUTS[pixel_format].width


def frame_bytes(pixel_format: PixelFormat, stride: int, height: int) -> int:
    """Bytes of a frame.

    Args:
        pixel_format: the format.
        stride: bytes from one row to the next.
        height: rows of pixels; even where the format has colour planes.
    """
    return stride * height * _LAYOUTS[pixel_format].height // 2


def decode(
    content: memoryview | bytes | bytearray,
    pixel_format: PixelFormat | Literal["mjpeg"],
    width: int,
    height: int,
    stride: int,
) -> Image | None:
    """Make a picture from the bytes of a frame, which are copied.

    Args:
        content: the frame's bytes.
        pixel_format: the format of the bytes.
        width: the picture's width, pixels; even where neighbouring pixels share their colour.
        height: the picture's height, pixels; even where there are colour planes.
        stride: bytes from one row to the next.

    Returns:
        `(height, width, 3)` uint8, BGR, contiguous. None where bytes are missing, or a JPEG cannot be decoded or has
        another size, or the format cannot have that size.
    """
    if pixel_format == "mjpeg":
        return _decode_jpeg(bytes(content), width, height)
    layout, size = _LAYOUTS[pixel_format], frame_bytes(pixel_format, stride, height)
    if len(content) < size:
        return None
    rows = np.frombuffer(content, np.uint8, size).reshape(-1, stride)
    if layout.height == 2:  # padding is cut off before the conversion; colour planes have theirs elsewhere
        rows = rows[:, : width * layout.width].reshape(height, width, *layout.shape)
    if layout.conversion is None:
        return np.array(rows)
    try:
        return np.array(cv2.cvtColor(rows, layout.conversion)[:, :width], np.uint8, order="C")
    except cv2.error:  # a size that the format cannot have
        return None


def _decode_jpeg(content: bytes, width: int, height: int) -> Image | None:
    """Decode a JPEG of a known size; what rows and columns it has beyond that are cut off."""
    stored = jpeg_size(content)
    if stored is None or not (0 <= stored[0] - width < _BLOCK and 0 <= stored[1] - height < _BLOCK):
        return None  # a damaged header, which could ask for any amount of memory
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    if image is None or image.shape != (stored[1], stored[0], 3):
        return None
    return np.ascontiguousarray(image[:height, :width], np.uint8)
