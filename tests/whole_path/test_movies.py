"""Of each kind of movie, what is sent is what this Blender shows; what can't be read so is rendered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "blender_addon"))

import pictures  # noqa: E402  (of the add-on's tests)
from test_sources import HEIGHT, WIDTH, read_by_backend  # noqa: E402

NEW = bpy.app.version >= (4, 5, 0)
"""A landing looks at them in the newest Blender; the long run in all, as the oldest shows some otherwise."""
STRAIGHT = (
    "phone.mp4", "phone turned 90.mp4", "phone turned 180.mp4", "phone turned 270.mp4", "deep phone turned 90.mov",
    "b-frames.mp4", "film.mkv", "prores.mov", "opaque prores 4444.mov", "clear qtrle.mov", "clear png.mov",
    "clear ffv1.mkv", "vp9.webm", "uneven.mkv", "recorded.mkv", "sport.mkv",
)  # fmt: skip
STRAIGHT_IN_4_2 = ("clear prores.mov", "deep clear ffv1.mkv", "phone turned mirrored.mp4")
"""It heeds no turn, and decodes to eight bits."""
RENDERED = ("b-frames.avi", "clear vp9.webm", "clear vp8.webm", "uneven.mp4", "two.mkv")
DECIBELS = 38


@pytest.fixture(scope="module")
def movies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movies")
    command = [os.environ["WAN_VSE_BACKEND_PYTHON"], str(Path(__file__).with_name("write_movies.py")), str(folder)]
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "OCIO")}
    answer = subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture
def cut(scene, addon, movies, tmp_path):
    """`lay(name)` lays a movie; `source()` is what is asked of it."""
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    strips = addon("timeline.compat").strips(scene.sequence_editor)
    footage = addon("timeline.footage")

    def lay(name: str, file: Path | None = None):
        for other in list(strips):
            strips.remove(other)
        made = strips.new_movie("movie", str(file or movies / name), 1, 1, fit_method="FIT")
        scene.render.fps = round(made.fps)
        scene.render.fps_base = scene.render.fps / made.fps
        return made

    def source(start: int = 1, end: int = 25):
        wanted = footage.FootageRange(footage.Role.FOOTAGE, start, end, ("movie",))
        return footage.source_or_render(scene, wanted, str(tmp_path / "job"))

    return SimpleNamespace(scene=scene, lay=lay, source=source, folder=tmp_path, movies=movies, addon=addon)


def test_what_is_read_straight_is_what_blender_shows(cut):
    names = STRAIGHT + (() if NEW else STRAIGHT_IN_4_2)
    asked = []
    for name in names:
        cut.lay(name)
        source, rendered = cut.source()
        assert not rendered, name
        asked.append(source)
    for name, read in zip(names, read_by_backend(cut.addon, asked, cut.folder)[0], strict=True):
        cut.lay(name)
        shown = pictures.render_range(cut.scene, range(1, 1 + len(read)), cut.folder / "render")
        found = [pictures.psnr(mine, blenders) for mine, blenders in zip(read, shown, strict=True)]
        assert min(found) >= DECIBELS, (name, found)


def test_the_rest_is_rendered(cut):
    for name in RENDERED + (STRAIGHT_IN_4_2 if NEW else ()):
        cut.lay(name)
        assert cut.source(end=20)[1], name


def test_another_track_is_rendered(cut):
    strip = cut.lay("two.mkv")
    strip.stream_index = 1
    assert cut.source()[1]


def test_a_movie_in_the_place_of_another_is_rendered(cut):
    """Of another size, or shorter, and Blender hasn't shown the strip since."""
    strip = cut.lay("phone.mp4")
    assert not cut.source()[1]
    strip.filepath = str(cut.movies / "phone turned 90.mp4")
    _, rendered = cut.source()
    assert rendered == NEW, "turned, its size is another"
    file = cut.folder / "own.mp4"
    content = (cut.movies / "phone.mp4").read_bytes()
    file.write_bytes(content)
    cut.lay("", file)
    assert not cut.source()[1]
    at = content.find(b"avc1", content.find(b"stsd")) + 4 + 24
    file.write_bytes(content[:at] + np.array([320, 192], ">u2").tobytes() + content[at + 4 :])
    assert cut.source()[1]


def test_nothing_is_read_past_the_end_of_a_movie_that_became_shorter(cut):
    file = cut.folder / "own.mp4"
    file.write_bytes((cut.movies / "phone.mp4").read_bytes())
    cut.lay("", file)
    assert not cut.source(end=31)[1]
    content = file.read_bytes()
    at = content.find(b"stts") + 4 + 8
    assert content[at : at + 4] == (30).to_bytes(4, "big")
    file.write_bytes(content[:at] + (20).to_bytes(4, "big") + content[at + 4 :])
    assert not cut.source(end=21)[1] and cut.source(end=22)[1]
