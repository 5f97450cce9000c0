"""A small cut with a hole: two drawn landscapes. bpy and the standard library."""

from __future__ import annotations

import math
from array import array
from pathlib import Path

import bpy

HOLE_START, HOLE_END, END = 61, 85, 145
SKIES = {
    "Valley at dawn": ((0.86, 0.62, 0.48), (0.30, 0.42, 0.62)),
    "Ridge in the evening": ((0.90, 0.45, 0.28), (0.16, 0.14, 0.34)),
}


def lay_out(folder: Path) -> bpy.types.Scene:
    """The film in the sequencer's scene; gives that scene."""
    scene = bpy.context.window_manager.windows[0].workspace.sequencer_scene or bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.fps = 1920, 1080, 24
    scene.view_settings.view_transform = "Standard"
    scene.frame_start, scene.frame_end = 1, END - 1
    scene.sequence_editor_create()
    places = ((1, HOLE_START), (HOLE_END, END))
    for (name, sky), (start, end) in zip(SKIES.items(), places, strict=True):
        path = draw(folder, name, *sky)
        strip = scene.sequence_editor.strips.new_image(name, str(path), 1, start, fit_method="FILL")
        strip.frame_final_end = end
        strip.select = False
    return scene


def draw(folder: Path, name: str, low: tuple[float, ...], high: tuple[float, ...]) -> Path:
    """Hills below a sky that goes from `low` at the horizon to `high`. Rows go up, as Blender's do."""
    width, height = 480, 270
    ridges = [[_ridge(column / width, layer) for column in range(width)] for layer in range(4)]
    pixels = array("f")
    for row in range(height):
        up = row / height
        sky = [a * (1 - up) + b * up for a, b in zip(low, high, strict=True)]
        for column in range(width):
            hidden_by = [layer for layer in range(4) if up < ridges[layer][column]]
            color = [value * (0.5 - 0.1 * hidden_by[-1]) for value in low] if hidden_by else sky
            pixels.extend((*color, 1.0))
    image = bpy.data.images.new(name, width, height)
    image.pixels.foreach_set(pixels)
    image.filepath_raw, image.file_format = str(folder / f"{name}.png"), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return folder / f"{name}.png"


def _ridge(across: float, layer: int) -> float:
    """How high a layer of hills reaches there, 0 to 1."""
    rough = 0.02 * math.sin(across * (31 + 9 * layer) + layer)
    return 0.55 - layer * 0.13 + 0.05 * math.sin(across * (7 + 5 * layer) + 2.1 * layer) + rough
