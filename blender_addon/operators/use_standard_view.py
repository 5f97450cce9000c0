"""Sets the view in which footage keeps its colours."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy

from ..stopwatch import timed
from ..timeline import compat
from .refusing import Refusing, timeline_refusal


class WAN_VSE_OT_use_standard_view(Refusing, bpy.types.Operator):
    """Show and render this scene with the Standard view, in which footage keeps exactly the colours of its files"""

    bl_idname = "wan_vse.use_standard_view"
    bl_label = "Wan: Use Standard View"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = timeline_refusal(context)
        if sentence:
            return sentence
        return "" if changes_colours(compat.sequencer_scene(context)) else "The scene uses the Standard view already"

    @timed("operator use_standard_view")
    def execute(self, context: bpy.types.Context) -> set[str]:
        view: Any = compat.sequencer_scene(context).view_settings
        view.view_transform = "Standard"
        view.look = "None"
        return {"FINISHED"}


def changes_colours(scene: bpy.types.Scene) -> bool:
    """True where the scene's view gives footage other colours than its files have."""
    view = scene.view_settings
    return view.view_transform not in ("Standard", "Raw") or view.look not in ("None", "")
