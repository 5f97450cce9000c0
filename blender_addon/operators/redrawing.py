"""Asks Blender to draw areas again. Nothing else looks for them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import bpy

SEQUENCERS = frozenset({"SEQUENCE_EDITOR"})
SHOWING_US = SEQUENCERS | {"PREFERENCES"}
"""The areas that show anything of the add-on."""


def redraw(types: Collection[str] = SHOWING_US, only: Callable[[Any], bool] = lambda space: True) -> None:
    """Draw the areas of these types again, in all windows: those whose space is one of which `only` says so."""
    for manager in bpy.data.window_managers:
        for window in manager.windows:
            for area in window.screen.areas:
                if area.type in types and only(area.spaces.active):
                    area.tag_redraw()


def redraw_previews() -> None:
    """Draw the sequencer's previews again."""
    redraw(SEQUENCERS, only=lambda space: space.view_type != "SEQUENCER")


def redraw_sidebars() -> None:
    """Draw the sequencers' sidebars again, and nothing else of them."""
    for manager in bpy.data.window_managers:
        for window in manager.windows:
            for area in window.screen.areas:
                for region in area.regions if area.type in SEQUENCERS else ():
                    if region.type == "UI":
                        region.tag_redraw()
