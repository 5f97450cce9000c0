"""What the operators on the queue do, and what they ask of the session."""

from __future__ import annotations

import bpy

JOB = "a" * 32
FINISHED, CANCELLED = {"FINISHED"}, {"CANCELLED"}


def test_a_job_is_found_by_its_id(stand_in) -> None:
    stand_in.add("b" * 32, "done")
    stand_in.add(JOB, "denoising")
    assert bpy.ops.wan_vse.cancel_job(job_id=JOB) == FINISHED
    assert stand_in.asked == [("cancel", JOB)]


def test_the_chosen_job_is_meant_where_none_is_named(stand_in, addon) -> None:
    stand_in.add("b" * 32, "denoising")
    stand_in.add(JOB, "denoising")
    addon("ui.refresh").refresh()
    bpy.context.window_manager.wan_vse.active_row = 1
    bpy.ops.wan_vse.cancel_job()
    assert stand_in.asked == [("cancel", "b" * 32)]


def test_an_order_that_comes_too_late_changes_nothing(stand_in) -> None:
    stand_in.add(JOB, "done")
    stand_in.add("b" * 32, "denoising")
    assert bpy.ops.wan_vse.cancel_job(job_id=JOB) == CANCELLED
    assert stand_in.asked == []


def test_cancel_all_leaves_what_ended(stand_in) -> None:
    for index, state in enumerate(("done", "queued", "loading", "failed")):
        stand_in.add(str(index) * 32, state)
    assert bpy.ops.wan_vse.cancel_all() == FINISHED
    assert {job for _, job in stand_in.asked} == {"1" * 32, "2" * 32}


def test_retry_clear_and_place(stand_in) -> None:
    stand_in.add(JOB, "failed")
    stand_in.placeable = {JOB}
    bpy.ops.wan_vse.retry_job()
    bpy.ops.wan_vse.place_take()
    bpy.ops.wan_vse.clear_jobs()
    assert stand_in.asked == [("retry", JOB), ("place", JOB), ("clear",)]


def test_show_take_moves_the_playhead_and_selects(stand_in, take, scene) -> None:
    scene.frame_set(1)
    take.select = False
    assert bpy.ops.wan_vse.show_take() == FINISHED
    assert (scene.frame_current, take.select) == (50, True)


def test_show_take_says_where_there_is_no_strip(stand_in) -> None:
    stand_in.add(JOB)
    assert bpy.ops.wan_vse.show_take() == CANCELLED
