"""Draws a seed."""

from __future__ import annotations

import secrets
from typing import ClassVar

import bpy

from ..properties import LARGEST_SEED, settings_of
from ..stopwatch import timed
from .refusing import Refusing, timeline_refusal


class WAN_VSE_OT_new_seed(Refusing, bpy.types.Operator):
    """Draw another seed and lock it, for a take that differs from the last one"""

    bl_idname = "wan_vse.new_seed"
    bl_label = "Wan: New Seed"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    @timed("operator new_seed")
    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = settings_of(context)
        settings.seed = secrets.randbelow(LARGEST_SEED + 1)
        settings.seed_locked = True
        return {"FINISHED"}
