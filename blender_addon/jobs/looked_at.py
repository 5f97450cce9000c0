"""What Blender says of live looks: the sources of what is looked at, and whether Blender has something better to do."""

from __future__ import annotations

from dataclasses import replace

import bpy

from ...wan_backend.protocol.messages import TakeRequest
from ..timeline import compat, picture_files
from . import planned_takes

NEEDS_FILES = "Live needs footage that can be read directly; this has to be rendered first."
GONE = "The scene of what is looked at is gone."
LOOKED_AT = "looked-at"
"""In place of a job's id: nothing is rendered for it."""


def with_sources(take: planned_takes.PlannedTake) -> TakeRequest | str:
    """The take's request with its sources; or why it can't be looked at. Few of their files are looked at."""
    scene = compat.own_scene(take.request.origin.scene)
    if scene is None:
        return GONE
    made = planned_takes.sources_of(scene, take, LOOKED_AT, picture_files.glance)
    if isinstance(made, str):
        return made
    if any(to_render for _, _, to_render in made):
        return NEEDS_FILES
    return replace(take.request, sources=[source for _, source, _ in made])


def why_blender_rests() -> str:
    """Why no look may take the graphics card's time now; "" if one may."""
    if bpy.app.is_job_running("RENDER"):
        return "Live rests while Blender renders."
    managers = bpy.data.window_managers
    if any(window.screen.is_animation_playing for manager in managers for window in manager.windows):
        return "Live rests while the film plays."
    return ""
