"""Shows a text in Blender's own text editor: one that is open, else in a window of its own."""

from __future__ import annotations

from typing import Any

import bpy


def show(context: bpy.types.Context, text: bpy.types.Text) -> bool:
    """Show the text; False where no editor could be opened, as without a window."""
    editor = next((area for area in _areas(context) if area.type == "TEXT_EDITOR"), None) or _open(context)
    if editor is None:
        return False
    space: Any = editor.spaces.active
    space.text = text
    space.show_word_wrap = True
    return True


def _open(context: bpy.types.Context) -> bpy.types.Area | None:
    if bpy.app.background or context.window is None:
        return None
    before = set(context.window_manager.windows)
    bpy.ops.wm.window_new()
    window = next((each for each in context.window_manager.windows if each not in before), None)
    if window is None:
        return None
    area = window.screen.areas[0]
    area.type = "TEXT_EDITOR"
    return area


def _areas(context: bpy.types.Context) -> list[bpy.types.Area]:
    return [area for window in context.window_manager.windows for area in window.screen.areas]
