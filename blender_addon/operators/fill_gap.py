"""Asks for a take that leads from one strip into the next."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import Task
from .asking import Asking


class WAN_VSE_OT_fill_gap(Asking, bpy.types.Operator):
    """Ask for a take that is exactly the hole between two strips: the selected ones, or those around the playhead"""

    bl_idname = "wan_vse.fill_gap"
    bl_label = "Wan: Fill Gap"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.FILL_GAP
