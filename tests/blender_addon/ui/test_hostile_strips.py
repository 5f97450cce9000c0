"""Strips of a stranger's file: whatever their properties hold, nothing that reads them raises."""

from __future__ import annotations

import json

import bpy
import pytest

KEYS = ("wan_vse_job", "wan_vse_strip", "wan_vse_role", "wan_vse_request", "wan_vse_take", "wan_vse_takes",
        "wan_vse_made", "wan_vse_pending", "wan_vse_provenance", "wan_vse_first", "wan_vse_was_start",
        "wan_vse_was_length", "wan_vse_declined", "wan_vse_crop")  # fmt: skip
OPERATORS = ("flip_take", "mark_take", "find_takes", "drafts_in_best", "take_in_best", "show_kept_take", "keep_take")
JOB = "a" * 32


def entry(**changes):
    take = {"job": JOB, "folder": "x", "first_file": "0001.png", "frames": 3, "movie": False, "mark": "", "note": ""}
    return {**take, **changes}


FOLDERS = [
    "..", "/etc", "//server/share", "\\\\server\\share", "a\nb", "\u202eevil", "CON", "nul.txt", "\ud800", "/dev",
    "x" * 300,
]  # fmt: skip
NOTES = ["\ud800", "\0", 7, None, "x" * 9999]
FRAMES = [0, -1, 1e9, True, None, "3", 4000]
WILD = [
    0, -1, 2**31 - 1, 1.5, float("nan"), True, "", "x", "[" * 50_000, "{" * 9, "null", "7", "[null]", '"a"', JOB,
    [1, 2, 3], {"a": {"b": {"c": 1}}}, b"\xff\xfe", "\u202e\n\u2028", "1" * 5000, json.dumps([entry()] * 5000),
    json.dumps([entry(job=f"{n:032x}") for n in range(3000)]),
    json.dumps([entry(job=f"{n:032x}", folder=folder) for n, folder in enumerate(FOLDERS)]),
    json.dumps([entry(frames=frames, job=f"{n:032x}") for n, frames in enumerate(FRAMES)]),
    json.dumps([entry(note=note, mark=[], job=f"{n:032x}") for n, note in enumerate(NOTES)]),
    json.dumps({JOB: {"request": [], "take": {}, "asked": 7}, "b": 3}), json.dumps({JOB: 1}),
    json.dumps([{"job_id": f"{n:032x}", "request": {}, "asked": 3} for n in range(200)]),
]  # fmt: skip


def press_all() -> None:
    """Call each operator that can be used."""
    for operator in OPERATORS:
        call = getattr(bpy.ops.wan_vse, operator)
        try:
            if call.poll():
                call("EXEC_DEFAULT")
        except RuntimeError as error:
            assert "Traceback" not in str(error), operator


@pytest.mark.parametrize("key", KEYS)
def test_no_property_of_a_strip_is_a_traceback(addon, cut, scene, key, tmp_path):
    gone, look, identity = addon("ui.gone_takes"), addon("jobs.strip_look"), addon("timeline.identity")
    take_list, takes, best = addon("ui.take_list"), addon("timeline.strip_takes"), addon("operators.best_takes")
    lost, ranges, badge = addon("jobs.lost_takes"), addon("timeline.generated_ranges"), takes.badge_of
    strip = cut.shot("Shot", 1, 11)
    scene.sequence_editor.active_strip = strip
    strip.select = True
    before = sorted(tmp_path.rglob("*"))
    for value in WILD:
        for role in ("take", "placeholder"):
            identity.mark_take(strip, JOB, "{}", "{}")
            strip["wan_vse_takes"] = json.dumps([entry(), entry(job="b" * 32)])
            strip[identity.ROLE] = role
            try:
                strip[key] = value
            except (TypeError, UnicodeEncodeError, OverflowError):
                continue
            gone.forget()
            gone._on_load()
            gone.shown_gone(scene)
            while gone.tick(float("inf")):
                pass
            for kept in takes.takes_of(strip)[:20]:
                gone.media_of(kept)
            walk = look.StripLook()
            while not walk.go_on(None, float("inf")):
                pass
            badge(strip, JOB)
            takes.jobs_on(strip)
            take_list.note(takes.takes_of(strip), JOB)
            take_list.write_rows(bpy.context.window_manager.wan_vse)
            ranges.of(scene, 1, 20)
            list(best._drafts(scene))
            missing = lost.lost()
            lost.point(missing, {})
            press_all()
            for each in list(strip.keys()):
                del strip[each]
    assert sorted(tmp_path.rglob("*")) == before, "nothing was written or removed"
    bpy.context.window_manager.wan_vse.take_rows.clear()
    gone.forget()
