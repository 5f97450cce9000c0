"""Frames and seconds, and prompts from text."""

from __future__ import annotations

from fractions import Fraction

import bpy
import pytest


@pytest.mark.parametrize(
    ("fps", "base", "exact"),
    [(24, 1.0, "24"), (24, 1.001, "24000/1001"), (30, 1.001, "30000/1001"), (60, 1.001, "60000/1001"), (25, 1.0, "25")],
)
def test_the_rate_is_exact_although_blender_keeps_it_as_a_short_float(scene, addon, fps, base, exact):
    scene.render.fps, scene.render.fps_base = fps, base
    assert addon("timeline.length").rate_of(scene).exact() == Fraction(exact)


def test_seconds_and_frames(scene, addon):
    length = addon("timeline.length")
    scene.render.fps, scene.render.fps_base = 24, 1.001
    rate = length.rate_of(scene)
    assert length.frames_of(1.0, rate) == 24
    assert length.frames_of(1000.0, rate) == 23976
    assert length.frames_of(0.0, rate) == 1
    assert length.frames_of(1e9, rate) == length.LONGEST_FRAMES
    for frames in (1, 7, 81, 250, 5000):
        assert length.frames_of(length.seconds_of(frames, rate), rate) == frames


def test_a_text_block_is_one_prompt(scene, addon):
    text = bpy.data.texts.new("Prompt")
    text.write("  fog over\n\n a forest \n")
    assert addon("timeline.text_prompt").from_text_block(text) == "fog over a forest"


def test_the_selected_text_strip_is_the_prompt(scene, addon):
    text_prompt, compat = addon("timeline.text_prompt"), addon("timeline.compat")
    assert text_prompt.from_text_strip(scene) is None
    collection = compat.strips(scene.sequence_editor)
    end = {"length": 9} if "length" in collection.bl_rna.functions["new_effect"].parameters else {"frame_end": 10}
    for channel, words in enumerate(("first", "second\nline"), 1):
        strip = collection.new_effect(name=words, type="TEXT", channel=channel, frame_start=1, **end)
        strip.text = words
        strip.select = True
    assert text_prompt.from_text_strip(scene) == "first"
    scene.sequence_editor.active_strip = strip
    assert text_prompt.from_text_strip(scene) == "second line"
    strip.select = False
    assert text_prompt.from_text_strip(scene) == "first"
