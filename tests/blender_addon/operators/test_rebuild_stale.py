"""Rebuild Stale: what it asks, when it begins, what it hands on; and the way to a stale take's strip."""

from __future__ import annotations

import dataclasses
import importlib
import json
import time
from types import SimpleNamespace

import bpy
import pytest

JOB, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def module(addon):
    found = addon("operators.rebuild_stale")
    found._asked = ((), [])
    return found


@pytest.fixture
def stale(stand_in, addon, cut, extension):
    """Two stale takes, the second of which waits for a new one already."""
    identity, kind = addon("timeline.identity"), addon("jobs.stale_takes").StaleTake
    to_json = importlib.import_module(f"{extension}.wan_backend.protocol.conversion").to_json
    for number, job_id in enumerate((JOB, OTHER)):
        job = stand_in.add(job_id, "done", seconds=stand_in.messages.PhaseSeconds(denoise=600.0))
        strip = cut.shot(f"Take {number}", 10 + 50 * number, 34 + 50 * number)
        identity.mark_take(strip, job_id, json.dumps(to_json(stand_in.requests[job.job_id])), "{}")
        place = (cut.scene.name, strip.name, strip[identity.STRIP], 10 + 50 * number)
        stand_in.stale.found[job_id] = kind(job_id, *place, "Harbor.mp4 was replaced.", waits=bool(number))
    return stand_in.stale.found


def test_it_says_how_many_and_about_how_long(module, stale, stand_in) -> None:
    lines = module.question()
    assert lines[0] == "1 take is made anew: about 10 min."
    assert module.question() is lines, "it is worked out once, however often the dialog is drawn"
    stale[OTHER] = dataclasses.replace(stale[OTHER], waits=False)
    assert module.question()[0] == "2 takes are made anew: about 20 min."
    for job in stand_in.all:
        object.__setattr__(job, "state", stand_in.messages.JobState.FAILED)
    module._asked = ((), [])
    assert "How long that takes isn't known" in module.question()[0]


def test_only_those_that_wait_for_no_take_are_made_anew(stale, stand_in) -> None:
    assert bpy.ops.wan_vse.rebuild_stale() == {"FINISHED"}
    assert stand_in.asked == [("rebuild", [stale[JOB]], 0.0)]
    stand_in.asked.clear()
    assert bpy.ops.wan_vse.rebuild_stale("INVOKE_DEFAULT", job_id=JOB) == {"FINISHED"}
    assert stand_in.asked == [("rebuild", [stale[JOB]], 0.0)], "one alone is asked for without a question"


def test_at_an_hour(stale, stand_in, module) -> None:
    assert bpy.ops.wan_vse.rebuild_stale(when="AT_HOUR", hour=3) == {"FINISHED"}
    ((_, _, seconds),) = stand_in.asked
    begins = time.localtime(time.time() + seconds + 1)
    assert (begins.tm_hour, begins.tm_min) == (3, 0)


@pytest.mark.parametrize(("hour", "seconds"), [(12, 86400 - 754), (13, 3600 - 754), (11, 23 * 3600 - 754)])
def test_the_next_time_that_an_hour_begins(module, hour: int, seconds: float) -> None:
    noon = time.mktime((2026, 6, 15, 12, 12, 34, 0, 0, -1))
    assert module.seconds_until(hour, noon) == seconds


def test_why_it_can_not_be_used(stand_in, scene, stale, module) -> None:
    context = bpy.context
    refusal = module.WAN_VSE_OT_rebuild_stale.refusal
    assert refusal(context) == ""
    del stale[JOB]
    assert "being made" in refusal(context)
    stale.clear()
    assert refusal(context) == module.NONE_STALE
    stand_in.server.status.state = "missing"
    assert "not set up" in refusal(context)


def test_the_way_to_a_stale_take(stale, cut, scene) -> None:
    cut.select("Take 1")
    scene.frame_set(1)
    assert bpy.ops.wan_vse.show_stale(job_id=JOB) == {"FINISHED"}
    assert [strip.name for strip in cut.strips if strip.select] == ["Take 0"]
    assert scene.frame_current == 10
    cut.strips.remove(cut.strips["Take 0"])
    assert bpy.ops.wan_vse.show_stale(job_id=JOB) == {"CANCELLED"}


def test_the_report_is_opened_and_comes_back_after_an_undo(stand_in, addon, scene, module) -> None:
    report = addon("jobs.rebuild_report")
    assert not bpy.ops.wan_vse.open_rebuild_report.poll()
    stand_in.rebuilding = SimpleNamespace(report="1 of 1 stale takes were rebuilt.")
    assert bpy.ops.wan_vse.open_rebuild_report() == {"FINISHED"}
    assert bpy.data.texts[report.TEXT].as_string().strip() == "1 of 1 stale takes were rebuilt."
    bpy.data.texts.remove(bpy.data.texts[report.TEXT])
    assert bpy.ops.wan_vse.open_rebuild_report() == {"FINISHED"}
    assert report.TEXT in bpy.data.texts
