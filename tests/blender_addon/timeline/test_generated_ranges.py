"""Where in the cut takes play: not where they are muted, also in meta strips and in timelines of other scenes."""

from __future__ import annotations

import json

import bpy
import pytest

from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.messages import FrameRate, Quality, Role, Source, TakeRequest


@pytest.fixture
def ranges(addon):
    return addon("timeline.generated_ranges")


@pytest.fixture
def take(addon):
    identity = addon("timeline.identity")

    def mark(strip, sources=(), quality=Quality.STANDARD):
        asked = TakeRequest("p", "wan-x", 64, 48, 9, FrameRate(24), 1, "/m", sources=list(sources), quality=quality)
        identity.mark_take(strip, "a" * 32, json.dumps(to_json(asked)), "{}")
        return strip

    return mark


def test_takes_in_the_range_are_found_with_what_they_are(cut, scene, ranges, take):
    take(cut.shot("Words", 10, 20))
    footage = Source(Role.FOOTAGE, "/f", ["a.png"])
    take(cut.shot("Restyle", 30, 50, 2), [footage], Quality.DRAFT)
    take(cut.shot("Muted", 60, 70)).mute = True
    take(cut.shot("Outside", 200, 210))
    cut.shot("Footage", 80, 90)
    found = ranges.of(scene, 15, 101)
    assert [(each.strip, each.start, each.end_exclusive, each.channel) for each in found] == [
        ("Words", 15, 20, 1), ("Restyle", 30, 50, 2),
    ]  # fmt: skip
    assert [(each.model, each.task, each.composite, each.draft) for each in found] == [
        ("wan-x", "text_to_video", False, False), ("wan-x", "text_to_video", True, True),
    ]  # fmt: skip


def test_metas_and_scenes_are_looked_into_and_a_circle_ends(cut, scene, addon, ranges, take):
    compat = addon("timeline.compat")
    meta = cut.strips.new_meta(name="Meta", channel=4, frame_start=10)
    inner = take(cut.shot("Inner", 10, 40))
    inner.move_to_meta(meta)
    compat.set_handles(meta, 20, 30)
    holder = cut.scene_strip("Other", 100, 150, 2)
    holder.scene_input = "SEQUENCER"
    other = holder.scene
    if other.sequence_editor is None:
        other.sequence_editor_create()
    made = compat.strips(other.sequence_editor).new_image(
        name="There", filepath=str(cut.folder / "0000.png"), channel=1, frame_start=5, fit_method="FILL"
    )
    compat.set_handles(made, 5, 11)
    take(made)
    back = compat.strips(other.sequence_editor).new_scene(name="Back", scene=scene, channel=3, frame_start=1)
    back.scene_input = "SEQUENCER"
    found = ranges.of(scene, 1, 1000)
    assert [(each.strip, each.start, each.end_exclusive, each.channel) for each in found] == [
        ("Inner", 20, 30, 4), ("Other: There", 104, 110, 2),
    ]  # fmt: skip


def test_what_a_stranger_wrote_is_listed_without_its_words(cut, scene, addon, ranges):
    addon("timeline.identity").mark_take(cut.shot("Odd", 1, 5), "a" * 32, "[[[", "{}")
    assert [(each.strip, each.model) for each in ranges.of(scene, 1, 10)] == [("Odd", "")]


def test_the_operator_writes_both_forms_and_says_what_is_in_the_way(cut, scene, take, tmp_path):
    scene.frame_start, scene.frame_end = 1, 50
    take(cut.shot("Words", 10, 20))
    for name, word in (("list.txt", "Words"), ("marks.edl", "|D:10")):
        assert bpy.ops.wan_vse.list_generated(filepath=str(tmp_path / name)) == {"FINISHED"}
        assert word in (tmp_path / name).read_text("utf-8")
    with pytest.raises(RuntimeError, match="can't be written"):
        bpy.ops.wan_vse.list_generated(filepath=str(tmp_path / "no" / "list.txt"))
