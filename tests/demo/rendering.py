"""Renders the demo's film with Blender itself. bpy only."""

from __future__ import annotations

from pathlib import Path

import bpy


def render_film(scene: bpy.types.Scene, path: Path, percentage: int = 50) -> Path:
    """Render the whole timeline as H.264 at `percentage` of the film's size; returns the file."""
    render = scene.render
    render.resolution_percentage = percentage
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec = "MPEG4", "H264"
    render.ffmpeg.constant_rate_factor = "HIGH"
    render.use_file_extension = True
    render.filepath = str(path.with_suffix(""))
    before = set(path.parent.glob("*.mp4"))
    bpy.ops.render.render(animation=True, scene=scene.name)
    render.resolution_percentage = 100
    (made,) = set(path.parent.glob("*.mp4")) - before  # Blender adds the frame range to the name
    made.replace(path)
    return path
