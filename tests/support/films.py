"""Films made to order by PyAV, small and quick; no `ffmpeg` is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from edge_fer.types import Image

SIZE = (48, 64)

_QUICK = {
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libx264": {"preset": "veryfast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
}


def picture(number: int = 0, size: tuple[int, int] = SIZE) -> Image:
    """A smooth colour picture, different for every number; `(height, width, 3)` uint8, BGR."""
    height, width = size
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, number * 20 % 256)], axis=-1).astype(np.uint8)


def noise(count: int) -> list[Image]:
    """Pictures that take many bytes, each `(96, 128, 3)` uint8, BGR."""
    return [np.random.default_rng(number).integers(0, 256, (96, 128, 3)).astype(np.uint8) for number in range(count)]


def write_film(
    path: Path,
    pictures: Sequence[Image],
    codec: str = "mpeg4",
    *,
    times_ms: Sequence[int] | None = None,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    pixel_format: str | None = None,
    pixel_aspect: Fraction | None = None,
    matrix: Sequence[int] | None = None,
    colours: Mapping[str, int] | None = None,
    sound_s: float = 0.0,
) -> Path:
    """Write a film.

    Args:
        path: the file; its ending decides on the container.
        pictures: its frames, each `(height, width, 3)` uint8, BGR.
        codec: FFmpeg's name of the encoder.
        times_ms: when each frame is shown, milliseconds; None: 25 a second.
        options: of the encoder.
        container_options: of the container.
        pixel_format: FFmpeg's name of it; None: what is usual.
        pixel_aspect: width of a pixel divided by its height.
        matrix: the display matrix, nine numbers as in the file.
        colours: attributes of each frame, such as `color_trc`.
        sound_s: length of a silent sound track, seconds.
    """
    height, width = pictures[0].shape[:2]
    pixel_format = pixel_format or ("yuvj420p" if codec == "mjpeg" else "yuv420p")
    options = {**_QUICK.get(codec, {}), **(options or {})}
    with av.open(f"file:{path}", "w", options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        unit = Fraction(1, 25) if times_ms is None else Fraction(1, 1000)
        stream.codec_context.time_base = unit
        stream.codec_context.framerate = Fraction(25)
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if matrix is not None:
            stream.set_display_matrix(list(matrix))
        sound = container.add_stream("mp2", rate=48000) if sound_s else None
        for index, image in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=pixel_format)
            for name, value in (colours or {}).items():
                setattr(frame, name, value)
            frame.pts, frame.time_base = index if times_ms is None else times_ms[index], unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            for start in range(0, round(sound_s * 48000), 1152):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 2304), np.int16), format="s16", layout="stereo")
                silence.sample_rate, silence.pts = 48000, start
                container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


def flip_bytes(path: Path, count: int, seed: int = 3) -> Path:
    """Change so many bytes of a file, at random, but in its first and last tenth."""
    content, random = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for place in random.integers(len(content) // 10, len(content) * 9 // 10, count):
        content[place] ^= int(random.integers(1, 256))
    path.write_bytes(content)
    return path
