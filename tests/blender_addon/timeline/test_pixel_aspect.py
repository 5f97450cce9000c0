"""In a scene whose pixels aren't square the model works in square ones, and what it made lies right in the frame."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pictures
import pytest

SCENES = {
    "PAL, wide": ((180, 144), (16, 11)),
    "HDV": ((144, 108), (4, 3)),
    "anamorphic": ((144, 120), (2, 1)),
    "high pixels": ((160, 90), (1, 2)),
    "square": ((160, 90), (1, 1)),
}
TRANSFORMS = {
    "as it is": {},
    "smaller and moved": {"scale_x": 0.7, "scale_y": 0.6, "offset_x": 21, "offset_y": -9},
    "cropped and mirrored": {"min_x": 20, "max_y": 12, "use_flip_x": True},
    "upside down": {"use_flip_y": True, "offset_y": 13},
}


def shape(scene, name: str) -> None:
    (scene.render.resolution_x, scene.render.resolution_y), aspect = SCENES[name]
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = aspect


def disc(width: int, height: int) -> np.ndarray:
    """White on gray, round where the pixels are square."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    inside = np.hypot(x - width / 2, y - height / 2) < 0.35 * min(width, height)
    return np.repeat(np.where(inside, 255, 90).astype(np.uint8)[..., None], 3, 2)


def roundness(picture: np.ndarray, scene) -> float:
    """How much wider than high the disc is shown."""
    inside = picture[..., 0] > 170
    across, down = inside.any(0).sum(), inside.any(1).sum()
    return float(across * scene.render.pixel_aspect_x / (down * scene.render.pixel_aspect_y))


def laid_small(picture: np.ndarray, lies, frame: tuple[int, int]) -> np.ndarray:
    """The picture in the frame of the Framing, brought to `frame`: columns and rows averaged."""
    whole = pictures.laid(picture, lies).astype(float)
    for axis, size in ((1, frame[0]), (0, frame[1])):
        edges = np.linspace(0, whole.shape[axis], size + 1)
        sums = np.insert(np.cumsum(whole, axis), 0, 0, axis)
        places = np.arange(whole.shape[axis] + 1)
        at = np.apply_along_axis(lambda line, e=edges, p=places: np.interp(e, p, line), axis, sums)
        whole = np.diff(at, axis=axis) / np.diff(edges).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return np.rint(whole).astype(np.uint8)


def film(folder: Path, picture: np.ndarray) -> Path:
    """A movie of two such frames, with square pixels, as the backend writes takes."""
    scene = bpy.data.scenes.new("Film")
    scene.render.resolution_y, scene.render.resolution_x = picture.shape[:2]
    scene.view_settings.view_transform = "Standard"
    scene.frame_start, scene.frame_end = 1, 2
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    file = pictures.write_png(folder / "disc.png", picture)
    strip = strips.new_image("disc", str(file), 1, 1, fit_method="ORIGINAL")
    strip.elements.append(file.name)
    if hasattr(scene.render.image_settings, "media_type"):
        scene.render.image_settings.media_type = "VIDEO"
    scene.render.image_settings.file_format = "FFMPEG"
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = "MKV", "FFV1"
    scene.render.use_file_extension = False
    scene.render.filepath = str(folder / "take.mkv")
    bpy.ops.render.render(animation=True, scene=scene.name)
    bpy.data.scenes.remove(scene)
    return next(folder.glob("take.mkv*"))


@pytest.mark.parametrize("kind", ["png", "movie"])
@pytest.mark.parametrize("where", ["in place", "on the timeline"])
@pytest.mark.parametrize("name", SCENES)
def test_a_take_covers_the_frame_and_what_is_round_in_it_is_shown_round(scene, addon, tmp_path, name, where, kind):
    shape(scene, name)
    take_strips, compat = addon("timeline.take_strips"), addon("timeline.compat")
    scene_format, strip_transform = addon("timeline.scene_format"), addon("timeline.strip_transform")
    square = scene_format.square_size(scene)
    size = 16 * round(square[0] / 16), 16 * round(square[1] / 16)
    files = ["disc.png"] if kind == "png" else [film(tmp_path, disc(*size)).name]
    pictures.write_png(tmp_path / "disc.png", disc(*size))
    take = take_strips.TakeFiles(str(tmp_path), tuple(files), 1 + (kind == "movie"), kind == "movie")
    if where == "in place":
        take_strips.add_placeholder(scene, "T", 2, 1, take.frames)
        identity = addon("timeline.identity")
        identity.mark_placeholder(compat.strips(scene.sequence_editor)["T"], "a" * 32, "{}")
        (found,) = identity.sweep()
        strip = take_strips.put_in_place(found, take, take.frames)
    else:
        strip = take_strips.put_on_timeline(scene, "T", take, 2, 1, take.frames)
    shown = pictures.render(scene, 1, tmp_path / "render")
    assert roundness(shown, scene) == pytest.approx(1, abs=0.05)
    assert shown.min() > 60, "nothing of the frame is left uncovered"
    # What comes next to such a take sees it in the model's own pixels.
    lies = strip_transform.framing_of(scene, strip, size)
    scale = max(square[0] / size[0], square[1] / size[1])
    assert (lies.width / size[0], lies.height / size[1]) == pytest.approx((scale, scale), rel=0.015)
    assert (lies.canvas_width, lies.canvas_height) == square


@pytest.mark.parametrize("how", TRANSFORMS)
@pytest.mark.parametrize("name", SCENES)
def test_a_framing_is_in_square_pixels(scene, addon, tmp_path, name, how):
    shape(scene, name)
    strip_transform, frame = addon("timeline.strip_transform"), SCENES[name][0]
    drawn = pictures.drawn(*frame)
    file = pictures.write_png(tmp_path / "picture.png", drawn)
    strips = addon("timeline.compat").strips(scene.sequence_editor)
    strip = strips.new_image("Still", str(file), 1, 1, fit_method="ORIGINAL")
    for key, value in TRANSFORMS[how].items():
        setattr(next(o for o in (strip.transform, strip.crop, strip) if hasattr(o, key)), key, value)
    lies = strip_transform.framing_of(scene, strip, frame)
    shown = pictures.render(scene, 1, tmp_path / "render")
    assert pictures.psnr(shown, laid_small(drawn, lies, frame)) > 36, lies
    whole = strip_transform.is_whole_frame(scene, lies, frame)
    assert whole == (how == "as it is"), "a picture of the scene's size is its whole frame, stretched or not"
    assert strip_transform.fills_frame(scene, strip, frame) == (how == "as it is")


@pytest.mark.parametrize("percent", [100, 50])
@pytest.mark.parametrize("name", SCENES)
def test_the_frame_in_square_pixels_is_as_wide_as_it_is_shown(scene, addon, name, percent):
    shape(scene, name)
    (width, height), (across, up) = SCENES[name]
    got = addon("timeline.scene_format").square_size(scene, percent)
    assert got[0] / got[1] == pytest.approx(width * across / (height * up), rel=0.02)
    assert got[0] >= width * percent // 100 and got[1] >= height * percent // 100, "no pixel of the scene is lost"
