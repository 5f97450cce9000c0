"""The depth that is rendered of a scene strip is the scene's true depth."""

from __future__ import annotations

import itertools
import json
import math
import resource
import time
from pathlib import Path

import bpy
import numpy as np
import pictures
import pytest
from test_rendering import rendering, strips  # noqa: F401  (fixtures)

WIDTH, HEIGHT, FRAMES = 208, 120, 6


def plane_and_sphere(size=(WIDTH, HEIGHT), frames=FRAMES) -> bpy.types.Scene:
    """A wall at z = 0 and a sphere of radius 2 around (0, 0, 4), seen from above by a camera that moves and zooms."""
    scene = bpy.data.scenes.new("Stage")
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.frame_start, scene.frame_end = 101, 100 + frames
    wall = bpy.data.meshes.new("Wall")
    wall.from_pydata([(-60, -60, 0), (60, -60, 0), (60, 60, 0), (-60, 60, 0)], [], [(0, 1, 2, 3)])
    scene.collection.objects.link(bpy.data.objects.new("Wall", wall))
    scene.collection.objects.link(bpy.data.objects.new("Ball", ball()))
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    for frame, height, lens in ((101, 20.0, 35.0), (100 + frames, 12.0, 50.0)):
        camera.location, camera.data.lens = (0.4, 0.3, height), lens
        camera.keyframe_insert("location", frame=frame)
        camera.data.keyframe_insert("lens", frame=frame)
    scene.camera = camera
    scene.world = bpy.data.worlds.new("Sky")
    return scene


def ball(rings: int = 96, parts: int = 192):
    """A sphere so fine that its faces lie within 0.1 % of it."""
    mesh = bpy.data.meshes.new("Ball")
    corners = [
        (2 * math.sin(a) * math.cos(b), 2 * math.sin(a) * math.sin(b), 4 + 2 * math.cos(a))
        for a in (math.pi * ring / rings for ring in range(rings + 1))
        for b in (2 * math.pi * part / parts for part in range(parts))
    ]
    faces = [
        (r * parts + p, r * parts + (p + 1) % parts, (r + 1) * parts + (p + 1) % parts, (r + 1) * parts + p)
        for r in range(rings)
        for p in range(parts)
    ]
    mesh.from_pydata(corners, [], faces)
    return mesh


def true_depth(scene, frame: int) -> np.ndarray:
    """How far the wall or the sphere is along the camera's axis, through the middle of each pixel."""
    scene.frame_set(frame)
    camera = scene.camera.evaluated_get(scene.view_layers[0].depsgraph)
    width, height = scene.render.resolution_x, scene.render.resolution_y
    x, y = np.meshgrid((np.arange(width) + 0.5 - width / 2) / width, (height / 2 - np.arange(height) - 0.5) / width)
    ray = np.stack([x * 36 / camera.data.lens, y * 36 / camera.data.lens, -np.ones_like(x)], -1)
    eye = np.array(camera.location)
    depth = np.full(x.shape, eye[2])
    to_ball = np.array([0, 0, 4.0]) - eye
    square, half = (ray**2).sum(-1), (ray * to_ball).sum(-1)
    under = half**2 - square * (to_ball @ to_ball - 4.0)
    hit = under > 0
    depth[hit] = ((half - np.sqrt(np.maximum(under, 0))) / square)[hit]
    return depth


def distances(source, shot: int = 0) -> list[np.ndarray]:
    """What the rendered levels say, in the scene's units."""
    folder = Path(source.folder)
    ranges = json.loads((folder / "depth.json").read_text("utf-8"))[shot]
    dark, bright = 1 / ranges["far"], 1 / ranges["near"]
    return [1 / (pictures.read(folder / name)[..., 0].astype(float) * (bright - dark) + dark) for name in source.files]


def span(depth: np.ndarray) -> np.ndarray:
    """How much it differs among each pixel's neighbors: beside an edge, a ray may hit what is on its other side."""
    wide = np.pad(depth, 1, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(wide, (3, 3))
    return around.max((2, 3)) - around.min((2, 3))


@pytest.fixture
def stage(strips):  # noqa: F811
    return strips.new_scene("stage", plane_and_sphere(), 1, 1)


def test_depth_is_true_within_one_percent_and_near_is_bright(stage, rendering):  # noqa: F811
    (source,) = rendering.ask(rendering.wanted("stage", frames=(1, 1 + FRAMES), role="DEPTH", depth=True))
    assert len(source.files) == FRAMES
    for index, depth in enumerate(distances(source)):
        true = true_depth(stage.scene, 101 + index)
        error = np.abs(depth - true) / true
        edge = span(true) > 0.5
        assert error[~edge].max() < 0.01, index
        assert np.percentile(error, 99) < 0.002
    first = pictures.read(Path(source.folder) / source.files[0])[..., 0]
    assert first[HEIGHT // 2, WIDTH // 2] > first[2, 2] > 0, "the ball is nearer than the wall"


def test_the_range_is_held_through_a_shot(stage, rendering):  # noqa: F811
    (source,) = rendering.ask(rendering.wanted("stage", frames=(1, 1 + FRAMES), role="DEPTH", depth=True))
    levels = [pictures.read(Path(source.folder) / name)[..., 0] for name in source.files]
    assert levels[-1].max() > 0.9 and levels[0].min() < 0.1, "the range is the shot's own"
    walls = [level[2, 2] for level in levels]
    assert all(later > earlier for earlier, later in itertools.pairwise(walls)), "the camera comes nearer"


@pytest.mark.long
def test_81_frames_take_ten_seconds(strips, rendering):  # noqa: F811
    strips.new_scene("stage", plane_and_sphere((832, 480), 81), 1, 1)
    began, spent = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    rendering.ask(rendering.wanted("stage", frames=(1, 82), role="DEPTH", depth=True))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime - spent.ru_utime - spent.ru_stime
    # Ten seconds on two idle cores are 20 of their time; beside other work, cores that share a cache take longer.
    assert seconds < 30, f"{seconds:.1f} s of 30, {time.monotonic() - began:.1f} s by the clock"
