"""Where takes would go and how long they would be is worked out once for a redraw, however many ask for it."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import bpy
import pytest
from test_drawing import draw

WORKED_OUT = (
    ("timeline.targets", "find_targets"),
    ("timeline.selection", "implied"),
    ("timeline.targets", "at_playhead"),
    ("jobs.request", "make_request"),
)


class View:
    """A region that shows 200 frames and 8 channels."""

    width, height = 1000, 400

    @property
    def view2d(self):
        return SimpleNamespace(region_to_view=lambda x, y: (x / 5, y / 50))


@pytest.fixture
def redraw(stand_in, settings, cut, addon, monkeypatch):
    """redraw() draws panel, button and overlay, as Blender does; returns what was worked out, by name."""
    counts: Counter[str] = Counter()

    def count(module: str, name: str) -> None:
        function = getattr(addon(module), name)
        monkeypatch.setattr(addon(module), name, lambda *values: counts.update([name]) or function(*values))

    for module, name in WORKED_OUT:
        count(module, name)
    overlay = addon("ui.timeline_overlay")
    monkeypatch.setattr(overlay, "_fill_all", lambda boxes, color: None)
    monkeypatch.setattr(overlay, "_outline", lambda box, color: counts.update(["outlines"]))

    def redraw() -> dict[str, int]:
        counts.clear()
        drawn = draw(addon("ui.sidebar").WAN_VSE_PT_generate)
        getattr(bpy.ops.wan_vse, drawn.orders[-1]).poll()
        overlay._draw_asked_range(SimpleNamespace(region=View()), bpy.context.scene)
        return dict(counts)

    return redraw


def test_the_overlay_walks_the_strips_as_seldom_as_it_can(stand_in, settings, cut, addon, monkeypatch) -> None:
    """Each property of all strips is read once, and the strips are made objects only if one of them has changed."""
    cut.shot("A", 1, 41)
    stand_in.add("a" * 32, "denoising")
    overlay, marks = addon("ui.timeline_overlay"), addon("ui.shown_marks")
    strip_columns = addon("timeline.strip_columns")
    walks: Counter[str] = Counter()

    def count(name: str) -> None:
        function = getattr(strip_columns, name)
        monkeypatch.setattr(strip_columns, name, lambda *values: walks.update([name]) or function(*values))

    for name in ("columns", "places", "selected"):
        count(name)
    read = marks._read
    monkeypatch.setattr(marks, "_read", lambda strip: walks.update(["read"]) or read(strip))
    monkeypatch.setattr(marks, "bpy", SimpleNamespace(app=SimpleNamespace(background=False)))
    monkeypatch.setattr(marks, "KEPT_SECONDS", 1000.0)
    monkeypatch.setattr(marks, "_readers", {})
    monkeypatch.setattr(overlay, "tab_in_view", lambda area: True)
    monkeypatch.setattr(overlay, "gpu", SimpleNamespace(state=SimpleNamespace(blend_set=lambda mode: None)))
    monkeypatch.setattr(overlay, "_fill_all", lambda boxes, color: None)
    monkeypatch.setattr(overlay, "_outline", lambda box, color: None)
    region = View()
    region.type = "WINDOW"
    space = SimpleNamespace(view_type="SEQUENCER")
    context = SimpleNamespace(
        scene=cut.scene, region=region, area=None, space_data=space, preferences=bpy.context.preferences
    )
    monkeypatch.setattr(overlay, "bpy", SimpleNamespace(context=context))
    overlay._draw()
    assert walks["read"] == 1
    walks.clear()
    overlay._draw()
    assert walks == {"columns": 1, "selected": 1}, "no strip has changed"


def test_a_gap_is_looked_for_once(redraw, settings, cut) -> None:
    cut.shot("A", 1, 41)
    cut.shot("B", 61, 101)
    cut.scene.frame_set(50)
    assert redraw() == {"find_targets": 1, "implied": 1, "make_request": 1, "outlines": 1}
    assert redraw() == {"outlines": 1}, "nothing has changed"


def test_the_playhead_is_looked_at_once(redraw, settings, cut) -> None:
    cut.scene.frame_set(5)
    settings.length_mode = "GAP"
    assert redraw() == {"at_playhead": 1, "implied": 1, "make_request": 1, "outlines": 1}
    assert redraw() == {"outlines": 1}


def test_a_refusal_is_found_once(redraw, settings, cut) -> None:
    cut.shot("A", 1, 41).mute = True
    cut.select("A")
    assert redraw() == {"find_targets": 1, "implied": 1}
    assert redraw() == {}


def test_a_lacking_prompt_still_shows_what_would_be_made(redraw, settings, cut) -> None:
    cut.shot("A", 1, 41)
    cut.select("A")
    settings.prompt = ""
    assert redraw() == {"find_targets": 1, "implied": 1, "make_request": 1, "outlines": 1}
