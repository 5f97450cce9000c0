"""Which job is shown: the running one, until a person chooses a row or selects a strip; and how rows are moved."""

from __future__ import annotations

import bpy
import pytest
from test_drawing import Recorder

A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def shown(stand_in, addon):
    """shown() brings the rows up to date and gives the id of the job that is shown."""
    module = addon("ui.shown_job")
    module._chosen = module._noted = ""
    state = bpy.context.window_manager.wan_vse

    def now() -> str:
        addon("ui.refresh").refresh()
        return state.rows[state.active_row].name

    return now


def choose(job_id: str) -> None:
    state = bpy.context.window_manager.wan_vse
    state.active_row = [row.name for row in state.rows].index(job_id)


def test_the_running_job_is_shown_until_a_person_chooses_another(stand_in, shown) -> None:
    stand_in.add(C, "queued")
    stand_in.add(A, "denoising")
    assert shown() == A
    choose(C)
    assert shown() == C
    stand_in.add(B, "denoising")
    assert shown() == C, "what a person has chosen stays"
    choose(B)
    stand_in.all[:] = [job for job in stand_in.all if job.job_id != B]
    assert shown() == A, "the running one was chosen, so the running one is followed"


def test_of_several_that_run_any_can_be_chosen(stand_in, shown) -> None:
    stand_in.add(A, "denoising")
    stand_in.add(B, "denoising")
    first = shown()
    other = B if first == A else A
    choose(other)
    assert shown() == other, "it isn't taken for the first one"
    choose(first)
    stand_in.all[:] = [job for job in stand_in.all if job.job_id != first]
    assert shown() == other, "the first one is followed again"


def test_what_was_chosen_and_is_gone_gives_way_to_the_running_one(stand_in, shown) -> None:
    stand_in.add(C, "queued")
    stand_in.add(A, "denoising")
    shown()
    choose(C)
    stand_in.all[:] = [job for job in stand_in.all if job.job_id != C]
    assert shown() == A


def test_a_chosen_row_selects_its_strip_and_a_selected_strip_its_row(stand_in, shown, cut, addon) -> None:
    compat, identity = addon("timeline.compat"), addon("timeline.identity")
    strips = compat.strips(bpy.context.scene.sequence_editor)
    for index, job_id in enumerate((A, C)):
        strip = compat.new_color(strips, f"of {job_id[0]}", 5 + index, 1, 10)
        identity.mark_placeholder(strip, job_id, "{}")
    stand_in.add(C, "queued")
    stand_in.add(B, "done")
    stand_in.add(A, "denoising")
    assert shown() == A
    choose(C)
    assert [strip.name for strip in strips if strip.select] == ["of c"]
    module = addon("ui.shown_job")
    for strip in strips:
        strip.select = strip.name == "of a"
    bpy.context.scene.sequence_editor.active_strip = next(s for s in strips if s.name == "of a")
    module.note_selection(bpy.context)
    module._follow()
    assert shown() == A
    choose(B)
    assert [strip.name for strip in strips if strip.select] == ["of a"], "a job without a strip selects none"
    assert shown() == B
    next(s for s in strips if s.name == "of a").select = False
    module.note_selection(bpy.context)
    module._follow()
    assert shown() == A, "with nothing selected, the running one"


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("abcd", "bcda", (0, 3)),
        ("abcd", "dabc", (3, 0)),
        ("abcd", "acbd", (1, 2)),
        ("abcd", "abcd", None),
        ("abcd", "badc", None),
        ("abcd", "abce", None),
        ("abcd", "abc", None),
    ],
)
def test_a_row_that_moved_is_moved(addon, old, new, wanted) -> None:
    assert addon("ui.refresh")._moved(list(old), list(new)) == wanted
    rows = bpy.context.window_manager.wan_vse.rows
    rows.clear()
    for name in old:
        rows.add().name = name
    addon("ui.refresh").write_rows(rows, list(old), list(new))
    assert [row.name for row in rows] == list(new)
    rows.clear()


def test_the_status_bar_says_what_is_made_and_what_has_landed(stand_in, shown, addon) -> None:
    bar = addon("ui.status_bar")
    bar._landed.clear()
    assert bar.going_on() == "" and bar.notice() == ""
    stand_in.add(B, "queued", hold=stand_in.messages.Hold.NO_PLACEHOLDER)
    stand_in.add(A, "denoising", eta_seconds=61.0)
    assert bar.going_on() == "1 take is being made, 1 min 1 s left"
    stand_in.server.paused = True
    assert bar.going_on() == "The queue is paused"
    stand_in.landings.append(stand_in.all[0])
    bar.refresh()
    assert bar.notice() == "A take has landed: fog over pines; undo leaves it on the timeline"
    stand_in.landings += stand_in.all
    bar.refresh()
    assert bar.notice().startswith("3 takes have landed")
    bar._until = 0.0
    assert bar._end_notice() is None and bar.notice() == ""


def test_a_held_job_says_why_and_can_be_resumed(stand_in, shown, addon) -> None:
    held = stand_in.messages.Hold.NO_PLACEHOLDER
    stand_in.add(A, "queued", hold=held, sentence="Its placeholder is gone: resume or cancel.")
    shown()
    layout = Recorder()
    addon("ui.queue_list").draw_queue(layout, bpy.context)
    words = " ".join(layout.words)
    assert "Its placeholder is gone" in words and "No placeholder" in words
