"""Writes rendered pictures: numbered files in a partial folder, which then gets its name all at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Any

import bpy

from . import compat, made_folder
from .report import CannotRender

PARTIAL_SUFFIX = ".partial"
COMPRESSION = 10
"""In percent: PNG files are written quickly rather than small."""


def set_view(scene: bpy.types.Scene, view: str) -> None:
    """Show colors as `view` (Standard or Raw) does on an sRGB display, without any other change."""
    displays = scene.display_settings.bl_rna.properties["display_device"].enum_items
    if "sRGB" in displays:
        scene.display_settings.display_device = "sRGB"
    settings = scene.view_settings
    settings.view_transform, settings.look = view, "None"
    settings.exposure, settings.gamma = 0.0, 1.0
    compat.use_plain_colors(settings)
    scene.render.image_settings.color_management = "FOLLOW_SCENE"
    scene.render.dither_intensity = 0.0


def set_file(scene: bpy.types.Scene, file_format: str, color_mode: str, color_depth: str) -> None:
    """Write single pictures, without stamps or a render border, and overwrite those that exist."""
    render, settings = scene.render, scene.render.image_settings
    compat.offer_picture_formats(settings)
    settings.file_format, settings.color_mode, settings.color_depth = file_format, color_mode, color_depth
    settings.compression = COMPRESSION
    render.use_stamp = render.use_multiview = render.use_border = render.use_placeholder = False
    render.use_overwrite = render.use_file_extension = True


def render_frames(scene: bpy.types.Scene, numbers: Sequence[int], folder: str) -> dict[int, str]:
    """Render those frames of the scene into `folder`; returns the file of each. Raises RuntimeError."""
    os.makedirs(folder, exist_ok=True)
    scene.render.filepath = os.path.join(folder, "frame_######")
    scene.frame_step = 1
    files = {number: scene.render.frame_path(frame=number) for number in numbers}
    for first, last in _runs([number for number in sorted(set(numbers)) if number >= 0]):
        scene.frame_start, scene.frame_end = first, last
        bpy.ops.render.render(animation=True, scene=scene.name)
    for number in sorted({number for number in numbers if number < 0}):
        _render_negative(scene, number, files[number])
    for number, file in files.items():
        if not os.path.isfile(file):
            raise RuntimeError(f"frame {number} of '{scene.name}' was not written to {folder}")
    return files


def _render_negative(scene: bpy.types.Scene, number: int, file: str) -> None:
    """Render a frame before 0, which no animation reaches: a scene's range begins at 0 or later."""
    kept, scene.render.filepath = scene.render.filepath, file
    try:
        scene.frame_set(number)
        with bpy.context.temp_override(scene=scene):
            bpy.ops.render.render(write_still=True)
    finally:
        scene.render.filepath = kept


def partial_folder(entry: dict[str, Any]) -> str:
    """Make a folder beside the order's, which gets its name once it is complete. Raises OSError and CannotRender."""
    folder = str(entry["folder"]) + PARTIAL_SUFFIX
    try:
        made_folder.make(folder, entry["job"])
    except made_folder.FolderInTheWay as in_the_way:
        raise CannotRender(in_the_way.template, in_the_way.path) from None
    return folder


def move_into_place(entry: dict[str, Any], partial: str, rendered: Sequence[str]) -> None:
    """Rename the rendered files and their folder as the order says. Raises OSError and CannotRender."""
    left = list(rendered)
    for name, file in zip(entry["files"], rendered, strict=True):
        left.remove(file)
        target = os.path.join(partial, name)
        if file in left:
            shutil.copyfile(file, target)  # a frame that is held
        else:
            os.replace(file, target)
    try:
        made_folder.clear(entry["folder"], entry["job"])
    except made_folder.FolderInTheWay as in_the_way:
        made_folder.remove(partial, entry["job"])
        raise CannotRender(in_the_way.template, in_the_way.path) from None
    os.replace(partial, entry["folder"])


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
