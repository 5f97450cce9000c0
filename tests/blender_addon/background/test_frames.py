"""Which strips a Blender in the background shows."""

from __future__ import annotations


def test_placeholders_are_no_part_of_what_the_preview_shows(scene, addon) -> None:
    compat = addon("timeline.compat")
    strips = compat.strips(scene.sequence_editor)
    for channel, name in enumerate(("A", "B", "Waiting"), 1):
        compat.new_color(strips, name, channel, 1, 20)
    strips["Waiting"][addon("timeline.identity").ROLE] = addon("timeline.identity").PLACEHOLDER_ROLE
    strips["B"].mute = True
    frames = addon("background.frames")
    assert frames.ROLE == addon("timeline.identity").ROLE
    changed = frames.show_only(scene, [])
    assert {strip.name: strip.mute for strip in strips} == {"A": False, "B": True, "Waiting": True}
    for strip, was in changed:
        strip.mute = was
    changed = frames.show_only(scene, ["B"], alone=True)
    assert {strip.name: strip.mute for strip in strips} == {"A": True, "B": False, "Waiting": True}
    for strip, was in changed:
        strip.mute = was
    frames.show_only(scene, ["B"])
    assert {strip.name: strip.mute for strip in strips} == {"A": False, "B": False, "Waiting": True}
