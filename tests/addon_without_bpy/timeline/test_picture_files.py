"""The size of a picture is known where it is surely read as Blender reads it."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

SIZE = 40, 24


@pytest.fixture
def head_of(addon):
    return addon("timeline.picture_files").head_of


def png(file: Path, kind: int, bits: int = 8, more: bytes = b"") -> Path:
    """Only as much of a PNG as its head is."""
    head = struct.pack(">IIBBBBB", *SIZE, bits, kind, 0, 0, 0)
    chunks = [(b"IHDR", head), *([(b"tRNS", more)] if more else []), (b"IDAT", zlib.compress(b""))]
    content = b"".join(
        struct.pack(">I4s", len(data), name) + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return file


@pytest.mark.parametrize(
    ("kind", "more", "size", "opaque"),
    [(0, b"", SIZE, True), (2, b"", SIZE, True), (3, b"", SIZE, True), (4, b"", SIZE, False), (6, b"", SIZE, False),
     (2, bytes(6), SIZE, False), (3, bytes(4), SIZE, False), (0, bytes(2), None, False)],
)  # fmt: skip
@pytest.mark.parametrize("bits", [8, 16])
def test_png(tmp_path, head_of, kind, more, size, opaque, bits):
    head = head_of(str(png(tmp_path / "a.png", kind, bits, more)))
    assert (head.size, head.is_opaque) == (size, opaque)


@pytest.mark.parametrize(
    ("mode", "how", "size"),
    [("RGB", {}, SIZE), ("L", {}, SIZE), ("RGB", {"progressive": True}, SIZE), ("RGB", {"keep_rgb": True}, SIZE),
     ("CMYK", {}, None)],
)  # fmt: skip
def test_jpeg(tmp_path, head_of, mode, how, size):
    Image.new(mode, SIZE, 120 if mode == "L" else (10, 90, 200) + (0,) * (len(mode) - 3)).save(
        tmp_path / "a.jpg", **how
    )
    assert head_of(str(tmp_path / "a.jpg")).size == size


def test_a_photo_that_is_to_be_turned_has_the_size_that_lies_in_the_file(tmp_path, head_of):
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.new("RGB", SIZE).save(tmp_path / "a.jpg", exif=tags)
    assert head_of(str(tmp_path / "a.jpg")).size == SIZE


@pytest.mark.parametrize("ending", ["tif", "bmp", "webp", "tga", "jp2", "dds", "sgi"])
def test_other_formats_are_rendered(tmp_path, head_of, ending):
    Image.new("RGB", SIZE).save(tmp_path / f"a.{ending}")
    head = head_of(str(tmp_path / f"a.{ending}"))
    assert head.size is None
    assert head.is_known


@pytest.mark.parametrize("pictures", [1, 3])
def test_a_webp_of_several_pictures_is_told_from_one(tmp_path, head_of, pictures):
    several = [Image.new("RGBA", SIZE, (number, 9, 9, 99)) for number in range(pictures)]
    several[0].save(tmp_path / "a.webp", save_all=True, append_images=several[1:], lossless=True)
    head = head_of(str(tmp_path / "a.webp"))
    assert head.is_known and head.is_animated_webp is (pictures > 1)


@pytest.mark.parametrize(
    "begins",
    [b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", b"\0\0\0\x20ftypavif\0\0\0\0mif1avif", b"\xff\x0a\x7f\x24\x08",
     b"GIF89a\x28\0\x18\0\xf7\0\0", b"<!DOCTYPE html><html><head>", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", b"ftyp", b""],
)  # fmt: skip
def test_what_begins_as_no_picture_of_blenders_is_not_known(tmp_path, head_of, begins):
    (tmp_path / "a.png").write_bytes(begins)
    head = head_of(str(tmp_path / "a.png"))
    assert head.size is None
    assert not head.is_known


@pytest.mark.parametrize(
    "content", [b"\xff\xd8" + b"\xff\xe0\x00\x00" * 100_000, b"\xff\xd8" + b"\xff\xe0\x00\x02" * 100_000]
)
def test_a_jpeg_without_end_is_given_up(tmp_path, head_of, content):
    (tmp_path / "a.jpg").write_bytes(content)
    assert head_of(str(tmp_path / "a.jpg")).size is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path, addon, head_of):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(OSError, match="no file"):
        head_of(str(tmp_path / "a.png"))
    assert addon("jobs.reels")._head(str(tmp_path / "a.png")) is None
    assert addon("jobs.filmstrips").read(str(tmp_path / "a.png")) is None
