"""Renders the depth of a scene as gray levels: near is bright, and the background is black.

The order's entry has: `scene`; `camera` (the strip's own, or ""); `layer` (or ""); `shots` (the scene's frames of each
shot, in order, together as many as `files`); `folder`; `files`.

Cycles renders it on the CPU. One material for everything emits 1 / distance, and distance is measured along the
camera's axis. Levels are linear in 1 / distance, like the depth that control models were trained on: 0 is the shot's
farthest point and 1 its nearest, the same through the whole shot. The file RANGES holds both for each shot.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from typing import Any

import bpy

from . import compat, output
from .report import Report

RANGES = "depth.json"
MEASURED_PIXELS = 6000
"""The range of a shot is measured on pictures of about this many pixels."""
MEASURED_FRAMES = 24
"""The range is measured on this many frames of a shot, evenly spread from the first to the last."""
MARGIN = 1.02
"""The range is widened by this factor, because it is measured on only a part of the pixels."""


def steps(entry: dict[str, Any]) -> int:
    """How many pictures are written for the order's entry."""
    return sum(len(set(shot)) + len(_some(shot)) for shot in entry["shots"])


def render(entry: dict[str, Any], report: Report) -> None:
    """Render the order's entry. Raises RuntimeError."""
    scene = bpy.data.scenes[entry["scene"]]
    _set_camera(scene, entry["camera"])
    layer = _only_layer(scene, entry["layer"])
    _render_one_ray(scene)
    _hide_volumes(scene)
    levels = _emit_depth(layer)
    partial = output.partial_folder(entry)
    rendered: list[str] = []
    ranges = []
    for number, shot in enumerate(entry["shots"]):
        near, far = _measure(scene, levels, shot, os.path.join(partial, f"measured_{number}"))
        ranges.append({"frames": len(shot), "near": near, "far": far})
        _set_levels(levels, 1 / far, 1 / near)
        output.set_file(scene, "PNG", "BW", "16")
        files = output.render_frames(scene, shot, os.path.join(partial, f"shot_{number}"))
        rendered += [files[frame] for frame in shot]
    output.move_into_place(entry, partial, rendered)
    for number in range(len(entry["shots"])):
        for name in ("measured", "shot"):
            shutil.rmtree(os.path.join(entry["folder"], f"{name}_{number}"))
    with open(os.path.join(entry["folder"], RANGES), "w", encoding="utf-8") as file:
        json.dump(ranges, file)


def _set_camera(scene: bpy.types.Scene, camera: str) -> None:
    if camera:
        scene.camera = bpy.data.objects[camera]
        for marker in scene.timeline_markers:
            marker.camera = None
    for each in bpy.data.cameras:  # one ray for each pixel would show noise in place of blur
        each.dof.use_dof = False


def _only_layer(scene: bpy.types.Scene, name: str) -> bpy.types.ViewLayer:
    """Leave on only the layer that Blender uses for a scene strip: the strip's own, else the first that is rendered."""
    layers = scene.view_layers
    chosen = layers[name] if name else next((layer for layer in layers if layer.use), layers[0])
    for layer in layers:
        layer.use = layer == chosen
    return chosen


def _render_one_ray(scene: bpy.types.Scene) -> None:
    """Trace one ray through the center of each pixel, without bounces, motion blur, compositing or color management."""
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.use_sequencer = render.use_compositing = render.use_freestyle = render.use_motion_blur = False
    render.film_transparent = False
    render.use_persistent_data = True
    cycles.device, cycles.samples = "CPU", 1
    cycles.use_denoising = cycles.use_adaptive_sampling = cycles.use_auto_tile = False
    cycles.max_bounces, cycles.film_exposure = 0, 1.0
    cycles.pixel_filter_type, cycles.filter_width = "BOX", 0.01
    cycles.sample_clamp_direct = 0.0
    scene.world = None
    output.set_view(scene, "Raw")


def _hide_volumes(scene: bpy.types.Scene) -> None:
    """Hide objects that are volumes alone: with one material for everything, they would be rendered solid."""
    for thing in scene.objects:
        materials = [slot.material for slot in thing.material_slots if slot.material]
        if thing.type == "VOLUME" or (materials and all(_is_volume(material) for material in materials)):
            thing.hide_render = True


def _is_volume(material: bpy.types.Material) -> bool:
    output_node = material.node_tree.get_output_node("CYCLES") if material.node_tree else None
    if output_node is None:
        return False
    return output_node.inputs["Volume"].is_linked and not output_node.inputs["Surface"].is_linked


def _emit_depth(layer: bpy.types.ViewLayer) -> bpy.types.Node:
    """Give everything in the layer a material that emits 1 / distance; returns the node that maps it to levels."""
    material = bpy.data.materials.new("Depth")
    tree = compat.node_tree_of(material)
    nodes, links = tree.nodes, tree.links
    nodes.clear()
    camera, near = nodes.new("ShaderNodeCameraData"), nodes.new("ShaderNodeMath")
    near.operation, near.inputs[0].default_value = "DIVIDE", 1.0
    levels, light, end = (nodes.new(f"ShaderNode{name}") for name in ("MapRange", "Emission", "OutputMaterial"))
    levels.clamp = True
    links.new(camera.outputs["View Z Depth"], near.inputs[1])
    links.new(near.outputs["Value"], levels.inputs["Value"])
    links.new(levels.outputs["Result"], light.inputs["Strength"])
    links.new(light.outputs["Emission"], end.inputs["Surface"])
    light.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    layer.material_override = material
    return levels


def _set_levels(levels: bpy.types.Node, dark: float, bright: float) -> None:
    levels.inputs["From Min"].default_value, levels.inputs["From Max"].default_value = dark, bright


def _some(shot: list[int]) -> list[int]:
    frames = sorted(set(shot))
    count = min(len(frames), MEASURED_FRAMES)
    return [frames[round(index * (len(frames) - 1) / max(1, count - 1))] for index in range(count)]


def _measure(scene: bpy.types.Scene, levels: bpy.types.Node, shot: list[int], folder: str) -> tuple[float, float]:
    """The nearest and the farthest distance in a shot, measured on small pictures of some of its frames."""
    render = scene.render
    kept = render.resolution_percentage
    share = (MEASURED_PIXELS / (render.resolution_x * render.resolution_y)) ** 0.5
    render.resolution_percentage = max(1, min(kept, round(100 * share)))
    levels.clamp = False
    _set_levels(levels, 0.0, 1.0)
    output.set_file(scene, "OPEN_EXR", "RGB", "32")
    try:
        files = output.render_frames(scene, _some(shot), folder)
    finally:
        render.resolution_percentage = kept
        levels.clamp = True
    values = [value for file in set(files.values()) for value in _values(file) if value > 0]
    if not values:
        raise RuntimeError(f"there is nothing to see in '{scene.name}' from frame {min(shot)} to {max(shot)}")
    return 1 / (max(values) * MARGIN), MARGIN / min(values)


def _values(file: str) -> array[float]:
    image: Any = bpy.data.images.load(file)
    image.colorspace_settings.name = "Non-Color"
    pixels: array[float] = array("f", bytes(4 * len(image.pixels)))
    image.pixels.foreach_get(pixels)
    channels = image.channels
    bpy.data.images.remove(image)
    return pixels[::channels]
