"""What people send is looked at in a process of its own, and nothing of it is believed."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import struct
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from wan_backend.frames import movie_copy, upload_process
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.media import UPLOAD_LINE_FILE
from wan_backend.protocol.messages import Pictures
from wan_backend.protocol.uploads import Upload
from wan_backend.storage import whole_file

pytestmark = pytest.mark.ci


def look_here(_module: str, arguments: list[str], _request: bytes, _until: float) -> None:
    """What the process would do, without its start, of which each takes a second."""
    folder = Path(arguments[0])
    whole_file.write_json(folder / UPLOAD_LINE_FILE, to_json(upload_process.look(folder)), flushed=False)


@pytest.fixture
def take_in(uploads, tmp_path, monkeypatch):
    """take_in(content) is the id and what it is; or, for what can't be used, no id and the sentence."""
    monkeypatch.setattr("wan_backend.web.uploads.have_child_make", look_here)

    return lambda content: receive(uploads, content)


def receive(uploads, content: bytes, length: int | None = None, breaks_off: bool = False):
    """What becomes of a file that comes in pieces."""

    async def body():
        for at in range(0, len(content), 1 << 16):
            yield content[at : at + (1 << 16)]
        if breaks_off:
            raise ConnectionError

    code, told = asyncio.run(uploads.take(str(len(content) if length is None else length), body()))
    assert (code == 200) == ("id" in told)
    return told.get("id", ""), uploads.known(told["id"]) if "id" in told else (code, told["said"])


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 32), held: int = 1, mode: str = "RGB") -> bytes:
    """A picture whose left half is red."""
    image = Image.new(mode, size)
    image.paste("red" if mode == "RGB" else 200, (0, 0, size[0] // 2, size[1]))
    stream = io.BytesIO()
    exif = image.getexif()
    exif[0x0112] = held
    image.save(stream, kind, **({"exif": exif} if kind == "JPEG" else {}))
    return stream.getvalue()


def movie(tmp_path: Path, frames: int = 10, rate: Fraction = Fraction(24)) -> bytes:
    """An MP4 file."""
    stills = []
    for index in range(frames):
        stills.append(tmp_path / f"{index}.png")
        Image.new("RGB", (96, 64), (20 * index, 0, 0)).save(stills[-1])
    movie_copy.write(stills, tmp_path / "movie.mp4", rate)
    return (tmp_path / "movie.mp4").read_bytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_a_picture_is_kept_as_a_png_of_ours(take_in, uploads, kind):
    upload_id, found = take_in(picture(kind))
    assert found == Upload(64, 32, pictures=Pictures(64, 32), file="picture.png")
    folder = uploads.folder_of(upload_id)
    assert sorted(path.name for path in folder.iterdir()) == ["picture.png", "thumbnail.jpg", "upload.json"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert uploads.thumbnail(upload_id).startswith("data:image/jpeg;base64,/9j/")


@pytest.mark.parametrize("held", range(1, 9))
def test_a_picture_stands_as_its_camera_was_held(take_in, uploads, held):
    from PIL import ImageOps

    content = picture(held=held)
    upload_id, found = take_in(content)
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    kept = Image.open(uploads.folder_of(upload_id) / "picture.png")
    assert kept.size == wanted.size == (found.width, found.height)
    assert np.abs(np.asarray(kept, int) - np.asarray(wanted, int)).max() < 16


def test_a_movie_says_its_size_its_rate_and_how_many_pictures_it_has(take_in, tmp_path):
    _, found = take_in(movie(tmp_path, 10, Fraction(30000, 1001)))
    assert (found.width, found.height, found.is_movie, found.frames) == (96, 64, True, 10)
    assert Fraction(found.rate_numerator, found.rate_denominator) == Fraction(30000, 1001)


def test_a_movies_length_is_that_of_its_pictures_whatever_its_sound_is(take_in, tmp_path):
    movie(tmp_path, 5)
    with av.open(str(tmp_path / "movie.mp4")) as silent, av.open(str(tmp_path / "long.mp4"), "w") as made:
        pictures = made.add_stream_from_template(silent.streams.video[0])
        sound = made.add_stream("aac", rate=48000)
        for packet in silent.demux(silent.streams.video[0]):
            if packet.size:
                packet.stream = pictures
                made.mux(packet)
        for start in range(0, 96000, 1024):
            frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            frame.sample_rate, frame.pts = 48000, start
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            made.mux(sound.encode(frame))
        made.mux(sound.encode())
    assert take_in((tmp_path / "long.mp4").read_bytes())[1].frames == 5


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few megabytes."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 22), 9)
    chunks = ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def zipped() -> bytes:
    """A ZIP file that unpacks to a hundred times its size."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../picture.png", bytes(10 << 20))
    return stream.getvalue()


HOSTILE = {
    "script": (b"#!/bin/sh\ntouch %s\n", "its format is not known, or it is damaged"),
    "page": (b"<html><script>alert(1)</script></html>", "its format is not known, or it is damaged"),
    "svg": (
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "none of its pictures can be decoded",
    ),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n(/tmp/x) (w) file\n", "its format is not known"),
    "list": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "its format is not known, or it is damaged"),
    "concat": (b"ffconcat version 1.0\nfile /etc/passwd\n", "its format is not known, or it is damaged"),
    "zip bomb": (zipped(), "its format is not known, or it is damaged"),
    "picture bomb": (bomb(), "its picture of 60,000 x 60,000 pixels is too large to decode"),
    "nothing": (b"", "it is empty"),
    "half a picture": (picture("PNG", (256, 256))[:200], "it is damaged or incomplete"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_picture_and_no_movie_is_removed_with_a_sentence(take_in, uploads, kind):
    content, words = HOSTILE[kind]
    _, (code, said) = take_in(content)
    assert code == 415 and said.startswith(f"That file can't be used: {words}")
    assert said.endswith(". Choose a picture or a movie.") and not [*uploads.folder_of("").iterdir()]


def test_it_is_looked_at_in_a_process_that_may_die(uploads, monkeypatch):
    assert receive(uploads, picture())[1] == Upload(64, 32, pictures=Pictures(64, 32), file="picture.png")
    monkeypatch.setattr("wan_backend.web.uploads.PROCESS", "wan_backend.no_such_module")
    assert receive(uploads, picture())[1][1].startswith("That file can't be used: it could not be decoded.")
    assert len([*uploads.folder_of("").iterdir()]) == 1


def test_what_is_too_large_is_refused_while_it_comes(uploads, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("it is not even looked at")

    monkeypatch.setattr("wan_backend.web.uploads.have_child_make", never)
    assert receive(uploads, b"", 4 << 30)[1] == (413, "That file is too large: it may have up to 1.1 GB.")
    monkeypatch.setattr("wan_backend.web.uploads.MAX_BYTES", 100_000)
    came = 0

    async def endless():
        nonlocal came
        while True:
            came += 1
            yield bytes(1 << 16)

    for length in ("", "7"):  # whatever was said beforehand
        came = 0
        assert asyncio.run(uploads.take(length, endless()))[0] == 413 and came == 2
    assert not [*uploads.folder_of("").iterdir()]


def test_what_breaks_off_or_finds_no_room_leaves_nothing(uploads, monkeypatch):
    assert receive(uploads, picture(), breaks_off=True)[1] == (400, "The file didn't arrive whole; send it again.")
    monkeypatch.setattr("wan_backend.web.uploads.free_bytes_at", lambda _folder: 1 << 20)
    assert receive(uploads, picture())[1] == (507, "There is no room for that file. Tell whoever runs this page.")

    def fails(_folder: Path) -> int:
        raise OSError

    monkeypatch.setattr("wan_backend.web.uploads.free_bytes_at", fails)
    assert receive(uploads, picture())[1][0] == 507
    assert not [*uploads.folder_of("").iterdir()]


def test_ids_are_ids_and_no_paths(uploads, tmp_path):
    (tmp_path / "upload.json").write_text("{}")
    for other in ("..", "../..", "", "x" * 32, str(tmp_path), "0" * 31):
        assert uploads.known(other) is None
    assert uploads.id_of(str(tmp_path)) == "" and uploads.id_of("") == ""


def test_the_folder_is_private(uploads):
    assert stat.S_IMODE(os.stat(uploads.folder_of("")).st_mode) == 0o700
