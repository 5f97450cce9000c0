"""Which areas are drawn again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.fixture
def areas(addon, monkeypatch) -> dict[str, list[str]]:
    """drawn["..."] are the areas that were drawn again, of two windows with one of each kind."""
    drawn: list[str] = []

    def area(kind: str, view: str = ""):
        name = f"{kind} {view}".strip()
        space = SimpleNamespace(view_type=view) if view else SimpleNamespace()
        return SimpleNamespace(type=kind, spaces=SimpleNamespace(active=space), tag_redraw=lambda: drawn.append(name))

    kinds = [("SEQUENCE_EDITOR", view) for view in ("SEQUENCER", "PREVIEW", "SEQUENCER_PREVIEW")]
    screens = [[area(*kind) for kind in (*kinds, ("PREFERENCES",), ("VIEW_3D",))] for _ in range(2)]
    windows = [SimpleNamespace(screen=SimpleNamespace(areas=each)) for each in screens]
    data = SimpleNamespace(window_managers=[SimpleNamespace(windows=windows)])
    monkeypatch.setattr(addon("operators.redrawing"), "bpy", SimpleNamespace(data=data))
    return drawn


def test_all_that_shows_the_add_on_is_drawn_in_each_window(addon, areas) -> None:
    addon("operators.redrawing").redraw()
    assert len(areas) == 8 and "VIEW_3D" not in areas and areas.count("PREFERENCES") == 2


def test_a_picture_over_the_preview_draws_previews_alone(addon, areas) -> None:
    addon("operators.redrawing").redraw_previews()
    assert sorted(set(areas)) == ["SEQUENCE_EDITOR PREVIEW", "SEQUENCE_EDITOR SEQUENCER_PREVIEW"] and len(areas) == 4
