"""Placeholders and drafts of the rendered frames are found and named; a render is never held up."""

from __future__ import annotations

import bpy


def test_placeholders_in_range_are_named(cut, addon, scene) -> None:
    check, identity = addon("operators.check_cut"), addon("timeline.identity")
    scene.frame_start, scene.frame_end = 1, 100
    names = [
        cut.effect(name, "COLOR", start, start + 10).name for name, start in (("In", 20), ("Out", 200), ("Muted", 40))
    ]
    for name in names:
        identity.mark_placeholder(cut.strips[name], "a" * 32, "{}")
    cut.strips["Muted"].mute = True
    found = check.unfinished(scene, *check.rendered_range(scene))
    assert found.placeholders == ("In",)
    assert check.sentence(found) == "1 strip is still a placeholder ('In')."
    assert bpy.ops.wan_vse.check_cut() == {"FINISHED"}
    assert [strip.name for strip in cut.strips if strip.select] == ["In"]


def test_many_names_are_counted(addon) -> None:
    check = addon("operators.check_cut")
    said = check.sentence(check.Unfinished(("a", "b", "c", "d"), ("e",)))
    assert said == "4 strips are still placeholders ('a', 'b', 'c' and 1 more), and 1 take is a draft ('e')."
    assert "No placeholder" in check.sentence(check.Unfinished())
