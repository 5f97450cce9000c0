"""Which stretch is empty, and which channel is free."""

from __future__ import annotations

import pytest


@pytest.fixture
def free_space(addon):
    return addon("timeline.free_space")


@pytest.fixture
def color(scene, addon):
    """color(start, end_exclusive, channel) puts a strip on the timeline."""
    compat = addon("timeline.compat")
    collection = compat.strips(scene.sequence_editor)
    return lambda start, end, channel=1: compat.new_color(collection, "c", channel, start, end - start)


def test_a_gap_lies_between_the_nearest_strips_of_all_channels(scene, free_space, color):
    color(1, 20, 1)
    color(5, 25, 4)
    color(60, 80, 2)
    color(50, 90, 7)
    assert free_space.gap_at(scene, 30) == free_space.Gap(25, 50, True)
    assert free_space.gap_at(scene, 25) == free_space.Gap(25, 50, True)
    assert free_space.gap_at(scene, 49).length_frames == 25


def test_under_a_strip_there_is_no_gap(scene, free_space, color):
    color(1, 20)
    assert free_space.gap_at(scene, 19) is None
    assert free_space.gap_at(scene, 1) is None


@pytest.mark.parametrize("kind", ["TEXT", "ADJUSTMENT"])
def test_titles_and_adjustments_over_a_gap_leave_it_one(scene, free_space, color, addon, kind):
    compat = addon("timeline.compat")
    color(1, 20)
    color(50, 60)
    strips = compat.strips(scene.sequence_editor)
    over = {"name": "over", "type": kind, "channel": 3, "frame_start": 1}
    timed = "length" in strips.bl_rna.functions["new_effect"].parameters
    strips.new_effect(**over, **({"length": 80} if timed else {"frame_end": 81}))
    assert free_space.gap_at(scene, 30) == free_space.Gap(20, 50, True)


def test_the_scenes_range_bounds_a_gap_at_either_end(scene, free_space, color):
    scene.frame_start, scene.frame_end = 1, 100
    assert free_space.gap_at(scene, 50) == free_space.Gap(1, 101)
    color(40, 60)
    assert free_space.gap_at(scene, 10) == free_space.Gap(1, 40, True)
    assert free_space.gap_at(scene, 70) == free_space.Gap(60, 101)


def test_beyond_the_scenes_range_there_is_no_gap(scene, free_space, color):
    scene.frame_start, scene.frame_end = 1, 100
    color(40, 200)
    assert free_space.gap_at(scene, 250) is None
    assert free_space.gap_at(scene, 0) is None


def test_what_is_not_seen_does_not_bound_a_gap(scene, free_space, color):
    color(10, 20).mute = True
    scene.sequence_editor.channels[3].mute = True
    color(30, 40, 3)
    color(60, 70)
    assert free_space.gap_at(scene, 35) == free_space.Gap(1, 60, True)


def test_the_lowest_free_channel(scene, free_space, color):
    assert free_space.first_free_channel(scene, 1, 10) == 1
    color(5, 15, 1)
    color(8, 9, 2)
    color(1, 5, 3)
    assert free_space.first_free_channel(scene, 5, 10) == 3
    assert free_space.first_free_channel(scene, 15, 20) == 1
    assert free_space.first_free_channel(scene, 1, 5) == 1
    assert free_space.first_free_channel(scene, 1, 20, lowest=2) == 4


def test_channels_that_are_locked_or_muted_are_passed_over(scene, free_space):
    scene.sequence_editor.channels[1].lock = True
    scene.sequence_editor.channels[2].mute = True
    assert free_space.first_free_channel(scene, 1, 10) == 3


def test_no_channel_is_free(scene, free_space, color):
    for channel in range(1, 129):
        color(1, 10, channel)
    assert free_space.first_free_channel(scene, 5, 8) is None


def test_a_scene_without_strips(scene, free_space, addon):
    import bpy

    empty = bpy.data.scenes.new("Empty")
    assert empty.sequence_editor is None
    assert free_space.first_free_channel(empty, 1, 10) == 1
    assert free_space.gap_at(empty, 5) == free_space.Gap(1, 251)


def test_in_an_open_meta_strip_its_own_strips_count(scene, addon, free_space, color):
    import bpy

    inner = color(20, 30, 1)
    color(100, 110, 2)
    meta = addon("timeline.compat").strips(scene.sequence_editor).new_meta(name="M", channel=5, frame_start=1)
    inner.move_to_meta(meta)
    scene.sequence_editor.display_stack(meta)
    assert free_space.gap_at(scene, 10) == free_space.Gap(1, 20, True)
    assert free_space.first_free_channel(scene, 20, 25) == 2
    assert free_space.first_free_channel(scene, 100, 105) == 1
    assert bpy.context.scene == scene
