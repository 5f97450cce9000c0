"""A take covers exactly the asked frames, at true speed, and Blender renders its very pixels."""

from __future__ import annotations

import json
from pathlib import Path

import bpy
import numpy as np
import pytest


def pixels_of(path: Path) -> np.ndarray:
    """An 8-bit image file's values, rows from the bottom."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    values = np.empty(len(image.pixels), dtype=np.float32)
    image.pixels.foreach_get(values)
    width, height = image.size
    channels = image.channels
    bpy.data.images.remove(image)
    return np.rint(values.reshape(height, width, channels)[..., :3] * 255).astype(np.uint8)


def render(scene, frame: int, folder: Path) -> np.ndarray:
    """The frame as Blender renders the sequencer."""
    scene.frame_start = scene.frame_end = frame
    scene.render.filepath = str(folder / "render_")
    bpy.ops.render.render(animation=True, scene=scene.name)
    (file,) = folder.glob(f"render_*{frame:04d}.png")
    return pixels_of(file)


def render_exactly(scene) -> None:
    """PNG output that leaves the pixels alone, whatever the scene's view."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"
    settings.color_management = "OVERRIDE"
    settings.view_settings.view_transform = "Standard"
    settings.view_settings.look = "None"
    scene.render.dither_intensity = 0.0


@pytest.mark.parametrize("view", [pytest.param("Standard", marks=pytest.mark.compat), "AgX"])
def test_a_take_at_the_playhead_is_rendered_bit_for_bit(studio, tmp_path, view):
    scene = bpy.context.scene
    scene.view_settings.view_transform = view
    other = studio.compat.new_color(studio.compat.strips(scene.sequence_editor), "below", 1, 1, 40)
    other.color = (0.9, 0.1, 0.4)
    scene.frame_set(20)
    size = "144p" if view == "Standard" else "exact"
    job_id = studio.ask("fog rolling over a pine forest at dawn", resolution=size)
    studio.until(studio.takes)
    (take,) = studio.takes()
    assert studio.range(take) == (20, 29)
    assert take.channel == 2
    made = studio.session.jobs.get(job_id).take
    assert (made.frames, made.frame_rate.fps) == (9, 24)
    assert take.transform.scale_x == pytest.approx(scene.render.resolution_x / made.width)
    assert (made.width == scene.render.resolution_x) == (size == "exact")
    scene.render.resolution_x, scene.render.resolution_y = made.width, made.height
    take.transform.scale_x = take.transform.scale_y = 1.0
    render_exactly(scene)
    for frame in (20, 24, 28):
        file = Path(made.folder) / f"{frame - 20 + 1:04d}.png"
        assert np.array_equal(render(scene, frame, tmp_path), pixels_of(file))
    assert pixels_of(Path(made.folder) / "0001.png").std() > 1, "the take is not a picture at all"


def test_the_same_size_needs_no_scaling(studio):
    scene = bpy.context.scene
    job_id = studio.ask("fog", resolution="exact")
    studio.until(studio.takes)
    made = studio.session.jobs.get(job_id).take
    (take,) = studio.takes()
    assert (made.width, made.height) == (scene.render.resolution_x, scene.render.resolution_y)
    assert (take.transform.scale_x, take.transform.scale_y) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("fps", "fps_base"),
    [
        pytest.param(24, 1.0, marks=pytest.mark.long),
        (24, 1.001),
        pytest.param(30, 1.0, marks=pytest.mark.long),
        pytest.param(60, 1.0, marks=pytest.mark.long),
    ],
)
def test_a_hole_is_filled_exactly_at_true_speed(studio, fps, fps_base):
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = fps, fps_base
    strips = studio.compat.strips(scene.sequence_editor)
    studio.compat.new_color(strips, "left", 1, 1, 30)
    studio.compat.new_color(strips, "right", 2, 53, 20)
    scene.frame_set(40)
    job_id = studio.ask("fog", length_mode="GAP")
    studio.until(studio.takes)
    (take,) = studio.takes()
    assert studio.range(take) == (31, 53)
    status = studio.session.jobs.get(job_id)
    assert len(take.elements) == status.take.frames == 22
    seconds = (22 - 1) / (fps / fps_base)
    studio.session.server.want_details(job_id)
    studio.until(lambda: studio.session.server.details.plan_of(job_id))
    model_seconds = (studio.session.server.details.plan_of(job_id).model_frames - 1) / 16
    assert model_seconds >= seconds > model_seconds - 4 / 16  # all of the hole, no more than a step too much


def test_the_settings_are_with_the_strip_and_with_the_media(studio):
    job_id = studio.ask("fog \N{MOUNTAIN} “quoted” ça", seed=41, seed_locked=True)
    studio.until(studio.takes)
    (take,) = studio.takes()
    settings = json.loads((Path(studio.session.jobs.get(job_id).take.folder) / "take.json").read_text("utf-8"))
    for request in (json.loads(take["wan_vse_request"]), settings["request"]):
        assert request["prompt"] == "fog \N{MOUNTAIN} “quoted” ça"
        assert request["seed"] == 41
        assert request["model"] == "embedded"


@pytest.mark.parametrize("media_format", ["FFV1", pytest.param("H264", marks=pytest.mark.long)])
def test_a_movie_covers_the_same_frames(studio, tmp_path, media_format):
    scene = bpy.context.scene
    scene.frame_set(5)
    job_id = studio.ask("a red ball moves left in the sky", media_format=media_format, seed=3, seed_locked=True)
    studio.until(studio.takes)
    (take,) = studio.takes()
    assert take.type == "MOVIE"
    assert studio.range(take) == (5, 14)
    made = studio.session.jobs.get(job_id).take
    second = studio.ask("a red ball moves left in the sky", media_format="PNG", seed=3, seed_locked=True)
    studio.until(lambda: len(studio.takes()) == 2)
    images = Path(studio.session.jobs.get(second).take.folder)
    for strip in studio.takes():
        strip.mute = strip.type == "IMAGE"
        strip.transform.scale_x = strip.transform.scale_y = 1.0
    scene.render.resolution_x, scene.render.resolution_y = made.width, made.height
    render_exactly(scene)
    frames = [pixels_of(file).astype(int) for file in sorted(images.glob("*.png"))]
    for frame in (5, 9, 13):
        rendered = render(scene, frame, tmp_path).astype(int)
        errors = [np.abs(rendered - other).mean() for other in frames]
        shown = frames[frame - 5]
        others = [e for e, other in zip(errors, frames, strict=True) if not np.array_equal(other, shown)]
        if media_format == "FFV1":
            assert errors[frame - 5] == 0
        else:
            assert errors[frame - 5] < 2 and errors[frame - 5] < min(others)
