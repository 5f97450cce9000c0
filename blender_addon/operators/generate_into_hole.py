"""Asks for a take of the prompt that fills the hole under the playhead, whatever length the panel says."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import Task
from .asking import Asking


class WAN_VSE_OT_generate_into_hole(Asking, bpy.types.Operator):
    """Ask for a take of the prompt that fills the hole under the playhead, from strip to strip"""

    bl_idname = "wan_vse.generate_into_hole"
    bl_label = "Wan: Generate into Hole"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.TEXT_TO_VIDEO
    changed: ClassVar = {"length_mode": "HOLE"}
