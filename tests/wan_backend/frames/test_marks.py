"""What takes say of themselves, read by other programs; what a source says, and what a hostile one can't do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from wan_backend.frames import marks
from wan_backend.frames.marks import COMPOSITE, GENERATED, Marks, SourceMark, mark_of, marks_of
from wan_backend.frames.take_writing import Movie, PngSequence
from wan_backend.protocol.messages import MAX_SHOWN_FILES, FrameRate, MediaFormat, Role, Source, TakeRequest

FRAME = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
NAMES = {MediaFormat.PNG: "0001.png", MediaFormat.FFV1: "take.mkv", MediaFormat.H264: "take.mp4"}


def request(*sources: Source) -> TakeRequest:
    return TakeRequest("a secret", "wan2.1-vace-1.3b", 64, 48, 9, FrameRate(24), 1, "/m", sources=list(sources))


def written(folder: Path, media_format: MediaFormat, marks: Marks | None) -> Path:
    if media_format is MediaFormat.PNG:
        PngSequence(folder, marks).write(FRAME, [0])
    else:
        with Movie(folder / NAMES[media_format], media_format, Fraction(24), 64, 48, marks) as movie:
            for index in range(5):
                movie.write(FRAME, [index])
    return folder / NAMES[media_format]


MADE = Marks(COMPOSITE, "wan2.1-vace-1.3b", "Wan VSE 1.2.3", [SourceMark("a.jpg", GENERATED, True)])


@pytest.mark.parametrize("media_format", NAMES)
def test_a_take_says_that_it_is_generated(tmp_path, media_format):
    assert mark_of(written(tmp_path, media_format, MADE)) == SourceMark(NAMES[media_format], COMPOSITE, False)


@pytest.mark.parametrize("media_format", NAMES)
def test_the_pictures_stay_as_they_are(tmp_path, media_format):
    for name, given in (("plain", None), ("marked", MADE)):
        (tmp_path / name).mkdir()
        written(tmp_path / name, media_format, given)
    if media_format is MediaFormat.PNG:
        assert np.array_equal(cv2.imread(str(tmp_path / "marked" / "0001.png"))[..., ::-1], FRAME)
        return
    pictures = []
    for name in ("plain", "marked"):
        with av.open(str(tmp_path / name / NAMES[media_format])) as container:
            pictures.append([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert len(pictures[1]) == 5
    assert all(map(np.array_equal, *pictures))


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.ci
@pytest.mark.parametrize("media_format", NAMES)
def test_exiftool_reads_it(tmp_path, media_format):
    file = written(tmp_path, media_format, MADE)
    (read,) = json.loads(subprocess.run(["exiftool", "-j", file], check=True, capture_output=True).stdout)
    assert "Warning" not in read
    assert read["DigitalSourceType"] == COMPOSITE
    assert MADE.model in (read.get("AISystemUsed"), read.get("AiSystemUsed"))
    assert MADE.program in (read.get("CreatorTool"), read.get("EncodedBy"))


def test_the_packet_is_sound_xml_whatever_stands_in_it():
    made = Marks(GENERATED, "a<b>&'\"é", "Wan VSE 1", [SourceMark("x", "http://e/<&>", False)])
    packet = made.xmp().decode()
    root = ElementTree.fromstring(packet[packet.index("<x:") : packet.rindex("<?")])
    (description,) = root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    names = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
    assert description.get(names + "AISystemUsed") == "a<b>&'\"é"
    assert [each.text for each in root.iter(names + "DigitalSourceType")] == ["http://e/<&>"]


def test_words_are_generated_and_footage_is_a_composite_and_neither_tells_prompt_or_place(tmp_path):
    source = Source(Role.FOOTAGE, str(tmp_path), ["a.png"])
    assert Marks.of(request(), "1").digital_source_type == GENERATED
    made = Marks.of(request(source), "1")
    assert made.digital_source_type == COMPOSITE
    assert b"secret" not in made.xmp() and str(tmp_path).encode() not in made.xmp() and b"a.png" not in made.xmp()


def test_the_marks_of_sources_are_kept(tmp_path):
    (tmp_path / "in").mkdir()
    file = written(tmp_path / "in", MediaFormat.PNG, Marks(GENERATED, "m", "p"))
    looked_at = []
    made = Marks.of(request(Source(Role.FOOTAGE, str(file.parent), [file.name] * 9)), "1", looked_at.append)
    assert made.sources == [SourceMark("0001.png", GENERATED)]
    assert looked_at == [str(file), ""]
    assert made.xmp().count(GENERATED.encode()) == 1
    again = written(tmp_path, MediaFormat.PNG, made)
    assert mark_of(again) == SourceMark("0001.png", COMPOSITE)


def test_what_rendered_pictures_show_is_looked_at_in_their_place(tmp_path):
    shown = written(tmp_path, MediaFormat.H264, Marks(GENERATED, "m", "p"))
    rendered = Source(Role.FOOTAGE, str(tmp_path / "rendered"), ["0001.png"], rendered=True, shown_files=[str(shown)])
    assert Marks.of(request(rendered), "1").sources == [SourceMark("take.mp4", GENERATED)]


@pytest.mark.parametrize("spelling", [
    "Iptc4xmpExt:DigitalSourceType='{}'",
    'Iptc4xmpExt:DigitalSourceType="{}"',
    "<Iptc4xmpExt:DigitalSourceType>{}</Iptc4xmpExt:DigitalSourceType>",
    "<Iptc4xmpExt:DigitalSourceType>\n   {}\n</Iptc4xmpExt:DigitalSourceType>",
    '<Iptc4xmpExt:DigitalSourceType rdf:resource="{}"/>',
])  # fmt: skip
def test_the_spellings_of_xmp_are_read(tmp_path, spelling):
    picture = tmp_path / "a.jpg"
    Image.fromarray(FRAME).save(picture, xmp=f"<x:xmpmeta>{spelling.format(GENERATED)}</x:xmpmeta>".encode())
    assert mark_of(picture) == SourceMark("a.jpg", GENERATED)


def test_a_mark_at_the_end_of_a_large_file_is_found(tmp_path):
    file = tmp_path / "large.mov"
    with open(file, "wb") as stream:
        stream.truncate(20 << 20)
        stream.seek(0, 2)
        stream.write(marks.mp4_box(MADE.xmp()))
    assert mark_of(file) == SourceMark("large.mov", COMPOSITE)


def test_content_credentials_are_named(tmp_path):
    file = tmp_path / "a.jpg"
    file.write_bytes(
        b"\xff\xd8\xff\xeb" + b"\0\0\x05\x10jumb\0\0\0\x1ejumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0"
    )
    assert mark_of(file) == SourceMark("a.jpg", "", True)


def test_files_without_marks_and_what_is_no_file_say_nothing(tmp_path):
    (tmp_path / "plain.png").write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"DigitalSourceType='" + b"\x01\xff" * 100)
    files = [tmp_path / name for name in ("plain.png", "loop", "pipe", "long", "gone", "a\0b", "")]
    assert marks_of(files) == []


def test_of_each_source_so_many_files_are_looked_at_however_many_another_shows(tmp_path):
    """Of footage that shows very many files, none is looked at in the place of a reference picture."""
    shown = [str(tmp_path / str(number)) for number in range(1000)]
    footage = Source(Role.FOOTAGE, str(tmp_path), ["0001.png"], rendered=True, shown_files=shown)
    (tmp_path / "hat.png").write_bytes(MADE.xmp())
    hat = Source(Role.REFERENCE, str(tmp_path), ["hat.png"], at_frame=1)
    asked = TakeRequest("a hat", "any", 64, 64, 5, FrameRate(16), 1, str(tmp_path), sources=[footage, hat])
    looked_at = []
    marks = Marks.of(asked, "1", looked_at.append)
    assert [mark.file for mark in marks.sources] == ["hat.png"]
    assert [place for place in looked_at if place] == [*shown[:MAX_SHOWN_FILES], str(tmp_path / "hat.png")]
