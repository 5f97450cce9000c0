"""The list of stale takes: its rows, what stands below it, and the take's own panel."""

from __future__ import annotations

from types import SimpleNamespace

import bpy
import pytest
from test_take_box import made
from test_task_box import Buttons, panel

__all__ = ["made", "panel"]
JOB = "a" * 32


@pytest.fixture
def stale(stand_in, addon, cut):
    """stale(count) lets so many takes be stale; the first is of the strip "A"."""
    kind = addon("jobs.stale_takes").StaleTake

    def put(count: int):
        ids = [JOB, *(f"{index:032x}" for index in range(1, count))]
        reason = "Harbor.mp4 was replaced."
        stand_in.stale.found = {
            job_id: kind(job_id, cut.scene.name, f"Take {index}", "b" * 32, 1, reason)
            for index, job_id in enumerate(ids[:count])
        }
        addon("ui.refresh").mirror_stale(bpy.context.window_manager.wan_vse)

    yield put
    bpy.context.window_manager.wan_vse.stale_rows.clear()


@pytest.fixture
def drawn(addon):
    """What the panel shows."""

    def draw() -> Buttons:
        layout = Buttons()
        addon("ui.sidebar").WAN_VSE_PT_stale.draw(SimpleNamespace(layout=layout), bpy.context)
        return layout

    return draw


def test_without_anything_stale_there_is_no_panel(stand_in, addon, stale) -> None:
    shown = addon("ui.sidebar").WAN_VSE_PT_stale
    assert not shown.poll(bpy.context)
    stale(1)
    assert shown.poll(bpy.context)
    stale(0)
    stand_in.stale.unknown = {JOB: "x"}
    assert shown.poll(bpy.context)


@pytest.mark.parametrize(("count", "words"), [(1, "Rebuild 1 Stale Take..."), (200, "Rebuild 200 Stale Takes...")])
def test_the_list_the_reason_and_the_button(stale, drawn, count: int, words: str) -> None:
    stale(count)
    state = bpy.context.window_manager.wan_vse
    assert state.stale_rows[0].name == JOB and len(state.stale_rows) == count
    shown = drawn()
    assert words in shown.words
    assert any("Take 0: Harbor.mp4" in word for word in shown.words)


def test_what_can_not_be_looked_at_is_said_and_counted(stand_in, drawn) -> None:
    stand_in.stale.unknown = {f"{index}": f"'Take {index}': away" for index in range(5)}
    words = drawn().words
    assert any("'Take 1': away" in word for word in words)
    assert "and 3 more that can't be looked at" in words


def test_how_a_run_goes_and_went(stand_in, addon, drawn, stale) -> None:
    module = addon("jobs.rebuild_run")
    kind = addon("jobs.stale_takes").StaleTake
    entries = [module.Entry(kind(str(index), "Scene", "Take", "b" * 32, 1, "x")) for index in range(4)]
    entries[0].state = module.State.REBUILT
    run = addon("jobs.rebuilding").Rebuilding(None, None)
    run.entries = entries
    stand_in.rebuilding = run
    assert "Rebuilt 1 of 4" in drawn().words
    for entry in entries[1:]:
        entry.state = module.State.FAILED
    assert any("1 of 4 stale takes were rebuilt, 3 failed." in word for word in drawn().words)


def test_the_selected_take_says_what_has_changed(panel, made, stale, stand_in) -> None:
    made("A")
    assert not any("Stale" in word for word in panel("A").words)
    stale(1)
    shown = panel("A")
    assert any("Stale: Harbor.mp4 was" in word for word in shown.words)
    assert "Rebuild" in shown.words
