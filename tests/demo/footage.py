"""The demo's small film: drawn media on a timeline of 24 fps and 1920x1080, and a scene strip. bpy only."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import bmesh
import bpy

FPS = 24
TEXT_START, STILL_START, SHOT_START = 1, 37, 73
LEFT_START, HOLE_START, RIGHT_START, RIGHT_END = 109, 133, 157, 181
SCENE_START, END = 205, 241
"""Where things begin: [TEXT_START, STILL_START) is free, [HOLE_START, RIGHT_START) is the hole between two shots,
[RIGHT_END, SCENE_START) is where the right one is to go on."""


def block_out_scene() -> bpy.types.Scene:
    """A ball before a far wall, blocked out, past which a camera trucks."""
    scene = bpy.data.scenes.new("Blocking")
    _render_quickly(scene)
    scene.frame_start, scene.frame_end = 1, END - SCENE_START
    _ball(scene, (0, 0, 2.0), 0.75, (0.55, 0.55, 0.6))
    _box(scene, (0, 40, 0), (120, 0.1, 80), (0.35, 0.42, 0.5))
    scene.world = bpy.data.worlds.new("Sky")
    scene.world.color = (0.35, 0.5, 0.7)
    if scene.world.node_tree:
        scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.35, 0.5, 0.7, 1)
    camera = bpy.data.objects.new("Truck", bpy.data.cameras.new("Truck"))
    camera.rotation_euler = (math.radians(90), 0, 0)
    for frame, x in ((1, -1.6), (scene.frame_end, 1.6)):
        camera.location = (x, -9.0, 2.0)
        camera.keyframe_insert("location", frame=frame)
    scene.collection.objects.link(camera)
    scene.camera = camera
    return scene


def _render_quickly(scene: bpy.types.Scene) -> None:
    """Cycles, which needs no graphics card, with few samples. A scene strip is rendered with the film's samples."""
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.device = 2, "CPU"
    scene.cycles.max_bounces, scene.cycles.use_denoising = 0, False


def _box(scene: bpy.types.Scene, middle: tuple, size: tuple, color: tuple) -> None:
    corners = [
        tuple((c - 0.5) * s for c, s in zip(corner, size, strict=True))
        for corner in itertools.product((0, 1), repeat=3)
    ]
    mesh = bpy.data.meshes.new("Block")
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh.from_pydata(corners, [], faces)
    mesh.materials.append(_clay(color))
    block = bpy.data.objects.new("Block", mesh)
    block.location = middle
    scene.collection.objects.link(block)


def _ball(scene: bpy.types.Scene, middle: tuple, radius: float, color: tuple) -> None:
    mesh = bpy.data.meshes.new("Ball")
    shape = bmesh.new()
    bmesh.ops.create_uvsphere(shape, u_segments=48, v_segments=24, radius=radius)
    for face in shape.faces:
        face.smooth = True
    shape.to_mesh(mesh)
    shape.free()
    mesh.materials.append(_clay(color))
    ball = bpy.data.objects.new("Ball", mesh)
    ball.location = middle
    scene.collection.objects.link(ball)


def _clay(color: tuple) -> bpy.types.Material:
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
    emission.inputs["Color"].default_value = (*color, 1)
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
    cut(scene, media)
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene"):
            workspace.sequencer_scene = scene
    return scene


def cut(scene: bpy.types.Scene, media: Path) -> None:
    """Make `scene` the film's: its size, its rate and its strips."""
    scene.name = "Film"
    _render_quickly(scene)
    scene.render.resolution_x, scene.render.resolution_y, scene.render.fps = 1280, 720, FPS
    scene.view_settings.view_transform = "Standard"
    scene.frame_start, scene.frame_end = 1, END - 1
    scene.sequence_editor_create()
    strips = strips_of(scene)
    still = strips.new_image("Still", str(media / "still.png"), 1, STILL_START, fit_method="FILL")
    still.frame_final_end = SHOT_START
    first, *others = sorted(file.name for file in media.glob("shot_*.png"))
    shot = strips.new_image("Meadow", str(media / first), 1, SHOT_START, fit_method="FILL")
    for name in others:
        shot.elements.append(name)
    _cut_in_two(strips, media / "moon.mp4")
    strips.new_scene("Blocking", block_out_scene(), 1, SCENE_START)
    for strip in strips:
        strip.select = False


def _cut_in_two(strips, movie: Path) -> None:
    """Two shots of one movie, whose middle is missing."""
    for name, start, end in (("Moon left", LEFT_START, HOLE_START), ("Moon right", RIGHT_START, RIGHT_END)):
        strip = strips.new_movie(name, str(movie), 1, LEFT_START, fit_method="FILL")
        if start > LEFT_START:
            strip.frame_final_start = start
        strip.frame_final_end = end
