"""Makes a text block for the prompt and shows it."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy

from ..properties import settings_of
from ..stopwatch import timed
from .refusing import Refusing, timeline_refusal


class WAN_VSE_OT_write_prompt_text(Refusing, bpy.types.Operator):
    """Write the prompt in a text block with as many lines as you like, shown in a text editor if one is open"""

    bl_idname = "wan_vse.write_prompt_text"
    bl_label = "Wan: Write Prompt as Text"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    @timed("operator write_prompt_text")
    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = settings_of(context)
        if settings.prompt_text is None:
            settings.prompt_text = bpy.data.texts.new("Prompt")
            settings.prompt_text.write(settings.prompt)
        settings.prompt_source = "TEXT_BLOCK"
        editor = next((area for area in _areas(context) if area.type == "TEXT_EDITOR"), None)
        if editor is None:
            self.report({"INFO"}, f"Open the text '{settings.prompt_text.name}' in a text editor to write in it.")
        else:
            space: Any = editor.spaces.active
            space.text = settings.prompt_text
            space.show_word_wrap = True
        return {"FINISHED"}


def _areas(context: bpy.types.Context) -> list[bpy.types.Area]:
    return [area for window in context.window_manager.windows for area in window.screen.areas]
