"""What the backend reads straight from a plain strip's media is what Blender itself renders of the strip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "blender_addon"))

import pictures  # noqa: E402  (of the add-on's tests)

WIDTH, HEIGHT, FRAMES = 640, 360, 8
DECIBELS = 45
SIZES = [(417, 201), (1920, 1080), (1280, 720), (1080, 1920), (2048, 858), (641, 359)]
PLACES = {
    "enlarged": {"scale_x": 1.4, "scale_y": 1.3, "offset_x": 33.3, "offset_y": -21},
    "fitted": {},
    "moved and stretched": {"scale_x": 0.37, "scale_y": 0.41, "offset_x": 33, "offset_y": -21},
    "cropped": {"min_x": 101, "max_x": 40, "min_y": 22, "max_y": 60},
    "mirrored": {"use_flip_x": True, "use_flip_y": True, "offset_x": 40, "min_x": 80},
}


@pytest.fixture
def cut(scene, addon, tmp_path):
    """A scene of 640x360 whose strips are read by the backend."""
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    strips = addon("timeline.compat").strips(scene.sequence_editor)
    footage = addon("timeline.footage")

    def source(name: str, start: int = 1, end: int = 1 + FRAMES):
        wanted = footage.FootageRange(footage.Role.FOOTAGE, start, end, (name,))
        found, rendered = footage.source_or_render(scene, wanted, str(tmp_path / "job"))
        assert not rendered, name
        return found

    def read(*sources) -> list[np.ndarray]:
        return read_by_backend(addon, sources, tmp_path)[0]

    return SimpleNamespace(scene=scene, strips=strips, source=source, read=read, folder=tmp_path, addon=addon)


def read_by_backend(addon, sources, folder: Path) -> tuple[list[np.ndarray], float]:
    """What the backend reads of each source, and how many seconds that took it."""
    to_json = addon("timeline.footage").Source.__module__.rsplit(".", 1)[0] + ".conversion"
    told = [sys.modules[to_json].to_json(source) for source in sources]
    order = folder / "order.json"
    order.write_text(json.dumps({"sources": told, "width": WIDTH, "height": HEIGHT, "out": str(folder)}))
    command = [os.environ["WAN_VSE_BACKEND_PYTHON"], str(Path(__file__).with_name("read_sources.py")), str(order)]
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "OCIO")}
    answer = subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return [np.load(folder / f"{number}.npy", mmap_mode="r") for number in range(len(sources))], float(answer.stdout)


def place(strip, values: dict) -> None:
    for name, value in values.items():
        owner = next(owner for owner in (strip.transform, strip.crop, strip) if hasattr(owner, name))
        setattr(owner, name, value)


def only(strips, name: str) -> None:
    for strip in strips:
        strip.mute = strip.name != name


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pictures_are_read_as_blender_shows_them(cut, size):
    file = pictures.write_png(cut.folder / "picture.png", pictures.drawn(*size))
    for channel, (name, values) in enumerate(PLACES.items(), 1):
        strip = cut.strips.new_image(name, str(file), channel, 1, fit_method="FIT")
        place(strip, values)
    asked = []
    for name in PLACES:
        only(cut.strips, name)  # what lies below others would be rendered with them
        asked.append(cut.source(name, 1, 2))
    for name, (read,) in zip(PLACES, cut.read(*asked), strict=True):
        only(cut.strips, name)
        shown = pictures.render(cut.scene, 1, cut.folder / "render")
        assert pictures.psnr(read, shown) >= DECIBELS, (name, pictures.psnr(read, shown))
        assert shift(read, shown) < 0.25, (name, shift(read, shown))


def shift(one: np.ndarray, other: np.ndarray) -> float:
    """How many pixels one picture lies beside the other: the one move of the other that explains the difference."""
    a, b = one.astype(float).mean(-1), other.astype(float).mean(-1)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(b > 0, 3), (7, 7)).all((2, 3))  # no edge is near
    down, along = (gradient[around] for gradient in np.gradient(b))
    moved, *_ = np.linalg.lstsq(np.stack([along, down], 1), (b - a)[around], rcond=None)
    return float(np.hypot(*moved))


@pytest.mark.parametrize(("file_format", "codec", "ending"), [
    ("MKV", "FFV1", "mkv"), pytest.param("MPEG4", "H264", "mp4", marks=pytest.mark.long),
])  # fmt: skip
def test_movies_are_read_frame_for_frame_as_blender_shows_them(cut, file_format, codec, ending):
    path = film(cut.folder, file_format, codec, ending)
    strip = cut.strips.new_movie("movie", str(path), 1, 11, fit_method="FIT")
    place(strip, PLACES["moved and stretched"])
    cut.addon("timeline.compat").set_handles(strip, 15, 30)
    (read,) = cut.read(cut.source("movie", 17, 17 + FRAMES))
    shown = pictures.render_range(cut.scene, range(17, 17 + FRAMES), cut.folder / "render")
    for index, (mine, blenders) in enumerate(zip(read, shown, strict=True)):
        assert pictures.psnr(mine, blenders) >= DECIBELS, index
    beside = [pictures.psnr(read[0], other) for other in shown[1:]]
    assert pictures.psnr(read[0], shown[0]) > max(beside) + 3, "another frame would be seen"


def film(folder: Path, file_format: str, codec: str, ending: str, frames: int = 20, size=(960, 540)) -> Path:
    """A movie that Blender writes of drawn pictures."""
    scene = bpy.data.scenes.new("Film")
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.frame_start, scene.frame_end = 1, frames
    scene.view_settings.view_transform = "Standard"
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    files = [pictures.write_png(folder / f"film_{i:02d}.png", pictures.drawn(*size, i * 0.5)) for i in range(frames)]
    strip = strips.new_image("film", str(files[0]), 1, 1, fit_method="ORIGINAL")
    for file in files[1:]:
        strip.elements.append(file.name)
    if hasattr(scene.render.image_settings, "media_type"):
        scene.render.image_settings.media_type = "VIDEO"
    scene.render.image_settings.file_format = "FFMPEG"
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = file_format, codec
    scene.render.ffmpeg.constant_rate_factor = "PERC_LOSSLESS"
    scene.render.use_file_extension = False
    scene.render.filepath = str(folder / f"film.{ending}")
    bpy.ops.render.render(animation=True, scene=scene.name)
    bpy.data.scenes.remove(scene)
    (written,) = folder.glob(f"film.{ending}*")
    return written.rename(folder / f"written.{ending}")


@pytest.mark.long
def test_reading_is_three_times_faster_than_rendering(cut):
    cut.scene.render.resolution_x, cut.scene.render.resolution_y = 1920, 1080
    path = film(cut.folder, "MPEG4", "H264", "mp4", frames=48, size=(1920, 1080))
    strip = cut.strips.new_movie("movie", str(path), 1, 1, fit_method="FIT")
    asked = cut.source("movie", 1, 49)
    seconds = min(read_by_backend(cut.addon, [asked], cut.folder)[1] for _ in range(3))  # of which one is undisturbed
    footage, told = cut.addon("timeline.footage"), []
    strip.transform.rotation = 1e-3
    wanted = footage.FootageRange(footage.Role.FOOTAGE, 1, 49, ("movie",))
    source, rendered = footage.source_or_render(cut.scene, wanted, str(cut.folder / "job"))
    assert rendered
    renderer = cut.addon("jobs.rendering").Renderer(lambda: cut.folder / "run", told.append, print)
    began = time.perf_counter()
    renderer.ask("job", cut.scene, [(wanted, source)])
    while renderer.busy:
        renderer.tick(time.perf_counter() + 0.01)
        time.sleep(0.01)
    assert told == ["job"]
    assert (time.perf_counter() - began) / seconds > 3
