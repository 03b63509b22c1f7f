"""Picture files: every format and orientation, animations, pages, bounds, and what is none."""

from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import features

from edge_fer.capture.sources import picture_file
from edge_fer.capture.sources.file_kind import file_kind, open_file
from edge_fer.capture.sources.open_source import open_source
from edge_fer.capture.sources.picture import Picture, read_picture
from edge_fer.errors import SourceError
from tests.capture.sources.test_sources import SIZE, count, picture, settings, write_pictures, write_video

ORIENTATION = 0x0112
STILLS = {
    "jpg": ("JPEG", {"quality": 100, "subsampling": 0}), "jfif": ("JPEG", {"quality": 100, "progressive": True}),
    "png": ("PNG", {}), "webp": ("WEBP", {"lossless": True}), "gif": ("GIF", {}), "tif": ("TIFF", {}),
    "bmp": ("BMP", {}), "ppm": ("PPM", {}), "jp2": ("JPEG2000", {}), "avif": ("AVIF", {"quality": 100}),
}  # fmt: skip
MOVING = {"gif": ("GIF", {}), "png": ("PNG", {}), "webp": ("WEBP", {"lossless": True}), "avif": ("AVIF", {})}
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow cannot write AVIF")


def formats(table):
    return [pytest.param(name, marks=needs_avif) if name == "avif" else name for name in table]


def pillow(image):
    return Pillow.fromarray(np.ascontiguousarray(image[..., ::-1]))


def encoded(image, suffix, **more):
    kind, options = STILLS[suffix]
    file = BytesIO()
    pillow(image).save(file, kind, **options, **more)
    return file.getvalue()


def animation(path, frames=4, durations=(40, 80, 120, 160)):
    kind, options = MOVING[path.suffix[1:]]
    first, *rest = [pillow(picture(3 * number)) for number in range(frames)]
    first.save(path, kind, save_all=True, append_images=rest, duration=list(durations)[:frames], **options)
    return path


@pytest.mark.parametrize("suffix", formats(STILLS))
def test_every_format_is_read_whatever_its_name(tmp_path, suffix):
    path = tmp_path / "a.dat"
    path.write_bytes(encoded(picture(), suffix))
    opened = open_source(settings(path))
    frame = opened.read()
    assert np.abs(frame.image.astype(int) - picture()).mean() < (12 if suffix == "gif" else 3)
    assert (frame.position_ns, frame.file, opened.fps) == (None, str(path), None)
    assert opened.read() is None


TURNED = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: np.rot90,
}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("suffix", formats(["jpg", "png", "webp", "tif", "avif"]))
def test_every_orientation_is_applied(tmp_path, suffix, orientation):
    tags = Pillow.Exif()
    tags[ORIENTATION] = orientation
    more = {"tiffinfo": {ORIENTATION: orientation}} if suffix == "tif" else {"exif": tags}
    (tmp_path / "a").write_bytes(encoded(picture(), suffix, **more))
    image = read_picture(tmp_path / "a")
    assert image.flags.c_contiguous
    expected = TURNED[orientation](picture())
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("suffix", formats(MOVING))
def test_an_animation_is_read_whole_with_its_times(tmp_path, suffix):
    opened = open_source(settings(animation(tmp_path / f"a.{suffix}")))
    assert opened.fps == 25.0
    frames = list(iter(opened.read, None))
    assert [frame.position_ns / 1e6 for frame in frames] == [0, 40, 120, 240]
    shown = [int(frame.image[5, 5, 2]) for frame in frames]
    assert np.allclose(shown, [0, 60, 120, 180], atol=12)
    opened.close()


def test_frames_that_state_no_time_are_shown_like_in_a_browser(tmp_path):
    frames = list(iter(Picture(animation(tmp_path / "a.gif", durations=(0, 10, 20, 0))).read, None))
    assert [frame.position_ns / 1e6 for frame in frames] == [0, 100, 200, 220]


def test_the_picture_of_a_png_that_does_not_move_is_no_frame(tmp_path):
    path = tmp_path / "a.png"
    frames = [pillow(picture(3 * number)) for number in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], default_image=True, duration=50)
    assert [int(frame.image[5, 5, 2]) for frame in iter(Picture(path).read, None)] == [60, 120]


def test_every_page_of_a_tiff_is_read_but_its_previews(tmp_path):
    path = tmp_path / "a.tif"
    pages = [pillow(picture(3 * number, size=(24 + number, 32))) for number in range(4)]
    pages[2].encoderinfo = {"tiffinfo": {254: 1}}
    pages[0].save(path, save_all=True, append_images=pages[1:])
    frames = list(iter(Picture(path).read, None))
    assert [frame.image.shape for frame in frames] == [(24, 32, 3), (25, 32, 3), (27, 32, 3)]
    assert {frame.position_ns for frame in frames} == {None}


def test_a_photo_with_another_beside_it_is_one_picture(tmp_path):
    path = tmp_path / "a.mpo"
    pillow(picture()).save(path, "MPO", save_all=True, append_images=[pillow(picture(5))])
    assert count(open_source(settings(path))) == 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "ppm", "bmp"])
def test_pictures_one_after_the_other_are_a_film(tmp_path, suffix):
    (tmp_path / "a.jpg").write_bytes(b"".join(encoded(picture(number), suffix) for number in range(5)))
    assert file_kind(tmp_path / "a.jpg") == "video"
    assert count(open_source(settings(tmp_path / "a.jpg"))) == 5


@pytest.mark.parametrize("pixels", ["P", "1", "L", "LA", "RGBA", "CMYK", "I;16"])
def test_pixels_of_every_kind_become_ours(tmp_path, pixels):
    grey = Pillow.new("L", (32, 24), 255)
    image = Pillow.fromarray(np.full((24, 32), 0xFFFF, np.uint16)) if pixels == "I;16" else grey.convert(pixels)
    path = tmp_path / "a"
    image.save(path, "TIFF")
    assert (read_picture(path) == np.full((24, 32, 3), 255)).all()
    assert (read_picture(path, colour=False) == np.full((24, 32), 255)).all()


@pytest.mark.parametrize("suffix", ["png", "tif", "ppm"])
@pytest.mark.parametrize("shape", [SIZE, (*SIZE, 3)])
def test_sixteen_bits_are_scaled_not_cut(tmp_path, suffix, shape):
    path = tmp_path / f"a.{suffix if shape == (*SIZE, 3) or suffix != 'ppm' else 'pgm'}"
    cv2.imwrite(str(path), np.full(shape, 0x9A10, np.uint16))
    assert np.abs(read_picture(path).astype(int) - 0x9A).max() <= 1


def test_grey_is_the_luminance_that_a_jpeg_stores(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(picture(), "jpg"))
    stored = cv2.imdecode(np.frombuffer((tmp_path / "a.jpg").read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.jpg", colour=False), stored)


def test_targa_is_known_by_its_name(tmp_path):
    pillow(picture()).save(tmp_path / "a.tga")
    assert np.array_equal(open_source(settings(tmp_path / "a.tga")).read().image, picture())
    (tmp_path / "b.tga").write_bytes(encoded(picture(), "png"))
    assert np.array_equal(open_source(settings(tmp_path / "b.tga")).read().image, picture())


def test_a_picture_of_several_bands_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_file, "_BAND", 7)
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    assert np.array_equal(read_picture(tmp_path / "a.png"), picture())


# What is refused


def png_of(width, height):
    """The head of a PNG of that size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\x04IDAT"


@pytest.mark.parametrize(("width", "height"), [(9000, 8000), (1 << 30, 1 << 30)])
def test_a_picture_that_is_too_large_is_refused_by_its_header(tmp_path, monkeypatch, width, height):
    monkeypatch.setattr(Pillow.core, "new", lambda *_: pytest.fail("decoded"))
    (tmp_path / "a.png").write_bytes(png_of(width, height))
    with pytest.raises(SourceError, match="expected a picture of at most 67108864 pixels"):
        read_picture(tmp_path / "a.png")


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_file, "MAX_BYTES", 100)
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    with pytest.raises(SourceError, match=r"expected a picture of at most 100 bytes in .*a\.png, found \d+"):
        read_picture(tmp_path / "a.png")


def test_a_picture_without_memory_for_it_is_refused(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), picture())

    def no_memory(*_arguments, **_more):
        raise MemoryError

    monkeypatch.setattr(np, "empty", no_memory)
    with pytest.raises(SourceError, match=r"expected memory for the picture in .*a\.png, found too little"):
        read_picture(tmp_path / "a.png")


def test_a_jpeg_of_endless_scans_is_refused(tmp_path):
    content = encoded(picture(), "jfif")
    scan = content.index(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(content[:scan] + content[scan:-2] * 60 + b"\xff\xd9")
    with pytest.raises(SourceError, match="found a JPEG of more than 100 scans"):
        read_picture(tmp_path / "a.jpg")


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"hevc"])
def test_heic_is_refused_with_a_way_out(tmp_path, brand):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(SourceError, match="found HEIC, which is not read; convert it to JPEG first"):
        open_source(settings(tmp_path / "a.jpg"))


def test_a_raw_photo_is_refused_and_not_read_as_its_preview(tmp_path):
    pillow(picture()).save(tmp_path / "a.dng", "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    with pytest.raises(SourceError, match="found a raw photo; convert it to JPEG first"):
        open_source(settings(tmp_path / "a.dng"))


def test_numbers_without_a_range_are_refused(tmp_path):
    Pillow.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(SourceError, match="found numbers whose range is not known"):
        open_source(settings(tmp_path / "a.tif"))


@pytest.mark.parametrize(
    "content", [b"some notes\n" * 99, b"#EXTM3U\n/etc/passwd\n", b"ffconcat version 1.0\n", b"\xe4hnlich"]
)
def test_text_is_no_film_and_no_playlist_is_followed(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(SourceError, match="found text; name a stream by its URL"):
        file_kind(tmp_path / "a.txt")


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name, found in (("pipe.jpg", "a pipe, socket or device"), ("zero.jpg", "a pipe"), (".", "a folder")):
        with pytest.raises(SourceError, match=f"expected a picture or a video at .*, found {found}"):
            open_file(tmp_path / name)


@pytest.mark.parametrize("suffix", formats(MOVING))
def test_an_animation_cut_short_gives_what_it_has_and_then_says_so(tmp_path, suffix):
    path = animation(tmp_path / f"a.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(SourceError, match="the file is cut short, damaged"):
        count(Picture(path))


def test_one_picture_is_not_taken_from_a_file_of_several(tmp_path):
    with pytest.raises(SourceError, match=r"expected one picture in .*, found several"):
        read_picture(animation(tmp_path / "a.gif"))


# Folders


@needs_avif
def test_a_folder_is_read_by_content_and_what_is_left_out_is_named(tmp_path):
    folder = write_pictures(tmp_path / "folder", count=1)
    for suffix in STILLS:
        (folder / f"a.{suffix}").write_bytes(encoded(picture(), suffix))
    (folder / "jpeg without a suffix").write_bytes(encoded(picture(), "jpg"))
    animation(folder / "moving.gif", frames=3)
    write_video(folder / "clip.mp4", frames=4).rename(folder / "clip\udcff.mp4")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "gone.jpg").symlink_to("nowhere")
    (folder / "more").mkdir()
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.txt").write_text("no picture")
    told = []
    opened = open_source(settings(folder), warn=told.append)
    frames = list(iter(opened.read, None))
    files = [os.path.basename(frame.file) for frame in frames]  # noqa: PTH119
    assert files == sorted(files)
    assert len(files) == 1 + len(STILLS) + 1 + 3 + 4
    assert [frame.position_ns is not None for frame in frames] == [
        name in ("moving.gif", r"clip\udcff.mp4") for name in files
    ]
    assert opened.skipped == 5
    for name in ("gone.jpg", "more", "notes.txt", "pipe.jpg", "zero.jpg"):
        assert sum(line.startswith(f"left out {name}: expected ") for line in told) == 1
    opened.close()


def test_the_rest_of_a_file_that_breaks_off_is_left_out_and_the_folder_goes_on(tmp_path):
    path = animation(tmp_path / "a.gif")
    path.write_bytes(path.read_bytes()[:-400])
    cv2.imwrite(str(tmp_path / "b.png"), picture())
    told = []
    opened = open_source(settings(tmp_path), warn=told.append)
    assert [frame.file[-5:] for frame in iter(opened.read, None)][-1] == "b.png"
    assert told[0].startswith("left out the rest of a.gif: ")


# Fuzzing

WHOLE = {suffix: encoded(picture(), suffix) for suffix in STILLS if suffix != "avif" or features.check("avif")}


@examples(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(WHOLE)), st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=4))),
    st.integers(0, 3000),
)  # fmt: skip
def test_any_bytes_are_a_picture_within_bounds_or_an_error(tmp_path_factory, suffix, changes, end):
    content = bytearray(WHOLE[suffix])
    for place, value in changes:
        content[place : place + len(value)] = value
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(content[: max(end, 16)] if end % 3 == 0 else content)
    try:
        if file_kind(path) == "picture":
            image = read_picture(path)
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.shape[2] == 3
    except SourceError:
        return
