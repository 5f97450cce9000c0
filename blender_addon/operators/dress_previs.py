"""Asks for a take with the depth and the camera's move of a scene strip."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import Task
from .asking import Asking


class WAN_VSE_OT_dress_previs(Asking, bpy.types.Operator):
    """Ask for a take with the scene strip's depth and camera move, in the look of the prompt or a selected picture"""

    bl_idname = "wan_vse.dress_previs"
    bl_label = "Wan: Dress Previs"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.PREVIS
