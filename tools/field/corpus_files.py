"""Makes the files that `tools.field.corpus` reads: films in many codecs and containers, and pictures of every format.

They show the first second of the sample clip, a face in each frame, so that a picture that lies on its side or is not
what was filmed has none. Needs ffmpeg, and Pillow for the pictures.
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image as Pillow

from edge_fer.capture.sources.sample import CLIP

FRAMES = 24
EXPECTED = "expected.json"
X264 = "-c:v libx264 -preset ultrafast -crf 20"
X265 = "-c:v libx265 -preset ultrafast -x265-params log-level=none"
LONE = "-frames:v 1"
SILENCE = "-f lavfi -t {} -i anullsrc=r=44100 -map 0:v -map 1:a -c:a aac"


@dataclass(frozen=True)
class Expected:
    """What is to be read of a file.

    Attributes:
        frames: how many readings; None: as many as ffprobe finds.
        faces: whether most of them show a face.
        told: whether something must be said: that it is refused, damaged or cut short.
    """

    frames: int | None = FRAMES
    faces: bool = True
    told: bool = False


REFUSED = Expected(0, faces=False, told=True)
DAMAGED = Expected(None, faces=False, told=True)

FILMS: dict[str, tuple[str, Expected]] = {
    "h264.mp4": (X264, Expected()),
    "h264.mkv": (X264, Expected()),
    "h264.mov": (X264, Expected()),
    "h264.avi": (X264, Expected()),
    "h264.flv": (X264, Expected()),
    "h264.ts": (X264, Expected()),
    "h264.mts": (f"{X264} -f mpegts -mpegts_m2ts_mode 1", Expected()),
    "h264.nut": (X264, Expected()),
    "raw.h264": (f"{X264} -f h264", Expected()),
    "fragmented.mp4": (f"{X264} -movflags frag_keyframe+empty_moov", Expected()),
    "b_frames.mp4": ("-c:v libx264 -bf 3 -preset medium", Expected()),
    "ten_bit.mp4": (f"{X264} -pix_fmt yuv420p10le", Expected()),
    "yuv422.mp4": (f"{X264} -pix_fmt yuv422p", Expected()),
    "yuv444.mp4": (f"{X264} -pix_fmt yuv444p", Expected()),
    "grey.mp4": (f"{X264} -pix_fmt gray", Expected()),
    "odd_size.mp4": (f"{X264} -vf scale=641:361 -pix_fmt yuv444p", Expected()),
    "full_range.mp4": (f"{X264} -pix_fmt yuvj420p", Expected()),
    "interlaced.mp4": (f"{X264} -flags +ilme+ildct -x264opts tff=1", Expected()),
    "interlaced.mpg": ("-c:v mpeg2video -b:v 4M -flags +ilme+ildct", Expected()),
    "rotated_90.mp4": (f"{X264} -vf transpose=2 -metadata:s:v rotate=270", Expected(None)),
    "rotated_180.mov": (f"{X264} -vf hflip,vflip -metadata:s:v rotate=180", Expected(None)),
    "anamorphic.mp4": (f"{X264} -vf scale=320:360,setsar=2", Expected()),
    "variable_rate.mp4": (f"{X264} -vf setpts=N*N/(4*30*TB) -vsync vfr", Expected()),
    "variable_rate.mkv": (f"{X264} -vf setpts=N*N/(4*30*TB) -vsync vfr", Expected()),
    "slow.mp4": (f"{X264} -r 2 -t 3", Expected(None, faces=False)),
    "sound_longer.mp4": (f"{SILENCE.format(4)} {X264}", Expected()),
    "sound_longer.mkv": (f"{SILENCE.format(4)} {X264}", Expected()),
    "sound_earlier.mp4": (f"-itsoffset 0 {SILENCE.format(4)} {X264} -vf setpts=PTS+2/TB", Expected(None, faces=False)),
    "one_frame.mp4": (f"{X264} {LONE}", Expected(1)),
    "one_frame.avi": (f"-c:v mjpeg -q:v 3 {LONE}", Expected(1)),
    "hevc.mp4": (X265, Expected()),
    "hevc.mkv": (f"{X265} -pix_fmt yuv420p10le", Expected()),
    "raw.hevc": (f"{X265} -f hevc", Expected()),
    "mpeg1.mpg": ("-c:v mpeg1video -b:v 2M", Expected()),
    "mpeg2.ts": ("-c:v mpeg2video -b:v 2M", Expected()),
    "mpeg2.vob": ("-c:v mpeg2video -b:v 2M -f vob", Expected()),
    "mpeg2.mxf": ("-c:v mpeg2video -b:v 4M", Expected()),
    "mpeg4.mp4": ("-c:v mpeg4 -q:v 3", Expected()),
    "mpeg4.avi": ("-c:v mpeg4 -q:v 3 -vtag xvid", Expected()),
    "h263.3gp": ("-c:v h263 -vf scale=352:288 -b:v 1M", Expected(None, faces=False)),
    "mjpeg.avi": ("-c:v mjpeg -q:v 3", Expected()),
    "mjpeg.mov": ("-c:v mjpeg -q:v 3", Expected()),
    "raw.mjpeg": ("-c:v mjpeg -q:v 3 -f mjpeg", Expected()),
    "raw_mjpeg_named.jpg": ("-c:v mjpeg -q:v 3 -f mjpeg", Expected()),
    "vp8.webm": ("-c:v libvpx -b:v 2M -deadline realtime", Expected()),
    "vp9.webm": ("-c:v libvpx-vp9 -b:v 2M -deadline realtime -cpu-used 8", Expected()),
    "vp9.ivf": ("-c:v libvpx-vp9 -b:v 2M -deadline realtime -cpu-used 8", Expected()),
    "av1.mp4": ("-c:v libsvtav1 -preset 12", Expected()),
    "av1.webm": ("-c:v libsvtav1 -preset 12", Expected()),
    "av1.mkv": ("-c:v libsvtav1 -preset 12 -pix_fmt yuv420p10le", Expected()),
    "prores.mov": ("-c:v prores_ks -profile:v 0", Expected()),
    "prores_4444.mov": ("-c:v prores_ks -profile:v 4 -pix_fmt yuva444p10le", Expected()),
    "dv.avi": ("-c:v dvvideo -vf scale=720:576,setsar=16/11 -r 25 -pix_fmt yuv420p", Expected(None)),
    "dv.dv": ("-c:v dvvideo -vf scale=720:576,setsar=16/11 -r 25 -pix_fmt yuv420p -f dv", Expected(None)),
    "ffv1.mkv": ("-c:v ffv1", Expected()),
    "huffyuv.avi": ("-c:v huffyuv", Expected()),
    "utvideo.avi": ("-c:v utvideo", Expected()),
    "rawvideo.avi": ("-c:v rawvideo -pix_fmt yuv420p", Expected()),
    "v210.mov": ("-c:v v210", Expected()),
    "theora.ogv": ("-c:v libtheora -q:v 8", Expected()),
    "wmv2.wmv": ("-c:v wmv2 -b:v 2M", Expected()),
    "wmv2.asf": ("-c:v wmv2 -b:v 2M", Expected()),
    "flv1.flv": ("-c:v flv -b:v 2M", Expected()),
    "cinepak.avi": ("-c:v cinepak -vf scale=320:180", Expected(faces=False)),
    "y4m.y4m": ("-f yuv4mpegpipe", Expected()),
    "gif.gif": ("-vf scale=480:-2", Expected()),
    "webp.webp": ("-c:v libwebp_anim -vf scale=480:-2", Expected()),
    "apng.png": ("-f apng -vf scale=480:-2", Expected()),
    "pictures.ppm": ("-c:v ppm -f image2pipe", Expected()),
    "pictures.png": ("-c:v png -f image2pipe", Expected()),
    "jpeg_xl.jxl": (f"-c:v libjxl {LONE}", REFUSED),
    "picture.tga": (f"-c:v targa {LONE}", Expected(1)),
    "picture.psd.bmp": (f"-c:v bmp -f image2 {LONE}", Expected(1)),
    "sound.wav": ("-f lavfi -t 1 -i anullsrc -map 1:a", REFUSED),
    "colon: 10:30:00.mp4": (f"{X264} -f mp4", Expected()),
    "-dash.mp4": (f"{X264} -f mp4", Expected()),
}  # fmt: skip
"""Files that ffmpeg makes of the clip: its output options, and what is to be read."""


def make(folder: Path) -> None:
    """Make all of them, and `expected.json` beside them.

    Args:
        folder: where; made where it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clip = folder.parent / f".{folder.name}-clip.mkv"
    ffmpeg("-i", str(CLIP), "-frames:v", str(FRAMES), "-c:v", "ffv1", "-an", str(clip))
    expected: dict[str, Expected] = {}
    try:
        for name, (options, what) in FILMS.items():
            ffmpeg("-i", str(clip), *options.split(), f"file:{folder / name}")
            expected[name] = what
        expected |= dict((*damaged(folder), *pictures(folder, clip), *what_is_none(folder)))
    finally:
        clip.unlink()
    (folder / EXPECTED).write_text(json.dumps({name: asdict(one) for name, one in expected.items()}, indent=1))


def ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True, timeout=120)


def damaged(folder: Path) -> Iterator[tuple[str, Expected]]:
    """Files cut short, with other bytes in the middle, without their index, and joined."""
    for name in (
        "h264.mp4",
        "h264.mkv",
        "h264.ts",
        "mjpeg.avi",
        "mpeg4.avi",
        "vp9.webm",
        "gif.gif",
        "webp.webp",
        "apng.png",
    ):
        content = (folder / name).read_bytes()
        (folder / f"cut_{name}").write_bytes(content[: len(content) * 6 // 10])
        yield f"cut_{name}", DAMAGED
    for name in ("h264.mkv", "h264.ts", "mjpeg.avi", "mpeg2.ts"):
        content, draw = bytearray((folder / name).read_bytes()), random.Random(name)
        for _ in range(300):
            content[draw.randrange(len(content) // 10, len(content))] ^= 1 << draw.randrange(8)
        (folder / f"flipped_{name}").write_bytes(content)
        yield f"flipped_{name}", DAMAGED
    (folder / "other_suffix.txt").write_bytes((folder / "h264.mp4").read_bytes())
    yield "other_suffix.txt", Expected()
    with (folder / "no_frame_count.mkv").open("wb") as file:
        command = ["ffmpeg", "-v", "error", "-i", str(folder / "h264.mp4"), "-c", "copy", "-f", "matroska", "-"]
        subprocess.run(command, check=True, stdout=file, timeout=60)
    yield "no_frame_count.mkv", Expected()
    (folder / "trailing.mp4").write_bytes((folder / "h264.mp4").read_bytes() + bytes(5000))
    yield "trailing.mp4", Expected()


def pictures(folder: Path, clip: Path) -> Iterator[tuple[str, Expected]]:
    """Pictures of every format, in every orientation, of every kind of pixel."""
    first = folder / "first.png"
    ffmpeg("-i", str(clip), "-frames:v", "1", str(first))
    with Pillow.open(first) as opened:
        image = opened.convert("RGB")
    yield "first.png", Expected(1)
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF", "avif": "AVIF"}
    stored = (None, *(Pillow.Transpose(number) for number in (0, 3, 1, 5, 2, 6, 4)))  # what undoes each orientation
    for suffix, kind in kinds.items():
        for orientation, how in enumerate(stored, start=1):
            name = f"orientation_{orientation}.{suffix}"
            tags = Pillow.Exif()
            tags[0x0112] = orientation
            more = {"tiffinfo": {0x0112: orientation}} if kind == "TIFF" else {"exif": tags}
            (image if how is None else image.transpose(how)).save(folder / name, kind, **more)
            yield name, Expected(1)
    for name, mode, options in (
        ("jpeg_2000.jp2", "RGB", {}), ("jpeg_2000.j2k", "RGB", {}), ("bmp.bmp", "RGB", {}), ("ppm.ppm", "RGB", {}),
        ("grey.pgm", "L", {}), ("bits.pbm", "1", {}), ("grey.jpg", "L", {}),
        ("progressive.jpg", "RGB", {"progressive": True}),
        ("cmyk.jpg", "CMYK", {}), ("cmyk.tif", "CMYK", {}), ("alpha.png", "RGBA", {}), ("grey_alpha.png", "LA", {}),
        ("palette.png", "P", {}), ("palette.gif", "P", {}), ("palette.bmp", "P", {}), ("alpha.webp", "RGBA", {}),
        ("lossless.webp", "RGB", {"lossless": True}), ("lzw.tif", "RGB", {"compression": "tiff_lzw"}),
        ("jpeg.tif", "RGB", {"compression": "jpeg"}), ("group4.tif", "1", {"compression": "group4"}),
        ("jfif.jfif", "RGB", {}), ("jpe.jpe", "RGB", {}),
        ("big.tiff", "RGB", {"big_tiff": True}),
    ):  # fmt: skip
        image.convert(mode).save(folder / name, **options)
        yield name, Expected(1, faces=mode != "1")
    for name, pixels in (("sixteen.png", "rgb48be"), ("sixteen_grey.png", "gray16be"), ("sixteen.tif", "rgb48le"),
                         ("sixteen.ppm", "rgb48be"), ("sixteen_grey.pgm", "gray16be")):  # fmt: skip
        ffmpeg("-i", str(clip), "-frames:v", "1", "-pix_fmt", pixels, str(folder / name))
        yield name, Expected(1)
    pages = [image.resize((480 + 10 * number, 270)) for number in range(3)]
    pages[0].save(folder / "pages.tif", save_all=True, append_images=pages[1:])
    yield "pages.tif", Expected(3)
    image.save(folder / "photo_and_preview.jpg", "MPO", save_all=True, append_images=[pages[0]])
    yield "photo_and_preview.jpg", Expected(1)
    pages = [image, *(image.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT), image)]
    pages[0].save(folder / "sequence.avif", save_all=True, append_images=pages[1:], duration=[100, 200, 300])
    yield "sequence.avif", Expected(3)
    content = (folder / "orientation_1.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(content[: len(content) // 2])
    yield "cut.jpg", REFUSED


def what_is_none(folder: Path) -> Iterator[tuple[str, Expected]]:
    """Files that are no picture and no film, or one that is too large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\x04IDAT"
    jpeg = bytearray((folder / "orientation_1.jpg").read_bytes())
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = b"\xff\xfe\xff\xfe"
    heic = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(500)
    for name, content in {
        "empty.mp4": b"", "empty.jpg": b"", "notes.txt": b"some notes\n" * 50,
        "list.m3u8": b"#EXTM3U\n#EXTINF:1,\nh264.ts\n",
        "list.mp4": b"ffconcat version 1.0\nfile h264.mp4\n", "random.bin": random.Random(1).randbytes(5000),
        "random.mp4": b"\0\0\0\x18ftypisom" + random.Random(2).randbytes(5000),
        "huge.png": bomb, "huge.jpg": bytes(jpeg), "huge.ppm": b"P6\n2000000 2000000\n255\n" + bytes(99),
        "photo.heic": heic, "photo.jpg": heic, "float.pfm": b"Pf\n", "zeros.mp4": bytes(100_000),
        "nothing.jpg": b"\xff\xd8\xff\xd9", "page.html": b"<!doctype html>\n<p>404</p>\n" * 20,
    }.items():  # fmt: skip
        (folder / name).write_bytes(content)
        yield name, REFUSED
