"""Writes down a scene's camera at frames of the scene: its place and its lens, as Blender evaluates them.

The order's entry has: `scene`; `camera` (the strip's own, or ""); `layer` (or ""); `frames` (the scene's, one for each
of the take's); `lens` (how the strip lies in the film's frame: factor and offset across, and down); `folder`; `files`
(one, in which the numbers go).

Sixteen numbers a frame: the rows of the 3 x 4 matrix from the camera's axes (x to the right, y down, z into the
picture) to the scene's, then the focal lengths across and down and the picture's center, as shares of the frame's width
and height.
"""

from __future__ import annotations

import json
import os
from typing import Any

import bpy

from . import output
from .report import CannotRender, Report

DIGITS = 9
"""Of each number: a little more than 32 bits hold."""


def steps(entry: dict[str, Any]) -> int:
    """How many frames are looked at for the order's entry."""
    return len(set(entry["frames"]))


def render(entry: dict[str, Any], report: Report) -> None:
    """Write the numbers of the order's entry. Raises OSError, RuntimeError and CannotRender."""
    scene = bpy.data.scenes[entry["scene"]]
    if entry["camera"]:
        scene.camera = bpy.data.objects[entry["camera"]]
        for marker in scene.timeline_markers:
            marker.camera = None
    layer = _layer(scene, entry["layer"])
    known: dict[int, list[float]] = {}
    for frame in sorted(set(entry["frames"])):
        scene.frame_set(frame)
        known[frame] = _numbers(scene, layer, entry["lens"])
        report.step()  # a heavy scene takes seconds a frame
    partial = output.partial_folder(entry)
    written = os.path.join(partial, "camera.written")
    with open(written, "w", encoding="utf-8") as file:
        json.dump({"numbers": [number for frame in entry["frames"] for number in known[frame]]}, file)
    output.move_into_place(entry, partial, [written])


def _layer(scene: bpy.types.Scene, name: str) -> bpy.types.ViewLayer:
    """The layer that Blender uses for a scene strip: the strip's own, else the first that is rendered."""
    layers = scene.view_layers
    return layers[name] if name else next((layer for layer in layers if layer.use), layers[0])


def _numbers(scene: bpy.types.Scene, layer: bpy.types.ViewLayer, lens: list[float]) -> list[float]:
    """The sixteen numbers at the scene's current frame."""
    layer.update()
    graph, camera = layer.depsgraph, scene.camera
    if camera is None or camera.type != "CAMERA":
        raise CannotRender("'{}' has no camera at frame {}: choose one there.", scene.name, scene.frame_current)
    seen: Any = camera.evaluated_get(graph)
    if seen.data.type != "PERSP":
        raise CannotRender(
            "The camera '{}' is not a perspective one, and no other can be followed: change its lens's type.",
            camera.name,
        )
    render = scene.render
    flat = seen.calc_matrix_camera(
        graph,
        x=render.resolution_x,
        y=render.resolution_y,
        scale_x=render.pixel_aspect_x,
        scale_y=render.pixel_aspect_y,
    )
    place = seen.matrix_world.normalized()  # Blender looks through a scaled camera as if it weren't scaled
    rows = [[place[row][0], -place[row][1], -place[row][2], place[row][3]] for row in range(3)]
    across, over, down, below = lens
    numbers = [
        *(number for row in rows for number in row),
        flat[0][0] / 2 * across,
        flat[1][1] / 2 * down,
        (1 - flat[0][2]) / 2 * across + over,
        (1 + flat[1][2]) / 2 * down + below,
    ]
    return [float(f"{number:.{DIGITS}g}") for number in numbers]
