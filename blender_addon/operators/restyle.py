"""Asks for the selected footage in another look."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import Task
from .asking import Asking


class WAN_VSE_OT_restyle(Asking, bpy.types.Operator):
    """Ask for the selected footage in the prompt's look, frame by frame on the channel above it"""

    bl_idname = "wan_vse.restyle"
    bl_label = "Wan: Restyle Footage"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.RESTYLE
