"""The ioctls of the kernel's <linux/videodev2.h>: structures, field by field, and the numbers of the requests."""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_int, c_int32, c_long, c_uint8, c_uint32, c_ulong, c_void_p
from typing import Any

CAPTURE = 1
"""V4L2_BUF_TYPE_VIDEO_CAPTURE and V4L2_CAP_VIDEO_CAPTURE."""

_READ, _WRITE = 2, 1


class Capability(ctypes.Structure):
    """struct v4l2_capability."""

    _fields_ = (
        ("driver", c_char * 16), ("card", c_char * 32), ("bus_info", c_char * 32), ("version", c_uint32),
        ("capabilities", c_uint32), ("device_caps", c_uint32), ("reserved", c_uint32 * 3),
    )  # fmt: skip


class FormatDescription(ctypes.Structure):
    """struct v4l2_fmtdesc."""

    _fields_ = (
        ("index", c_uint32), ("type", c_uint32), ("flags", c_uint32), ("description", c_char * 32),
        ("pixelformat", c_uint32), ("mbus_code", c_uint32), ("reserved", c_uint32 * 3),
    )  # fmt: skip


class FrameSize(ctypes.Structure):
    """struct v4l2_frmsizeenum."""

    # Discrete: width and height; else min_width, max_width, step_width, min_height, max_height, step_height.
    _fields_ = (
        ("index", c_uint32), ("pixel_format", c_uint32), ("type", c_uint32), ("sizes", c_uint32 * 6),
        ("reserved", c_uint32 * 2),
    )  # fmt: skip


class FrameInterval(ctypes.Structure):
    """struct v4l2_frmivalenum."""

    # Discrete: one fraction of a second; else min, max and step.
    _fields_ = (
        ("index", c_uint32), ("pixel_format", c_uint32), ("width", c_uint32), ("height", c_uint32), ("type", c_uint32),
        ("fractions", c_uint32 * 6), ("reserved", c_uint32 * 2),
    )  # fmt: skip


class PictureFormat(ctypes.Structure):
    """struct v4l2_pix_format."""

    _fields_ = (
        ("width", c_uint32), ("height", c_uint32), ("pixelformat", c_uint32), ("field", c_uint32),
        ("bytesperline", c_uint32), ("sizeimage", c_uint32), ("colorspace", c_uint32), ("priv", c_uint32),
        ("flags", c_uint32), ("ycbcr_enc", c_uint32), ("quantization", c_uint32), ("xfer_func", c_uint32),
    )  # fmt: skip


class _AnyFormat(ctypes.Union):
    _fields_ = (("picture", PictureFormat), ("raw", c_uint8 * 200), ("pointer", c_void_p))  # the last one aligns it


class FormatStructure(ctypes.Structure):
    """struct v4l2_format."""

    _fields_ = (("type", c_uint32), ("any", _AnyFormat))


class QueryControl(ctypes.Structure):
    """struct v4l2_queryctrl."""

    _fields_ = (
        ("id", c_uint32), ("type", c_uint32), ("name", c_char * 32), ("minimum", c_int32), ("maximum", c_int32),
        ("step", c_int32), ("default_value", c_int32), ("flags", c_uint32), ("reserved", c_uint32 * 2),
    )  # fmt: skip


class ControlStructure(ctypes.Structure):
    """struct v4l2_control."""

    _fields_ = (("id", c_uint32), ("value", c_int32))


class RequestBuffers(ctypes.Structure):
    """struct v4l2_requestbuffers."""

    _fields_ = (
        ("count", c_uint32), ("type", c_uint32), ("memory", c_uint32), ("capabilities", c_uint32), ("flags", c_uint8),
        ("reserved", c_uint8 * 3),
    )  # fmt: skip


class Buffer(ctypes.Structure):
    """struct v4l2_buffer."""

    # `where` is the offset for mmap; its width and alignment are those of the header's union.
    _fields_ = (
        ("index", c_uint32), ("type", c_uint32), ("bytesused", c_uint32), ("flags", c_uint32), ("field", c_uint32),
        ("seconds", c_long), ("microseconds", c_long), ("timecode", c_uint32 * 4), ("sequence", c_uint32),
        ("memory", c_uint32), ("where", c_ulong), ("length", c_uint32), ("reserved2", c_uint32),
        ("request_fd", c_uint32),
    )  # fmt: skip


class StreamParameters(ctypes.Structure):
    """struct v4l2_streamparm, for capture."""

    _fields_ = (
        ("type", c_uint32), ("capability", c_uint32), ("capturemode", c_uint32), ("numerator", c_uint32),
        ("denominator", c_uint32), ("rest", c_uint32 * 46),
    )  # fmt: skip


def _number(direction: int, number: int, structure: type[Any]) -> int:
    """The number of an ioctl, as _IOR, _IOW and _IOWR in <asm-generic/ioctl.h> make it."""
    return direction << 30 | ctypes.sizeof(structure) << 16 | ord("V") << 8 | number


QUERYCAP = _number(_READ, 0, Capability)
ENUM_FMT = _number(_READ | _WRITE, 2, FormatDescription)
G_FMT = _number(_READ | _WRITE, 4, FormatStructure)
S_FMT = _number(_READ | _WRITE, 5, FormatStructure)
S_CTRL = _number(_READ | _WRITE, 28, ControlStructure)
QUERYCTRL = _number(_READ | _WRITE, 36, QueryControl)
ENUM_FRAMESIZES = _number(_READ | _WRITE, 74, FrameSize)
ENUM_FRAMEINTERVALS = _number(_READ | _WRITE, 75, FrameInterval)
REQBUFS = _number(_READ | _WRITE, 8, RequestBuffers)
QUERYBUF = _number(_READ | _WRITE, 9, Buffer)
QBUF = _number(_READ | _WRITE, 15, Buffer)
DQBUF = _number(_READ | _WRITE, 17, Buffer)
STREAMON = _number(_WRITE, 18, c_int)
G_PARM = _number(_READ | _WRITE, 21, StreamParameters)
S_PARM = _number(_READ | _WRITE, 22, StreamParameters)
