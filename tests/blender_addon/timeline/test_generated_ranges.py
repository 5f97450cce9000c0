"""Where in the cut takes play: not where they are muted, also in meta strips and in timelines of other scenes."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import sys
from types import SimpleNamespace

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


def test_the_operator_writes_each_form_and_says_what_is_in_the_way(cut, scene, take, tmp_path):
    scene.frame_start, scene.frame_end = 1, 50
    take(cut.shot("Words", 10, 20))
    for name, word in (("list.txt", "Words"), ("marks.edl", "|D:10"), ("marks.otio", '"value": 10.0')):
        assert bpy.ops.wan_vse.list_generated(filepath=str(tmp_path / name)) == {"FINISHED"}
        assert word in (tmp_path / name).read_text("utf-8")
    with pytest.raises(RuntimeError, match="can't be written"):
        bpy.ops.wan_vse.list_generated(filepath=str(tmp_path / "no" / "list.txt"))


def nested(scene, compat, levels: int, strips: int) -> None:
    """So many scenes, each of which shows the next one so many times."""
    scenes = [scene, *(bpy.data.scenes.new(f"Level {number}") for number in range(levels))]
    for outer, inner in itertools.pairwise(scenes):
        editor = outer.sequence_editor or outer.sequence_editor_create()
        inner.sequence_editor_create()
        for channel in range(1, strips + 1):
            strip = compat.strips(editor).new_scene(name=f"S{channel}", scene=inner, channel=channel, frame_start=1)
            strip.scene_input = "SEQUENCER"


def test_scenes_that_show_each_other_many_times_over_are_looked_into_so_many_times(cut, addon, ranges, monkeypatch):
    """Ten strips in each of fourteen scenes are ten to the power of fourteen timelines."""
    top, looked = bpy.data.scenes.new("Top"), []
    nested(top, addon("timeline.compat"), 4, 3)
    monkeypatch.setattr(ranges, "MAX_LOOKS", 10)
    seen = ranges.layers.seen
    monkeypatch.setattr(ranges.layers, "seen", lambda *arguments: looked.append(1) or seen(*arguments))
    found = ranges.of(top, 1, 50)
    assert len(looked) <= 11
    assert found, "what was not looked into is named as a whole"


def test_a_long_chain_of_scenes_ends_in_no_traceback(cut, addon, ranges):
    compat, media, top = addon("timeline.compat"), addon("timeline.strip_media"), bpy.data.scenes.new("Top")
    nested(top, compat, 80, 1)
    (strip,) = compat.strips(top.sequence_editor)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 60)
    try:
        assert media.scene_refusal(top, strip, range(1, 2)) == ""
    finally:
        sys.setrecursionlimit(limit)


def test_a_long_chain_of_meta_strips_ends_in_no_traceback(cut, addon, scene, ranges, tmp_path):
    compat, footage = addon("timeline.compat"), addon("timeline.footage")
    metas = [cut.strips.new_meta(name="Meta 0", channel=2, frame_start=1)]
    for number in range(1, 120):
        metas.append(compat.strips(metas[-1]).new_meta(name=f"Meta {number}", channel=1, frame_start=1))
    picture = str(tmp_path / "gone.png")
    compat.strips(metas[-1]).new_image(name="Gone", filepath=picture, channel=1, frame_start=1, fit_method="FIT")
    for meta in reversed(metas):
        compat.set_handles(meta, 1, 9)
    whole = footage.FootageRange(footage.Role.FOOTAGE, 1, 5, ("Meta 0",))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 90)
    try:
        refusal = footage.source_or_render(scene, whole, str(tmp_path))
        found = ranges.of(scene, 1, 5)
        addon("timeline.source_looks").read(scene, whole, None)
        addon("operators.check_cut").unfinished(scene, 1, 5)
        addon("timeline.cut_description").of(scene, "Film")
        addon("operators.snapshot").read(scene, scene.wan_vse)
    finally:
        sys.setrecursionlimit(limit)
    assert isinstance(refusal, str) and "gone.png" in refusal
    assert found, "what was not looked into is named as a whole"


def test_the_file_is_named_as_blender_names_files(cut, scene, addon, tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="a name"):
        bpy.ops.wan_vse.list_generated(filepath="")
    with pytest.raises(RuntimeError, match="a name"):
        bpy.ops.wan_vse.list_generated(filepath=str(tmp_path) + "/")
    monkeypatch.setattr(bpy.path, "abspath", lambda path: path.replace("//", f"{tmp_path}/"))
    operator = SimpleNamespace(filepath="//ranges.txt", kind=".txt", report=lambda *_: None)
    write = addon("operators.list_generated").WAN_VSE_OT_list_generated.execute
    assert write(operator, bpy.context) == {"FINISHED"}, "called so: Blender 5.2 may crash on // in a script's call"
    assert (tmp_path / "ranges.txt").is_file()


def test_one_range_is_said_as_one(cut, scene, addon, take, tmp_path):
    said: list[str] = []
    operator = SimpleNamespace(
        filepath=str(tmp_path / "list.txt"), kind=".txt", report=lambda _, words: said.append(words)
    )
    write = addon("operators.list_generated").WAN_VSE_OT_list_generated.execute
    scene.frame_start, scene.frame_end = 1, 90
    for name, start in (("One", 10), ("Two", 50)):
        take(cut.shot(name, start, start + 10))
        write(operator, bpy.context)
    assert said == ["1 generated range is written to 'list.txt'", "2 generated ranges are written to 'list.txt'"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_no_text_is_no_traceback(cut, scene, take, tmp_path):
    name = os.fsdecode(b"caf\xe9.txt")
    assert bpy.ops.wan_vse.list_generated(filepath=str(tmp_path / name)) == {"FINISHED"}
    with pytest.raises(RuntimeError, match="can't be written"):
        bpy.ops.wan_vse.list_generated(filepath=str(tmp_path / "no" / name))
