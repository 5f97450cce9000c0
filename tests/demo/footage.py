"""The demo's small film: drawn media on a timeline of 24 fps and 1920x1080, and a scene strip. bpy only."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import bpy

SHOT_START, STILL_START, HOLE_START, SCENE_START, END = 1, 49, 97, 145, 193


def block_out_scene() -> bpy.types.Scene:
    """A blocked-out street with a camera that dollies through it."""
    scene = bpy.data.scenes.new("Street")
    _render_quickly(scene)
    scene.frame_start, scene.frame_end = 1, END - SCENE_START
    for index in range(10):
        height = 2.0 + (index * 7 % 5)
        side = -1 if index % 2 else 1
        _box(scene, (side * 3.0, index * 2.2, height / 2), (1.4, 1.4, height), (0.25 + index * 0.06, 0.35, 0.4))
    _box(scene, (0, 10, -0.05), (14, 40, 0.1), (0.32, 0.3, 0.28))
    scene.world = bpy.data.worlds.new("Sky")
    scene.world.color = (0.35, 0.5, 0.7)
    if scene.world.node_tree:
        scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.35, 0.5, 0.7, 1)
    camera = bpy.data.objects.new("Dolly", bpy.data.cameras.new("Dolly"))
    camera.rotation_euler = (math.radians(86), 0, 0)
    for frame, y in ((1, -9.0), (scene.frame_end, 4.0)):
        camera.location = (0.3, y, 1.7)
        camera.keyframe_insert("location", frame=frame)
    scene.collection.objects.link(camera)
    scene.camera = camera
    return scene


def _render_quickly(scene: bpy.types.Scene) -> None:
    """Cycles, which needs no graphics card, with few samples. A scene strip is rendered with the film's samples."""
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.device = 2, "CPU"
    scene.cycles.max_bounces, scene.cycles.use_denoising = 0, False


def _box(scene: bpy.types.Scene, middle: tuple, size: tuple, colour: tuple) -> None:
    corners = [
        tuple((c - 0.5) * s for c, s in zip(corner, size, strict=True))
        for corner in itertools.product((0, 1), repeat=3)
    ]
    mesh = bpy.data.meshes.new("Block")
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh.from_pydata(corners, [], faces)
    mesh.materials.append(_clay(colour))
    block = bpy.data.objects.new("Block", mesh)
    block.location = middle
    scene.collection.objects.link(block)


def _clay(colour: tuple) -> bpy.types.Material:
    """A matte material lit by a sun that is computed in its nodes: no noise, however few the samples."""
    material = bpy.data.materials.new("Clay")
    if material.node_tree is None:
        material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    geometry, dot = nodes.new("ShaderNodeNewGeometry"), nodes.new("ShaderNodeVectorMath")
    dot.operation, dot.inputs[1].default_value = "DOT_PRODUCT", (0.5, -0.35, 0.79)
    light, emission, output = (nodes.new(f"ShaderNode{name}") for name in ("MapRange", "Emission", "OutputMaterial"))
    light.inputs["From Min"].default_value, light.inputs["To Min"].default_value = -1.0, 0.25
    emission.inputs["Color"].default_value = (*colour, 1)
    links.new(geometry.outputs["Normal"], dot.inputs[0])
    links.new(dot.outputs["Value"], light.inputs["Value"])
    links.new(light.outputs["Result"], emission.inputs["Strength"])
    links.new(emission.outputs["Emission"], output.inputs["Surface"])
    return material


def strips_of(scene: bpy.types.Scene):
    """The scene's strips, in every version of Blender."""
    editor = scene.sequence_editor
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def lay_out(media: Path) -> bpy.types.Scene:
    """Lay out the film with the drawn files in `media`; gives the scene that is cut."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene = bpy.context.scene
    scene.name = "Film"
    _render_quickly(scene)
    scene.render.resolution_x, scene.render.resolution_y, scene.render.fps = 1920, 1080, 24
    scene.view_settings.view_transform = "Standard"
    scene.frame_start, scene.frame_end = 1, END - 1
    scene.sequence_editor_create()
    strips = strips_of(scene)
    first, *others = sorted(file.name for file in media.glob("dawn_*.png"))
    shot = strips.new_image("Dawn", str(media / first), 1, SHOT_START, fit_method="FILL")
    for name in others:
        shot.elements.append(name)
    still = strips.new_image("Night still", str(media / "night.png"), 1, STILL_START, fit_method="FILL")
    still.frame_final_end = HOLE_START
    strips.new_scene("Street", block_out_scene(), 1, SCENE_START)
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene"):
            workspace.sequencer_scene = scene
    return scene
