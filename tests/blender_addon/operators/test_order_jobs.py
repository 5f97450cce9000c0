"""Holding, resuming, moving, pausing, and taking one row off."""

from __future__ import annotations

import bpy
import pytest

A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def three(stand_in):
    """A, B and C wait, in this order."""
    for job_id in (C, B, A):
        stand_in.add(job_id, "queued")
    return stand_in


@pytest.mark.parametrize(
    ("job", "direction", "moved"),
    [
        (C, "NEXT", (C, A)),
        (C, "UP", (C, B)),
        (A, "DOWN", (B, A)),
        (A, "UP", None),
        (A, "NEXT", None),
        (C, "DOWN", None),
    ],
)
def test_a_waiting_job_is_moved(three, job, direction, moved) -> None:
    result = bpy.ops.wan_vse.job_next(job_id=job, direction=direction)
    assert three.asked == ([("move", *moved)] if moved else [])
    assert result == ({"FINISHED"} if moved else {"CANCELLED"})


def test_only_what_waits_is_moved(stand_in) -> None:
    stand_in.add(A, "denoising")
    stand_in.add(B, "done")
    assert not bpy.ops.wan_vse.job_next.poll()
    stand_in.add(C, "queued")
    stand_in.local.add(C)
    assert not bpy.ops.wan_vse.job_next.poll(), "its source is still rendered here"


def test_hold_and_resume(three) -> None:
    assert not bpy.ops.wan_vse.resume_job.poll()
    assert bpy.ops.wan_vse.hold_job(job_id=B) == {"FINISHED"}
    three.add("d" * 32, "queued", hold=three.messages.Hold.PERSON)
    assert bpy.ops.wan_vse.hold_job(job_id="d" * 32) == {"CANCELLED"}
    assert bpy.ops.wan_vse.resume_job(job_id="d" * 32) == {"FINISHED"}
    assert three.asked == [("hold", B), ("resume", "d" * 32)]


def test_the_queue_is_paused_and_resumed(stand_in) -> None:
    assert not bpy.ops.wan_vse.pause_queue.poll()
    stand_in.add(A, "queued")
    assert bpy.ops.wan_vse.pause_queue() == {"FINISHED"} and stand_in.server.paused
    stand_in.all.clear()
    assert bpy.ops.wan_vse.pause_queue() == {"FINISHED"} and not stand_in.server.paused


def test_one_ended_row_is_taken_off(stand_in) -> None:
    stand_in.add(A, "queued")
    assert not bpy.ops.wan_vse.remove_job_row.poll()
    stand_in.add(B, "done")
    stand_in.add(C, "failed")
    stand_in.placeable.add(C)
    assert bpy.ops.wan_vse.remove_job_row(job_id=C) == {"FINISHED"}
    assert bpy.ops.wan_vse.remove_job_row(job_id=B) == {"CANCELLED"}, "no file has its take yet"
