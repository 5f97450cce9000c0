"""Asks for a take that fills the hole under the playhead, whatever length the panel says."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ..properties import WithSettings, settings_of
from ..stopwatch import timed
from .generate import generate_refusal, submit
from .refusing import Refusing


class WAN_VSE_OT_generate_into_hole(Refusing, bpy.types.Operator):
    """Ask for a take of the prompt that fills the hole under the playhead, from strip to strip"""

    bl_idname = "wan_vse.generate_into_hole"
    bl_label = "Wan: Generate into Hole"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return generate_refusal(context, length_mode="HOLE")

    @timed("operator generate_into_hole")
    def execute(self, context: bpy.types.Context) -> set[str]:
        return submit(self, context, WithSettings(settings_of(context), length_mode="HOLE"))
