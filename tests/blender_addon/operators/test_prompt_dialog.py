"""The first example, and what the panel shows made from elsewhere."""

from __future__ import annotations

import bpy
import pytest

FINISHED = {"FINISHED"}


def test_the_example_is_made_by_the_embedded_model_on_an_empty_timeline(stand_in, settings) -> None:
    settings.model_id, settings.prompt = "big", ""
    assert bpy.ops.wan_vse.make_example() == FINISHED
    (take,) = stand_in.planned
    assert take.request.model == "embedded" and take.request.task == "text_to_video"
    assert "orange circle" in take.request.prompt and settings.model_id == "embedded"


def test_the_example_keeps_a_prompt_that_was_written(stand_in, settings) -> None:
    settings.prompt = "a blue square on grass"
    assert bpy.ops.wan_vse.make_example() == FINISHED
    assert stand_in.planned[0].request.prompt == "a blue square on grass"


def test_there_is_no_example_where_there_is_a_cut(stand_in, settings, cut) -> None:
    cut.shot("A", 1, 41)
    assert not bpy.ops.wan_vse.make_example.poll()
    with pytest.raises(RuntimeError, match="not empty"):
        bpy.ops.wan_vse.make_example()


def test_what_the_panel_shows_is_made(stand_in, settings, cut) -> None:
    cut.shot("A", 1, 41)
    cut.select("A")
    settings.restyle_prompt = "neon"
    assert bpy.ops.wan_vse.make_shown() == FINISHED
    assert [take.request.task for take in stand_in.planned] == [settings.task.lower()]
