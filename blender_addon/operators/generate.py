"""Asks for a take of the panel's prompt."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import Task
from .asking import Asking


class WAN_VSE_OT_generate(Asking, bpy.types.Operator):
    """Ask for a take of the prompt at the playhead. A placeholder stands there until the take is made"""

    bl_idname = "wan_vse.generate"
    bl_label = "Wan: Generate Take"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.TEXT_TO_VIDEO
