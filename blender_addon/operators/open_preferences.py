"""Shows the extension's preferences."""

from __future__ import annotations

from typing import ClassVar

import bpy

from .. import preferences


class WAN_VSE_OT_open_preferences(bpy.types.Operator):
    """Show the preferences of Wan VSE: the backend, the models, the device and where takes are kept"""

    bl_idname = "wan_vse.open_preferences"
    bl_label = "Wan: Open Preferences"
    bl_options: ClassVar = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        bpy.ops.preferences.addon_show(module=preferences.PACKAGE)
        return {"FINISHED"}
