"""With a take of ours selected, it comes first: its prompt, a new take, its other takes; a task is one click away."""

from __future__ import annotations

import json
from types import SimpleNamespace

import bpy
import pytest
from test_task_box import panel

__all__ = ["panel"]


@pytest.fixture
def made(stand_in, cut, extension, addon):
    """A strip that is a take of a text, among those of the cut."""
    import importlib

    to_json = importlib.import_module(f"{extension}.wan_backend.protocol.conversion").to_json
    stand_in.add("a" * 32, "done", prompt="fog over pines")
    identity = addon("timeline.identity")

    def make(name: str):
        strip = cut.strips[name]
        strip[identity.JOB], strip[identity.STRIP], strip[identity.ROLE] = "a" * 32, "b" * 32, identity.TAKE_ROLE
        strip[identity.REQUEST] = json.dumps(to_json(stand_in.requests["a" * 32]))
        cut.scene.sequence_editor.active_strip = strip
        return strip

    return make


def test_a_take_comes_first_with_its_own_prompt(panel, settings, made, cut) -> None:
    made("A")
    drawn = panel("A")
    assert drawn.button == "new_take" and "take_prompt" in drawn.words
    assert settings.take_prompt == "fog over pines"
    assert any("1 of 1" in word for word in drawn.words)
    assert not {"restyle_prompt", "prompt"} & set(drawn.words)


def test_no_frame_beside_the_take_says_that_a_new_one_comes_there(panel, made, cut, addon, monkeypatch) -> None:
    overlay, outlines = addon("ui.timeline_overlay"), []
    monkeypatch.setattr(overlay, "_fill_all", lambda boxes, color: None)
    monkeypatch.setattr(overlay, "_outline", lambda box, color: outlines.append(box))
    view = SimpleNamespace(region_to_view=lambda x, y: (x / 5, y / 50))
    context = SimpleNamespace(region=SimpleNamespace(width=1000, height=400, view2d=view))
    made("A")
    panel("A")
    overlay._draw_asked_range(context, cut.scene)
    assert outlines == [], "New Take comes onto the strip itself"
    bpy.ops.wan_vse.choose_task(task="RESTYLE")
    overlay._draw_asked_range(context, cut.scene)
    assert len(outlines) == 1
    bpy.ops.wan_vse.choose_task(implied=True)


def test_an_edited_prompt_stays_with_its_take(panel, settings, made, cut) -> None:
    made("A")
    panel("A")
    settings.take_prompt = "fog over firs"
    assert settings.take_prompt == "fog over firs"
    panel("B")
    assert settings.take_prompt == ""
    panel("A")
    assert settings.take_prompt == "fog over firs"
    cut.strips["A"]["wan_vse_job"] = "c" * 32  # another take of it is shown
    assert settings.take_prompt == "fog over pines"


def test_a_task_for_a_take_is_one_click_away_and_so_is_the_way_back(panel, made) -> None:
    made("A")
    panel("A")
    assert bpy.ops.wan_vse.choose_task(task="RESTYLE") == {"FINISHED"}
    assert panel.again().button == "restyle"
    assert bpy.ops.wan_vse.choose_task(implied=True) == {"FINISHED"}
    assert panel.again().button == "new_take"


def test_what_goes_on_from_a_take_has_its_prompt_where_none_is_written(panel, settings, made, stand_in) -> None:
    made("A")
    settings.extend_prompt = ""
    panel("A")
    settings.task = "EXTEND"
    panel.again()
    assert stand_in.server.plan_query.planned.prompt == "fog over pines"
    settings.extend_prompt = "rain"
    panel.again()
    assert stand_in.server.plan_query.planned.prompt == "rain"


def test_a_request_that_is_not_valid_is_no_take(panel, made, cut) -> None:
    made("A")["wan_vse_request"] = '{"prompt": 7}'
    assert panel("A").button == "restyle"


@pytest.mark.parametrize(("index", "words"), [(0, "3 of 3"), (2, "1 of 3")])
def test_the_oldest_take_is_the_first_as_on_the_strip(addon, stand_in, index, words) -> None:
    request = stand_in.requests[stand_in.add("a" * 32, "done").job_id]
    kept = addon("timeline.strip_takes").KeptTake("a" * 32, "/takes", "1.png", 9, False, "", "")
    take_box = addon("ui.take_box")
    assert take_box.counted(take_box.ShownTake(request, (kept,) * 3, index, 0)) == words
