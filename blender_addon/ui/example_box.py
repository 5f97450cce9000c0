"""The first take of somebody who has no footage yet: one click on an empty timeline."""

from __future__ import annotations

import bpy

from ..jobs import session
from ..timeline import compat


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, scene: bpy.types.Scene) -> None:
    """The button, while the timeline is empty and nothing is being made."""
    current = session.current()
    if current.server.status.state != "ready" or len(compat.shown_strips(scene)) or current.queue():
        return
    layout.operator("wan_vse.make_example", text="Make an Example", icon="OUTLINER_OB_LIGHT")
