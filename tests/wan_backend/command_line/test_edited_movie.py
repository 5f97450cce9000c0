"""`generate --edit MOVIE --reference PICTURE`: the request that is sent, and what is refused in a sentence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from wan_backend.catalogue import entries
from wan_backend.command_line import arguments, generate, generate_job
from wan_backend.command_line.take_output import choose
from wan_backend.frames import movie_copy, source_frames, upload_process
from wan_backend.planning import plan_steps
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.media import UPLOAD_LINE_FILE
from wan_backend.protocol.messages import FrameRate, Pictures, Role, Task
from wan_backend.storage import whole_file

TURNED = 6
"""The tag's value for a camera that was held upright."""


def look_here(_module: str, given: list[str], _request: bytes, _until: float) -> None:
    """What the process would do, without its start, which takes a second."""
    folder = Path(given[0])
    whole_file.write_json(folder / UPLOAD_LINE_FILE, to_json(upload_process.look(folder)), flushed=False)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A movie of ten frames and two pictures, one of them turned by its camera, in the folder that one works in."""
    stills = []
    for index in range(10):
        stills.append(tmp_path / f"{index}.png")
        Image.new("RGB", (96, 64), (20 * index, 0, 0)).save(stills[-1])
    movie_copy.write(stills, tmp_path / "shot.mp4", Fraction(25))
    held = Image.Exif()
    held[0x0112] = TURNED
    Image.new("RGB", (64, 32), "red").save(tmp_path / "hat.jpg", exif=held)
    Image.new("RGB", (30, 90), "blue").save(tmp_path / "coat.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wan_backend.command_line.edited_movie.have_child_make", look_here)
    return tmp_path


def request(*flags: str):
    options = arguments.parser().parse_args(["generate", "replace the hat", "-o", "take", *flags])
    return generate.build_request(options, entries.entry("bernini-r-1.3b"), choose(options.output, "a" * 32, False))


def test_a_movie_and_pictures_are_an_edit_of_their_rate_and_shape(files):
    asked = request("--edit", "shot.mp4", "--reference", "hat.jpg", "--reference", str(files / "coat.png"))
    assert (asked.task, asked.length_frames, asked.frame_rate) == (Task.EDIT, 10, FrameRate(25))
    assert asked.width / asked.height == pytest.approx(1.5, abs=0.01) and asked.resolution == "480p"
    footage, hat, coat = asked.sources
    assert (footage.role, footage.folder, footage.files) == (Role.FOOTAGE, str(files), ["shot.mp4"])
    assert (footage.is_movie, footage.frames, footage.framing.canvas_width) == (True, 10, asked.width)
    assert [(each.role, each.at_frame, each.files) for each in (hat, coat)] == [
        (Role.REFERENCE, 1, ["hat.jpg"]),
        (Role.REFERENCE, 2, ["coat.png"]),
    ]
    assert (hat.pictures, coat.pictures) == (Pictures(64, 32, 90), Pictures(30, 90)), "as they are in their files"
    assert (hat.framing.canvas_width, hat.framing.canvas_height) == (32, 64), "as it is seen"
    made = plan_steps.plan(asked, entries.entry("bernini-r-1.3b"))
    assert made.problem is None and (made.seen_sources, made.take_frames) == (3, 10)


def test_its_beginning_in_a_size_of_its_own(files):
    asked = request("--edit", "shot.mp4", "--frames", "6", "--size", "320x256")
    assert (asked.length_frames, asked.width, asked.height) == (6, 320, 256)
    assert asked.sources[0].frames == 6 and asked.sources[0].framing.canvas_height == 256


@pytest.mark.parametrize(("flags", "sentence"), [
    (["--edit", "hat.jpg"], "hat.jpg is a picture; --edit takes a movie."),
    (["--edit", "shot.mp4", "--reference", "shot.mp4"], "shot.mp4 is a movie; --reference takes a picture."),
    (["--edit", "gone.mp4"], r"gone.mp4 can't be read \(No such file or directory\)."),
    (["--edit", "broken.mp4"], "broken.mp4 can't be used: "),
    (["--edit", "shot.mp4", "--frames", "11"], "shot.mp4 has 10 frames; leave out --frames, or ask"),
    (["--reference", "hat.jpg"], "Reference pictures go with an edit: name its movie with --edit."),
])  # fmt: skip
def test_what_is_no_edit_is_a_sentence(files, flags, sentence):
    (files / "broken.mp4").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match=sentence):
        request(*flags)


@pytest.mark.parametrize("held", range(1, 9))
@pytest.mark.parametrize("name", ["held.jpg", "held.png", "held.tif"])
def test_a_reference_is_seen_as_its_camera_was_held(files, held, name):
    tag = Image.Exif()
    tag[0x0112] = held
    picture = Image.new("RGB", (96, 48), "white")
    for color, corner in (("red", (0, 0)), ("blue", (48, 0)), ("green", (0, 24))):
        picture.paste(color, (*corner, corner[0] + 48, corner[1] + 24))
    picture.save(files / name, exif=tag)
    source = request("--edit", "shot.mp4", "--reference", name).sources[1]
    expected = ImageOps.exif_transpose(Image.open(files / name)).convert("RGB")
    assert source.pictures.shown_size() == expected.size
    (seen,) = source_frames.read(source, [0], *expected.size, expected.size)
    assert np.abs(seen.astype(int) - np.asarray(expected)).mean() < 3


def test_a_fifth_picture_is_refused_before_any_is_looked_at(files, monkeypatch):
    monkeypatch.setattr("wan_backend.command_line.edited_movie.looked_at", pytest.fail)
    with pytest.raises(ValueError, match="at most 4 reference pictures"):
        request("--edit", "shot.mp4", *("--reference", "hat.jpg") * 5)


def test_of_a_movie_that_is_too_long_nothing_is_left_out_unasked(files, monkeypatch):
    monkeypatch.setattr("wan_backend.command_line.edited_movie.MAX_TAKE_FRAMES", 9)
    with pytest.raises(ValueError, match="has 10 frames, and a take at most 9; edit its first with --frames"):
        request("--edit", "shot.mp4")
    assert request("--edit", "shot.mp4", "--frames", "9").length_frames == 9


def test_a_job_file_says_them_itself(files, capsys):
    job = files / "job.json"
    whole_file.write_json(job, to_json(request("--edit", "shot.mp4", "--reference", "hat.jpg")))
    assert [each.role for each in generate_job.read_job(job).sources] == [Role.FOOTAGE, Role.REFERENCE]
    options = arguments.parser().parse_args(["generate", "--job", str(job), "-o", "take", "--reference", "hat.jpg"])
    assert generate.main(options) == generate_job.GIVE_UP
    assert "leave out --reference, or change the file" in capsys.readouterr().err


def test_a_process_of_its_own_looks_at_the_files(files, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(files)
    assert request("--edit", "shot.mp4", "--frames", "5").sources[0].pictures.width == 96
