"""A fake V4L2 driver at the lowest level: it answers ioctls with the bytes that the kernel's header prescribes."""

from __future__ import annotations

import errno
import mmap
import os
import struct
import time

# Numbers of a 64-bit kernel, as `strace` shows them.
QUERYCAP, ENUM_FMT, G_FMT, S_FMT = 0x80685600, 0xC0405602, 0xC0D05604, 0xC0D05605
S_CTRL, QUERYCTRL, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0xC008561C, 0xC0445624, 0xC02C564A, 0xC034564B
REQBUFS, QUERYBUF, QBUF, DQBUF, STREAMON = 0xC0145608, 0xC0585609, 0xC058560F, 0xC0585611, 0x40045612
G_PARM, S_PARM = 0xC0CC5615, 0xC0CC5616
CAPTURE_STREAMING = 0x04000001
MONOTONIC, BROKEN = 0x2000, 0x0040


class FakeDriver:
    """A USB camera like many: raw pictures slowly, MJPG quickly.

    `formats` are lists of (fourcc, [(width, height, [(numerator, denominator), ...])]); a size may be a tuple of six
    numbers, which is a range. `controls` are (id, type, name, minimum, maximum, step, default, flags).

    It streams from buffers in the file that stands for its node. `show` fills one, with these bytes and flags and a
    stamp so old. Where none is filled, every second DQBUF calls `on_empty` and the others say EAGAIN.
    """

    FORMATS = (
        (b"YUYV", [(640, 480, [(1, 30), (1, 15)]), (1280, 720, [(1, 10)])]),
        (b"MJPG", [(640, 480, [(1, 30)]), (1280, 720, [(1, 30)]), (1920, 1080, [(1, 30)])]),
        (b"H264", [(1920, 1080, [(1, 30)])]),
    )
    CONTROLS = (
        (0x00980900, 1, b"Brightness", -64, 64, 1, 0, 0),
        (0x0098090C, 2, b"White Balance, Automatic", 0, 1, 1, 1, 0),
        (0x00980913, 1, b"Gain", 0, 100, 1, 0, 0),
        (0x00980918, 3, b"Power Line Frequency", 0, 2, 1, 1, 0),
        (0x009A0000, 6, b"Camera Controls", 0, 0, 0, 0, 0x44),
        (0x009A0901, 3, b"Auto Exposure", 0, 3, 1, 3, 0),
        (0x009A0902, 1, b"Exposure Time, Absolute", 1, 5000, 1, 157, 0),
        (0x009A0999, 1, b"Read Only", 0, 1, 1, 0, 0x04),
    )

    def __init__(self, formats=FORMATS, controls=CONTROLS, capabilities=(CAPTURE_STREAMING, 0), failing=()):
        self.formats = formats
        self.controls = {control[0]: control for control in controls}
        self.capabilities = capabilities
        self.failing = dict(failing)
        self.mode = (640, 480, formats[0][0] if formats else b"YUYV")
        self.set = {}
        self.asked = []
        self.rate = (1, 30)
        self.given = []
        self.filled = []
        self.streaming = False
        self.on_empty = None
        self._asked_in_vain = False
        self._buffers = []
        self._descriptor = None

    LENGTH = 4 * mmap.PAGESIZE

    def show(self, content, flags=MONOTONIC, age_ns=0):
        index = self.given.pop(0)
        self._buffers[index][: len(content)] = content
        self.filled.append((index, len(content), flags, time.monotonic_ns() - age_ns))

    def __call__(self, descriptor, request, argument):
        self.asked.append(request)
        self._descriptor = descriptor
        if request in self.failing:
            raise OSError(self.failing[request], "Made to fail")
        answer = {
            QUERYCAP: self._capability, ENUM_FMT: self._format, G_FMT: self._mode, S_FMT: self._set_mode,
            S_CTRL: self._set_control, QUERYCTRL: self._control, ENUM_FRAMESIZES: self._size,
            ENUM_FRAMEINTERVALS: self._rate, REQBUFS: self._request, QUERYBUF: self._query, QBUF: self._give,
            DQBUF: self._take, STREAMON: self._start, G_PARM: self._parameters, S_PARM: self._parameters,
        }.get(request)  # fmt: skip
        if answer is None:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        content = memoryview(argument).cast("B")
        assert len(content) == request >> 16 & 0x3FFF
        answer(content)
        return 0

    def _capability(self, content):
        struct.pack_into("16s32s32sIII", content, 0, b"uvcvideo", b"USB Camera", b"usb-0000:00:14.0-1", 0x60100,
                         *self.capabilities)  # fmt: skip

    def _format(self, content):
        index, kind = struct.unpack_from("II", content)
        assert kind == 1
        name, _ = self._of(self.formats, index)
        struct.pack_into("4s", content, 44, name)

    def _size(self, content):
        index, code = struct.unpack_from("I4s", content)
        size = self._of(dict(self.formats)[code], index)
        numbers = size[0] if isinstance(size[0], tuple) else size[:2]
        kind = 3 if len(numbers) == 6 else 1
        struct.pack_into(f"I{len(numbers)}I", content, 8, kind, *numbers)

    def _rate(self, content):
        index, code, width, height = struct.unpack_from("I4sII", content)
        for size in dict(self.formats)[code]:
            largest = (size[0][1], size[0][4]) if isinstance(size[0], tuple) else size[:2]
            if largest == (width, height):
                numbers = self._of(size[-1], index)
                struct.pack_into(f"I{len(numbers)}I", content, 16, 1 if len(numbers) == 2 else 3, *numbers)
                return
        raise OSError(errno.EINVAL, "Invalid argument")

    def _mode(self, content):
        assert struct.unpack_from("I", content) == (1,)
        struct.pack_into("II4s", content, 8, *self.mode)
        struct.pack_into("I", content, 24, 0 if self.mode[2] == b"MJPG" else self.mode[0] * 2)

    def _set_mode(self, content):
        assert struct.unpack_from("I", content) == (1,)
        self.mode = struct.unpack_from("II4s", content, 8)
        self._mode(content)

    def _control(self, content):
        (after,) = struct.unpack_from("I", content)
        assert after & 0x80000000
        later = [number for number in sorted(self.controls) if number > after & 0x7FFFFFFF]
        struct.pack_into("II32siiiiI", content, 0, *self.controls[self._of(later, 0)])

    def _set_control(self, content):
        number, value = struct.unpack_from("Ii", content)
        self.set[number] = value

    def _request(self, content):
        count, kind, memory = struct.unpack_from("III", content)
        assert (kind, memory) == (1, 1)
        os.ftruncate(self._descriptor, count * self.LENGTH)
        self._buffers = [mmap.mmap(self._descriptor, self.LENGTH, offset=index * self.LENGTH) for index in range(count)]

    def _query(self, content):
        (index,) = struct.unpack_from("I", content)
        struct.pack_into("QI", content, 64, index * self.LENGTH, self.LENGTH)

    def _give(self, content):
        (index,) = struct.unpack_from("I", content)
        assert index not in self.given
        self.given.append(index)

    def _take(self, content):
        self._asked_in_vain = not self.filled and not self._asked_in_vain
        if not self.filled and self.on_empty and not self._asked_in_vain:
            self.on_empty()
        if not self.filled:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        index, size, flags, stamp_ns = self.filled.pop(0)
        seconds, rest = divmod(stamp_ns, 10**9)
        struct.pack_into("IIII", content, 0, index, 1, size, flags)
        struct.pack_into("qq", content, 24, seconds, rest // 1000)

    def _start(self, content):
        assert struct.unpack("i", content) == (1,)
        assert self.given == list(range(len(self._buffers)))
        self.streaming = True

    def _parameters(self, content):
        wish = struct.unpack_from("II", content, 12)
        if wish[1]:
            self.rate = wish
        struct.pack_into("II", content, 12, *self.rate)

    def _of(self, entries, index):
        if index >= len(entries):
            raise OSError(errno.EINVAL, "Invalid argument")
        return entries[index]
