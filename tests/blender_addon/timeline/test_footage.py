"""What a take is made from: read directly if that shows the same, else rendered, or refused in a sentence."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import bpy
import pictures
import pytest

WIDTH, HEIGHT = 160, 90


@pytest.fixture
def cut(scene, addon, tmp_path):
    """A scene of 160x90 with ways to add strips; `source(name, start, end)` is the Source and whether it's rendered."""
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    compat, footage = addon("timeline.compat"), addon("timeline.footage")
    strips = compat.strips(scene.sequence_editor)

    def stills(name="shot", start=1, count=10, channel=1, size=(WIDTH, HEIGHT), into=strips):
        files = [pictures.write_png(tmp_path / f"{name}_{i:02d}.png", pictures.drawn(*size, i)) for i in range(count)]
        strip = into.new_image(name, str(files[0]), channel, start, fit_method="ORIGINAL")
        for file in files[1:]:
            strip.elements.append(file.name)
        return strip

    def movie(name="movie", start=1, frames=12, rate=None):
        path = film(tmp_path / f"{name}.mkv", frames, rate or scene.render.fps)
        return strips.new_movie(name, str(path), 2, start, fit_method="ORIGINAL")

    def source(*names, start=1, end=2, depth=False):
        wanted = footage.FootageRange(addon("timeline.footage").Role.FOOTAGE, start, end, tuple(names), depth)
        return footage.source_or_render(scene, wanted, str(tmp_path / "job"))

    def refused(*names, **place) -> str:
        refusal = source(*names, **place)
        assert isinstance(refusal, str)
        return refusal

    return SimpleNamespace(
        scene=scene, compat=compat, strips=strips, stills=stills, movie=movie, source=source, refused=refused,
        folder=tmp_path,
    )  # fmt: skip


def film(path: Path, frames: int, rate: int) -> Path:
    """A lossless movie that Blender writes of a scene of its own."""
    scene = bpy.data.scenes.new("Film")
    scene.render.resolution_x, scene.render.resolution_y, scene.render.fps = WIDTH, HEIGHT, rate
    scene.frame_start, scene.frame_end = 1, frames
    scene.sequence_editor_create()
    strips = (
        scene.sequence_editor.strips if hasattr(scene.sequence_editor, "strips") else scene.sequence_editor.sequences
    )
    names = strips.bl_rna.functions["new_effect"].parameters.keys()
    strips.new_effect("gray", "COLOR", 1, 1, **({"length": frames} if "length" in names else {"frame_end": frames + 1}))
    if hasattr(scene.render.image_settings, "media_type"):
        scene.render.image_settings.media_type = "VIDEO"
    scene.render.image_settings.file_format = "FFMPEG"
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = "MKV", "FFV1"
    scene.render.use_file_extension = False
    scene.render.filepath = str(path)
    bpy.ops.render.render(animation=True, scene=scene.name)
    bpy.data.scenes.remove(scene)
    (written,) = path.parent.glob(f"{path.stem}*")
    return written


def test_a_plain_strip_is_read_straight_from_its_trim(cut):
    strip = cut.stills(start=11)
    cut.compat.set_handles(strip, 13, 18)
    source, rendered = cut.source("shot", start=14, end=17)
    assert not rendered and not source.rendered
    assert source.files == ["shot_03.png", "shot_04.png", "shot_05.png"]
    assert (source.folder, source.frames, source.is_movie) == (str(cut.folder), 3, False)
    assert source.framing is None, "its pictures are the scene's whole frame"


def test_a_held_picture_comes_again(cut):
    strip = cut.stills(start=11, count=3)
    cut.compat.set_handles(strip, 9, 16)
    source, _ = cut.source("shot", start=9, end=16)
    assert [int(name[5:7]) for name in source.files] == [0, 0, 0, 1, 2, 2, 2]


def test_a_still_is_the_same_in_each_frame(cut):
    strip = cut.stills(count=1)
    cut.compat.set_handles(strip, 1, 30)
    source, _ = cut.source("shot", start=20, end=24)
    assert source.files == ["shot_00.png"] * 4


def test_pictures_run_backwards_where_the_strip_does(cut):
    cut.stills(count=5).use_reverse_frames = True
    source, rendered = cut.source("shot", start=1, end=6)
    assert not rendered
    assert [int(name[5:7]) for name in source.files] == [4, 3, 2, 1, 0]


def test_a_movie_begins_at_the_frame_that_is_shown(cut):
    strip = cut.movie(start=21)
    cut.compat.set_handles(strip, 24, 30)
    source, rendered = cut.source("movie", start=25, end=30)
    assert not rendered and source.is_movie
    assert (source.first_frame, source.frames) == (4, 5)
    assert os.path.isfile(os.path.join(source.folder, *source.files))


def test_a_movie_that_is_trimmed_for_good_begins_later(cut):
    strip = cut.movie(start=21)
    name = "content_trim_start" if hasattr(strip, "content_trim_start") else "animation_offset_start"
    setattr(strip, name, 3)
    start = cut.compat.start(strip)
    source, _ = cut.source("movie", start=start, end=start + 4)
    assert source.first_frame == 3


CHANGES = {
    "rotated": lambda strip: setattr(strip.transform, "rotation", 0.1),
    "faded": lambda strip: setattr(strip, "blend_alpha", 0.5),
    "modified": lambda strip: strip.modifiers.new("Brighter", "BRIGHT_CONTRAST"),
    "animated": lambda strip: strip.transform.keyframe_insert("offset_x", frame=1),
    "held by strobe": lambda strip: setattr(strip, "strobe", 2),
    "pale": lambda strip: setattr(strip, "color_saturation", 0.5),
    "added": lambda strip: setattr(strip, "blend_type", "ADD"),
    "of other colors": lambda strip: setattr(strip.colorspace_settings, "name", "Linear Rec.709"),
    "enlarged without smoothing": lambda strip: setattr(strip.transform, "filter", "NEAREST"),
}


def is_rendered(cut, names, end: int) -> bool:
    source, must = cut.source(*names, start=1, end=end)
    if must:
        assert source.rendered and source.framing is None
        assert source.folder == str(cut.folder / "job" / "footage")
        assert source.files == [f"{i + 1:04d}.png" for i in range(end - 1)]
    return must


@pytest.mark.parametrize("how", CHANGES)
def test_a_strip_to_which_something_is_done_is_rendered(cut, how):
    strip = cut.stills()
    assert not is_rendered(cut, ["shot"], 3)
    CHANGES[how](strip)
    assert is_rendered(cut, ["shot"], 3)


def test_a_movie_that_does_not_simply_play_is_rendered(cut):
    strip = cut.movie()
    cut.compat.set_handles(strip, 1, 20)
    assert not is_rendered(cut, ["movie"], 12)
    assert is_rendered(cut, ["movie"], 15), "its last frame is held"
    strip.use_reverse_frames = True
    assert is_rendered(cut, ["movie"], 5)
    cut.movie("slow", rate=cut.scene.render.fps + 6)
    assert is_rendered(cut, ["slow"], 5), "Blender may play it at its own speed"


def test_several_strips_or_the_composite_are_rendered(cut):
    cut.stills()
    cut.stills("other", channel=3)
    assert is_rendered(cut, ["shot", "other"], 5)
    assert is_rendered(cut, [], 5)


def test_pictures_of_two_sizes_are_rendered(cut):
    cut.stills()
    pictures.write_png(cut.folder / "shot_01.png", pictures.drawn(80, 45))
    assert is_rendered(cut, ["shot"], 3)
    assert not is_rendered(cut, ["shot"], 2)


def test_what_lies_elsewhere_in_the_frame_has_a_framing(cut):
    strip = cut.stills(size=(80, 60))
    strip.transform.scale_x = 1.5
    strip.crop.min_x = 8
    source, _ = cut.source("shot", start=1, end=3)
    lies = source.framing
    assert (lies.canvas_width, lies.canvas_height) == (WIDTH, HEIGHT)
    assert (lies.x, lies.y, lies.width, lies.height) == pytest.approx((80 - 60 + 12, 15, 108, 60))
    assert (lies.crop_left, lies.crop_right) == (8, 0)


def test_missing_media_is_a_sentence(cut):
    cut.stills()
    (cut.folder / "shot_02.png").unlink()
    assert cut.source("shot", start=1, end=3)[0].files == ["shot_00.png", "shot_01.png"], "it isn't seen there"
    assert "shot_02.png" in cut.refused("shot", start=1, end=5)
    assert "shot_02.png" in cut.refused(start=1, end=5), "nor can the composite be rendered"
    (cut.folder / "shot_03.png").write_bytes(b"")
    assert "shot_03.png" in cut.refused("shot", start=4, end=5)


def test_missing_media_in_a_meta_or_under_an_effect_is_a_sentence(cut):
    meta = cut.strips.new_meta("meta", 5, 1)
    cut.stills("inner", into=cut.compat.strips(meta))
    cut.compat.set_handles(meta, 1, 11)
    (cut.folder / "inner_04.png").unlink()
    assert "inner_04.png" in cut.refused("meta", start=1, end=8)


def test_a_movie_that_blender_cannot_read_is_a_sentence(cut):
    strip = cut.movie()
    source, _ = cut.source("movie", start=1, end=4)
    os.unlink(os.path.join(source.folder, source.files[0]))
    assert "can't be found" in cut.refused("movie", start=1, end=4)
    broken = cut.folder / "broken.mp4"
    broken.write_bytes(b"no movie at all" * 100)
    strip.filepath = str(broken)
    assert "broken.mp4" in cut.refused("movie", start=1, end=2)


def test_places_that_cannot_be_used_are_sentences(cut):
    cut.stills(start=11)
    assert "no frame" in cut.refused("shot", start=12, end=12)
    assert "covers the frames 11 to 20" in cut.refused("shot", start=15, end=25)
    assert "no strip" in cut.refused("gone")
    assert "Nothing is seen" in cut.refused(start=100, end=105)


def test_a_strip_in_a_meta_is_a_sentence_until_the_meta_is_open(cut, scene):
    meta = cut.strips.new_meta("meta", 5, 1)
    cut.stills("inner", into=cut.compat.strips(meta))
    cut.compat.set_handles(meta, 1, 11)
    assert "meta strip" in cut.refused("inner", start=1, end=4)
    _, rendered = cut.source("meta", start=1, end=4)
    assert rendered


def test_scene_strips_that_cannot_be_shown_are_sentences(cut, scene):
    itself = cut.strips.new_scene("itself", scene, 4, 1)
    assert "the scene that it is in" in cut.refused("itself", start=1, end=2)
    other = bpy.data.scenes.new("Other")
    strip = cut.strips.new_scene("other", other, 5, 1)
    assert "no camera" in cut.refused("other", start=1, end=2)
    itself.mute = True
    assert "no camera" in cut.refused(start=1, end=2), "the composite shows it"
    strip.scene_input = "SEQUENCER"
    other.sequence_editor_create()
    cut.compat.strips(other.sequence_editor).new_scene("back", scene, 1, 1)
    assert "scene that it is in" in cut.refused("other", start=1, end=2), "through another scene's timeline"


def test_depth_needs_one_scene_strip_with_a_camera(cut):
    cut.stills()
    assert "not a scene strip" in cut.refused("shot", start=1, end=2, depth=True)
    assert "select one" in cut.refused(start=1, end=2, depth=True)
    other = bpy.data.scenes.new("Other")
    strip = cut.strips.new_scene("other", other, 5, 1)
    assert "no camera" in cut.refused("other", start=1, end=2, depth=True)
    strip.scene_input = "SEQUENCER"
    assert "no depth" in cut.refused("other", start=1, end=2, depth=True)


def test_a_scene_strip_looks_through_its_own_camera_then_the_markers_then_the_scenes(cut, addon):
    other = bpy.data.scenes.new("Other")
    other.frame_start = 101
    cameras = {
        name: bpy.data.objects.new(name, bpy.data.cameras.new(name)) for name in ("scene", "early", "late", "own")
    }
    strip = cut.strips.new_scene("other", other, 5, 11)
    seen = addon("timeline.strip_media")
    other.camera = cameras["scene"]
    assert seen.camera_of(strip, 101).name == "scene"
    for name, frame in (("late", 120), ("early", 110)):
        other.timeline_markers.new(name, frame=frame).camera = cameras[name]
    assert [seen.camera_of(strip, frame).name for frame in (101, 115, 120, 200)] == ["early", "early", "late", "late"]
    strip.scene_camera = cameras["own"]
    assert seen.camera_of(strip, 120).name == "own"
    assert seen.frames_of_scene(strip, range(11, 14)) == [101, 102, 103]
