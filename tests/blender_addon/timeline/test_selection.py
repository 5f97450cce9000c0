"""What is read of the selection, and the task that it implies."""

from __future__ import annotations

import bpy
import pytest


@pytest.fixture
def implied(cut):
    """implied("A", "B") is the task for these strips selected; implied() for the playhead alone."""

    def ask(*names: str, frame: int = 1) -> str:
        cut.scene.frame_set(frame)
        return cut.selection.implied(cut.scene, cut.select(*names)).value

    return ask


def test_nothing_but_a_playhead_is_text(implied) -> None:
    assert implied() == "text_to_video"


def test_the_playhead_in_a_gap_between_strips_is_fill_gap(cut, implied) -> None:
    cut.shot("A", 1, 20)
    assert implied(frame=30) == "text_to_video"
    cut.shot("B", 50, 60)
    assert implied(frame=30) == "fill_gap"
    assert implied(frame=10) == "text_to_video"
    assert implied(frame=70) == "text_to_video"


def test_one_strip(cut, implied) -> None:
    cut.shot("Shot", 1, 20)
    cut.still("Still", 30, 60)
    cut.scene_strip("Blocked", 70, 90)
    cut.effect("Grade", "ADJUSTMENT", 1, 90)
    cut.text("fog", 1, 20)
    assert implied("Shot") == "restyle"
    assert implied("Still") == "image_to_video"
    assert implied("Blocked") == "previs"
    assert implied("Grade") == "restyle"
    assert implied("fog") == "text_to_video"


def test_a_strip_that_was_pulled_past_its_media_is_extend(cut, implied) -> None:
    strip = cut.shot("Shot", 20, 40)
    cut.compat.set_handles(strip, 20, 50)
    assert implied("Shot") == "extend"
    (picked,) = cut.read().footage
    assert (picked.held_before, picked.held_after, picked.shown_end) == (0, 10, 40)
    cut.compat.set_handles(strip, 12, 40)
    (picked,) = cut.read().footage
    assert (picked.held_before, picked.held_after, picked.shown_start) == (8, 0, 20)


def test_a_trimmed_strip_holds_nothing(cut) -> None:
    strip = cut.shot("Shot", 20, 40)
    cut.compat.set_handles(strip, 25, 30)
    (picked,) = cut.select("Shot").footage
    assert (picked.held_before, picked.held_after) == (0, 0)


def test_two_strips(cut, implied) -> None:
    cut.shot("A", 1, 20)
    cut.shot("B", 30, 40, 4)
    cut.shot("C", 40, 50, 4)
    cut.still("Still", 20, 30)
    cut.still("Other", 20, 30, 2)
    cut.scene_strip("Blocked", 60, 80)
    assert implied("A", "B") == "fill_gap"
    assert implied("B", "C") == "restyle"
    assert implied("Still", "Other") == "image_to_video"
    assert implied("Blocked", "Still") == "previs"
    assert implied("A", "B", "C") == "restyle"


def test_sound_and_placeholders_are_no_footage(cut, implied, addon) -> None:
    strip = addon("timeline.take_strips").add_placeholder(cut.scene, "P", 2, 1, 20)
    addon("timeline.identity").mark_placeholder(strip, "job", "{}")
    assert implied("P") == "text_to_video"
    assert cut.read().footage == ()


def test_of_two_thousand_selected_strips_few_are_touched(cut, monkeypatch) -> None:
    for index in range(2000):
        cut.compat.new_color(cut.strips, f"s{index}", 1 + index % 20, 10 * (index // 20), 9)
    for strip in cut.strips:
        strip.select = True
    picked = []
    monkeypatch.setattr(
        cut.selection,
        "summarize",
        lambda strip, muted, summarize=cut.selection.summarize: picked.append(strip) or summarize(strip, muted),
    )
    selection = cut.read()
    assert selection.count == 2000
    assert len(selection.footage) == len(picked) == cut.selection.MAX_STRIPS
    strip_columns = cut.addon("timeline.strip_columns")
    assert [strip.name for strip in strip_columns.selected_strips(cut.scene, 3)] == ["s0", "s1", "s2"]
    assert len(strip_columns.selected_strips(cut.scene)) == 2000


def test_strips_are_fetched_in_order_whether_they_lie_close_or_far_apart(cut, addon) -> None:
    for index in range(300):
        cut.compat.new_color(cut.strips, f"s{index}", 1 + index % 20, 10 * (index // 20), 9)
    fetch = addon("timeline.strip_columns").fetch
    for indices in ([], [299], [0, 1, 2], [0, 299], [7, 8, 150, 299], list(range(300))):
        assert [strip.name for strip in fetch(cut.strips, indices)] == [f"s{index}" for index in indices]


def test_strips_inside_metas_are_walked_too(cut, addon) -> None:
    cut.shot("Outside", 50, 60)
    for number in (1, 2):
        cut.shot(f"Inner {number}", 20, 40).move_to_meta(
            cut.strips.new_meta(name=f"Meta {number}", channel=4 + number, frame_start=1)
        )
    identity, strip_columns = addon("timeline.identity"), addon("timeline.strip_columns")
    names = {strip.name for strip, _ in strip_columns.walk(cut.scene)}
    assert names == {"Outside", "Meta 1", "Meta 2", "Inner 1", "Inner 2"}
    inner = next(strip for strip, _ in strip_columns.walk(cut.scene) if strip.name == "Inner 2")
    identity.mark_placeholder(inner, "a" * 32, "{}")
    assert [(found.strip.name, found.job_id) for found in identity.marked(cut.scene)] == [("Inner 2", "a" * 32)]


def test_in_an_open_meta_its_own_strips_are_read(cut) -> None:
    inner = cut.shot("Inner", 20, 40)
    meta = cut.strips.new_meta(name="Meta", channel=5, frame_start=1)
    inner.move_to_meta(meta)
    cut.compat.set_handles(meta, 20, 40)
    assert [strip.name for strip in cut.select("Meta", "Inner").footage] == ["Meta"]
    cut.scene.sequence_editor.display_stack(meta)
    assert [strip.name for strip in cut.select("Inner").footage] == ["Inner"]


def test_a_text_block_is_one_prompt(scene, addon):
    text = bpy.data.texts.new("Prompt")
    text.write("  fog over\n\n a forest \n")
    assert addon("timeline.selection").prompt_of_text_block(text) == "fog over a forest"


def test_the_selected_text_strip_is_the_prompt(scene, addon):
    selection, compat = addon("timeline.selection"), addon("timeline.compat")
    assert selection.prompt_of_text_strip(scene) is None
    collection = compat.strips(scene.sequence_editor)
    end = {"length": 9} if "length" in collection.bl_rna.functions["new_effect"].parameters else {"frame_end": 10}
    for channel, words in enumerate(("first", "second\nline"), 1):
        strip = collection.new_effect(name=words, type="TEXT", channel=channel, frame_start=1, **end)
        strip.text = words
        strip.select = True
    assert selection.prompt_of_text_strip(scene) == "first"
    scene.sequence_editor.active_strip = strip
    assert selection.prompt_of_text_strip(scene) == "second line"
    strip.select = False
    assert selection.prompt_of_text_strip(scene) == "first"
