"""The demo's small film: media drawn here, laid out on a timeline of 24 fps and 1920x1080. bpy and numpy only."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import bpy
import numpy as np

SIZE = (960, 540)
SHOT_FRAMES = 48
SHOT_START, STILL_START, HOLE_START, SCENE_START, END = 1, 49, 97, 145, 193


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write `picture` (H, W, 3, uint8) as an 8-bit RGB PNG."""
    height, width, _ = picture.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, width * 3)], axis=1)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows.tobytes(), 3))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b""))


def landscape(time: float, night: bool) -> np.ndarray:
    """A drawn landscape (H, W, 3, uint8) at `time` from 0 to 1: a sun or moon over hills."""
    width, height = SIZE
    x, y = np.meshgrid(np.linspace(0, width / height, width), np.linspace(0, 1, height))
    top, low = ((14, 18, 52), (52, 60, 110)) if night else ((70, 110, 190), (250, 190, 120))
    blend = y[..., None]
    picture = np.array(top) * (1 - blend) + np.array(low) * blend
    middle = (0.4 + 0.9 * time, 0.55 - 0.3 * math.sin(math.pi * time))
    distance = np.hypot(x - middle[0], y - middle[1])
    light = np.clip((0.09 - distance) * 200, 0, 1)[..., None]
    picture = picture * (1 - light) + np.array((230, 235, 245) if night else (255, 240, 190)) * light
    for level, (base, colour) in enumerate(((0.62, 0.55), (0.74, 0.35), (0.86, 0.18))):
        line = base + 0.07 * np.sin(3.1 * x + 1.7 * level + time * (level + 1) * 0.3) + 0.02 * np.sin(11 * x + level)
        hill = np.clip((y - line) * 300, 0, 1)[..., None]
        picture = picture * (1 - hill) + np.array((60, 90, 70)) * colour * (0.6 if night else 1.6) * hill
    return np.clip(picture, 0, 255).astype(np.uint8)


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
    corners = [tuple((c - 0.5) * s for c, s in zip(corner, size, strict=True)) for corner in np.ndindex(2, 2, 2)]
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


def lay_out(folder: Path) -> bpy.types.Scene:
    """Draw the media into `folder` and lay out the film; gives the scene that is cut."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene = bpy.context.scene
    scene.name = "Film"
    _render_quickly(scene)
    scene.render.resolution_x, scene.render.resolution_y, scene.render.fps = 1920, 1080, 24
    scene.view_settings.view_transform = "Standard"
    scene.frame_start, scene.frame_end = 1, END - 1
    scene.sequence_editor_create()
    media = folder / "media"
    media.mkdir(parents=True, exist_ok=True)
    strips = strips_of(scene)
    names = [f"dawn_{index:04d}.png" for index in range(1, SHOT_FRAMES + 1)]
    for index, name in enumerate(names):
        write_png(media / name, landscape(index / SHOT_FRAMES, night=False))
    shot = strips.new_image("Dawn", str(media / names[0]), 1, SHOT_START, fit_method="FILL")
    for name in names[1:]:
        shot.elements.append(name)
    write_png(media / "night.png", landscape(0.5, night=True))
    still = strips.new_image("Night still", str(media / "night.png"), 1, STILL_START, fit_method="FILL")
    still.frame_final_end = HOLE_START
    strips.new_scene("Street", block_out_scene(), 1, SCENE_START)
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene"):
            workspace.sequencer_scene = scene
    return scene
