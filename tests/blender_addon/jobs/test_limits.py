"""What would make too long a take is refused, and what would make too long a message is rendered."""

from __future__ import annotations

import bpy
import pictures
import pytest

WIDTH, HEIGHT = 64, 36


@pytest.fixture
def shot(scene, addon, tmp_path):
    """shot(names) is an image strip of those names, which all show the same picture."""
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    made = pictures.write_png(tmp_path / "picture.png", pictures.drawn(WIDTH, HEIGHT, 1))

    def make(names: list[str]):
        for name in names:
            (tmp_path / name).hardlink_to(made)
        strips = addon("timeline.compat").strips(scene.sequence_editor)
        strip = strips.new_image("shot", str(tmp_path / names[0]), 1, 1, fit_method="ORIGINAL")
        for name in names[1:]:
            strip.elements.append(name)
        return strip

    return make


def source(addon, scene, frames: int, folder):
    footage = addon("timeline.footage")
    wanted = footage.FootageRange(footage.Role.FOOTAGE, 1, 1 + frames, ("shot",))
    return footage.source_or_render(scene, wanted, str(folder))


def test_names_that_would_fill_a_message_are_rendered_under_names_that_do_not(shot, scene, addon, tmp_path) -> None:
    names = [f"{n * n * n:07d}_{'x' * 200}_{'abc'[n % 3]}.png" for n in range(1500)]
    shot(names)
    asked, rendered = source(addon, scene, 1500, tmp_path / "job")
    assert rendered and asked.frames == 1500
    few, rendered = source(addon, scene, 100, tmp_path / "job")
    assert not rendered and few.files == names[:100], "so few are read where they lie"


def test_a_long_sequence_is_read_where_it_lies(shot, scene, addon, tmp_path) -> None:
    names = [f"the_lake_sq010_sh040_comp_v003_beauty_graded.{n:08d}.png" for n in range(2000)]
    shot(names)
    asked, rendered = source(addon, scene, 2000, tmp_path / "job")
    assert not rendered and asked.files == names


def test_a_longer_take_is_refused_before_a_file_is_named(scene, addon, tmp_path) -> None:
    refused = source(addon, scene, 100_000, tmp_path / "job")  # there is no such strip: nothing was looked at
    assert "at most 2,000 frames; this would be 100,000" in refused


def test_a_length_is_refused_and_a_long_gap_is_begun(scene, addon, monkeypatch) -> None:
    targets, settings = addon("timeline.targets"), scene.wan_vse
    settings.length_mode, scene.frame_end = "SECONDS", 200_000
    monkeypatch.setattr(addon("timeline.scene_format"), "frames_of", lambda *_: 2001)
    assert "at most 2,000 frames; this would be 2,001" in targets.at_playhead(scene, settings)
    strips = addon("timeline.compat").strips(scene.sequence_editor)
    for start in (1, 100_000):
        addon("timeline.compat").new_color(strips, "black", 1, start, 10)
    bpy.context.scene.frame_set(50)
    settings.length_mode = "GAP"
    assert targets.at_playhead(scene, settings).length_frames == 2000
