"""Asks for a take that begins on the selected picture."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import Task
from .asking import Asking


class WAN_VSE_OT_animate_picture(Asking, bpy.types.Operator):
    """Ask for a take that begins on the selected picture, and ends on the second one where two are selected"""

    bl_idname = "wan_vse.animate_picture"
    bl_label = "Wan: Animate Picture"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.IMAGE_TO_VIDEO
