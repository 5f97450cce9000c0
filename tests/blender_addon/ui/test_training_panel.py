"""The training panel, and a training in the queue: what a person reads of them in every state."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import bpy
import pytest
from test_drawing import Recorder, draw

A = "a" * 32
STATES = ("queued", "loading", "encoding", "denoising", "decoding", "done", "failed", "cancelled", "interrupted")


def panel(addon):
    return addon("ui.sidebar").WAN_VSE_PT_training


def plan(messages, **more):
    plan = {"model": "embedded", "width": 256, "height": 144, "model_frames": 33, "steps": 1200, "take_frames": 49}
    plan |= {"model_frame_rate": messages.FrameRate(16), "guidance_scale": 1.0, "flow_shift": 3.0}
    return messages.Plan(**plan, sampler=messages.Sampler.EULER, **more)


def test_an_empty_panel_says_what_to_do_first(addon, settings) -> None:
    layout = draw(panel(addon))
    assert any("Select the strips to train from" in words for words in layout.words)
    assert layout.orders == ["choose_clips", "choose_clips", "remove_clip", "train_lora"]


def test_what_it_is_made_from_and_what_it_costs_stand_below_the_button(addon, settings, cut, stand_in) -> None:
    for number in range(4):
        cut.shot(f"Shot {number}", 1 + 100 * number, 50 + 100 * number)
    cut.still("Picture", 500, 510)
    settings.training.name, settings.training.trigger, settings.training.caption = "ink", "inkwsh", "a dog"
    cut.select(*(strip.name for strip in cut.strips))
    bpy.ops.wan_vse.choose_clips()
    stand_in.server.training_plan_query.plan = plan(stand_in.messages, expected_seconds=2400.0, memory_bytes=11.2e9)
    said = " ".join(draw(panel(addon)).words)
    assert "4 clips and 1 still" in said and "Train LoRA, about 40 min" in said
    assert "1,200 steps" in said and "11.2 GB of memory" in said
    assert stand_in.server.training_plan_query.planned.training.name == "ink"


def test_an_empty_list_stands_for_what_is_selected(addon, settings, cut) -> None:
    cut.shot("Shot", 1, 50)
    cut.still("Picture", 100, 120)
    cut.select("Shot", "Picture")
    assert "The selected strips: 1 clip and 1 still" in draw(panel(addon)).words
    cut.select("Picture")
    assert "The selected strips: 1 still" in draw(panel(addon)).words
    bpy.ops.wan_vse.choose_clips()
    assert "1 still" in draw(panel(addon)).words


def test_what_the_panel_is_against_the_backend_does_not_say_again(addon, settings, cut, stand_in) -> None:
    """Its plan is asked for as if the words were such as it takes, so that it says all that is left."""
    cut.shot("Shot", 1, 50)
    cut.select("Shot")
    training = settings.training
    training.name, training.trigger = "", "t" * 100
    training.caption, training.sample_prompt = "c" * 3000, "s" * 10000
    words = draw(panel(addon)).words
    for said in ("a name", "trigger may have at most", "caption may have at most", "prompt may have at most"):
        assert any(said in each for each in words), said
    asked = stand_in.server.training_plan_query.planned
    assert asked is not None and asked.training.name
    assert len(asked.training.trigger) <= stand_in.messages.MAX_TRIGGER
    assert len(asked.training.caption) <= stand_in.messages.MAX_CAPTION_CHARACTERS
    assert len(asked.training.sample_prompt) <= stand_in.messages.MAX_PROMPT_CHARACTERS


def test_what_is_learned_is_named_without_icons(settings) -> None:
    """At 1280 by 720 a sidebar has no room for both."""
    items = settings.training.bl_rna.properties["kind"].enum_items
    assert {item.icon for item in items} == {"NONE"}


def test_stills_are_not_called_clips(addon, stand_in) -> None:
    status = stand_in.add_training(A, "denoising").training
    facts = addon("ui.training_job").facts
    assert facts(status).startswith("12 clips;") and facts(status, stills=True).startswith("12 stills;")


def test_rows_say_which_strip_can_not_be_used(addon, settings, cut) -> None:
    cut.shot("Shot", 1, 50).mute = True
    cut.select("Shot")
    bpy.ops.wan_vse.choose_clips()
    draw(panel(addon))
    layout = Icons()
    rows = addon("ui.training_box").WAN_VSE_UL_clips
    rows.draw_item(SimpleNamespace(), bpy.context, layout, None, settings.training.clips[0], 0, None, "")
    assert "ERROR" in layout.words


class Icons(Recorder):
    """Gathers the icons in place of the words."""

    def _take(self, name: str, *values: Any, icon: str = "NONE", **named: Any) -> Any:
        super()._take(name, *values, icon=icon, **named)
        self.words.append(icon)
        return Icons(self.words, self.orders)


@pytest.mark.parametrize("state", STATES)
def test_a_training_can_be_read_in_every_state(addon, settings, stand_in, state: str) -> None:
    job = stand_in.add_training(A, state, (200, 300))
    addon("ui.refresh").refresh()
    layout = Recorder()
    addon("ui.job_box").draw_job(layout, bpy.context, job)
    queue = addon("ui.queue_list").WAN_VSE_UL_queue
    (row,) = bpy.context.window_manager.wan_vse.rows
    queue.draw_item(SimpleNamespace(), bpy.context, layout, None, row, 0, None, "")
    assert "LoRA: ink" in layout.words
    assert any("trigger: inkwsh" in words for words in layout.words)
    assert layout.orders.count("use_trained") == 2 + (state == "done")
    assert ("retry_job" in layout.orders) is (state in ("failed", "cancelled", "interrupted"))
    assert "place_take" not in layout.orders and "show_take" not in layout.orders
    assert "Making the picture" not in layout.words


def test_a_curve_is_drawn_within_its_picture(addon) -> None:
    job = addon("ui.training_job")
    for curve in ([0.5, 0.5], [0.9, 0.1, 0.4], [1 / (number + 1) for number in range(128)]):
        pixels = job.picture_of(curve)
        assert len(pixels) == job.SIDE**2 and len(set(pixels)) in (2, 3)
    assert job.smoothed([1.0, 1.0, 4.0]) == [1.0, 2.0, 2.5]
    assert job.smoothed([3.0, 1.0]) == [3.0, 1.0], "a loss that sinks is no level line"


def test_a_training_is_announced_in_its_own_words(addon, stand_in) -> None:
    words = addon("ui.announcement").training_words
    done, failed = stand_in.add_training(A, "done"), stand_in.add_training("b" * 32, "failed")
    assert words([done]) == "A LoRA is trained." and words([failed]) == "A training has failed."
    assert words([stand_in.add("c" * 32, "done")]) == ""


def test_the_queue_does_not_call_it_a_take_nor_guess_its_time_from_takes(addon, stand_in) -> None:
    stand_in.add_training(A, "queued")
    addon("ui.refresh").refresh()
    assert "1 LoRA is being trained" in addon("ui.status_bar").going_on()
    seconds_left, job = addon("jobs.queue_time").seconds_left, stand_in.all[0]
    assert seconds_left([job], [stand_in.add("c" * 32, "done")]) is None
