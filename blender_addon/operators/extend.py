"""Asks for a take that goes on from a strip."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import Task
from .asking import Asking


class WAN_VSE_OT_extend(Asking, bpy.types.Operator):
    """Ask for a take that goes on from the strip's end, or leads up to its start; a held part of it gives the length"""

    bl_idname = "wan_vse.extend"
    bl_label = "Wan: Extend Strip"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.EXTEND
