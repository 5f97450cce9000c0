"""What a background Blender renders is what Blender itself renders, and the open file doesn't notice."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pictures
import pytest

SECONDS = 120.0
WIDTH, HEIGHT = 160, 90


@pytest.fixture
def strips(scene, addon):
    """The strips of a small scene."""
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.view_settings.view_transform = "AgX"
    return addon("timeline.compat").strips(scene.sequence_editor)


@pytest.fixture
def rendering(scene, addon, tmp_path):
    """rendering.ask(*wanted) renders them and gives their Sources; `ready` and `failed` are what was told."""
    module, footage = addon("jobs.rendering"), addon("timeline.footage")
    told = SimpleNamespace(ready=[], failed={}, progress=[])
    renderer = module.Renderer(lambda: tmp_path / "run", told.ready.append, told.failed.__setitem__)

    def wanted(*names, frames=(1, 2), role="FOOTAGE", depth=False):
        return footage.Wanted(footage.Role[role], *frames, tuple(names), depth)

    def begin(*all_wanted, job="job"):
        asked = []
        for index, what in enumerate(all_wanted):
            source, must = footage.source_or_render(scene, what, str(tmp_path / job / str(index)))
            assert must, what
            asked.append((what, source))
        renderer.ask(job, scene, asked)
        return [source for _, source in asked]

    def until(condition=lambda: not renderer.busy):
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end
            renderer.tick(time.perf_counter() + 0.01)
            told.progress.append(renderer.progress("job"))
            time.sleep(0.02)

    def ask(*all_wanted):
        sources = begin(*all_wanted)
        until()
        assert told.failed == {}, told.failed
        return sources

    yield SimpleNamespace(renderer=renderer, told=told, wanted=wanted, begin=begin, until=until, ask=ask)
    renderer.close(1.0)


def add_pictures(strips, folder: Path, name: str, channel: int, start: int, count: int, size=(WIDTH, HEIGHT), time=0.0):
    """An image strip of `count` different pictures."""
    folder.mkdir(exist_ok=True)
    files = [
        pictures.write_png(folder / f"{name}_{index:02d}.png", pictures.drawn(*size, time + index))
        for index in range(count)
    ]
    strip = strips.new_image(name, str(files[0]), channel, start, fit_method="ORIGINAL")
    for file in files[1:]:
        strip.elements.append(file.name)
    return strip


def new_effect(compat, strips, name: str, kind: str, channel: int, start: int, end: int, one=None, two=None):
    """An effect strip, in any version of Blender."""
    names = strips.bl_rna.functions["new_effect"].parameters.keys()
    first, second = ("input1", "input2") if "input1" in names else ("seq1", "seq2")
    place = {"length": end - start} if "length" in names else {"frame_end": end}
    if one is not None:
        place[first] = one
    if two is not None:
        place[second] = two
    return strips.new_effect(name=name, type=kind, channel=channel, frame_start=start, **place)


def own_render(scene, strips, names, frames: range, folder: Path) -> list[np.ndarray]:
    """Blender's own render of the frames with only those strips; no name: with all. Leaves nothing changed."""
    was = [(strip, strip.mute) for strip in strips]
    view = scene.view_settings.view_transform
    if names:
        for strip in strips:
            strip.mute = strip.name not in names
    try:
        return pictures.render_range(scene, frames, folder)
    finally:
        scene.view_settings.view_transform = view
        for strip, mute in was:
            strip.mute = mute


def rendered(source) -> list[np.ndarray]:
    return [np.rint(pictures.read(Path(source.folder) / name) * 255).astype(np.uint8) for name in source.files]


def block_out(name: str = "Street") -> bpy.types.Scene:
    """A scene with a cube that a camera passes, rendered by Cycles in a moment."""
    scene = bpy.data.scenes.new(name)
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.frame_start, scene.frame_end = 11, 40
    scene.world = bpy.data.worlds.new("Sky")
    mesh = bpy.data.meshes.new("Cube")
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    mesh.from_pydata(corners, [], [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    scene.collection.objects.link(bpy.data.objects.new("Cube", mesh))
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    for frame, x in ((11, -3.0), (40, 3.0)):
        camera.location = (x, 0, 9)
        camera.keyframe_insert("location", frame=frame)
    scene.collection.objects.link(camera)
    scene.camera = camera
    return scene


def test_what_is_rendered_is_blenders_own_render(scene, addon, strips, rendering, tmp_path):
    compat, media = addon("timeline.compat"), tmp_path / "media"
    below = add_pictures(strips, media, "below", 1, 1, 12)
    turned = add_pictures(strips, media, "turned", 2, 3, 6, (100, 60), 5.0)
    turned.transform.rotation, turned.transform.scale_x = 0.3, 1.2
    tinted = add_pictures(strips, media, "tinted", 3, 1, 6, (120, 70), 9.0)
    tinted.modifiers.new("Curves", "BRIGHT_CONTRAST").bright = 20
    adjust = new_effect(compat, strips, "adjust", "ADJUSTMENT", 4, 1, 13)
    adjust.modifiers.new("Lift", "BRIGHT_CONTRAST").contrast = 30
    left = add_pictures(strips, media, "left", 5, 20, 8, time=3.0)
    right = add_pictures(strips, media, "right", 6, 24, 8, time=13.0)
    new_effect(compat, strips, "cross", "CROSS", 7, 24, 28, left, right)
    fast = add_pictures(strips, media, "fast", 8, 40, 10)
    speed = new_effect(compat, strips, "speed", "SPEED", 9, 40, 50, fast)
    speed.speed_control, speed.speed_factor = "MULTIPLY", 2.0
    strips.new_meta("meta", 10, 60)
    meta = strips["meta"]
    add_pictures(compat.strips(meta), media, "inner", 1, 60, 5)
    compat.set_handles(meta, 60, 65)
    meta.blend_alpha = 0.5
    strips.new_scene("street", block_out(), 11, 70)
    faded = add_pictures(strips, media, "faded", 12, 1, 12, time=4.0)
    faded.blend_type, faded.blend_alpha = "ALPHA_OVER", 0.4
    below.mute = False
    chosen = {
        ("turned",): (3, 9),
        ("tinted",): (2, 5),
        ("adjust",): (2, 6),
        ("cross",): (24, 28),
        ("speed",): (40, 46),
        ("meta",): (60, 65),
        ("street",): (72, 75),
        ("below", "faded"): (4, 6),
        (): (22, 26),
    }
    all_wanted = [rendering.wanted(*names, frames=frames) for names, frames in chosen.items()]
    before = state_of(scene, addon)
    sources = rendering.ask(*all_wanted)
    assert state_of(scene, addon) == before
    assert rendering.told.ready == ["job"]
    shown_with = {"adjust": ("below", "turned", "tinted", "adjust"), "cross": ("cross", "left", "right")}
    for (names, (start, end)), source in zip(chosen.items(), sources, strict=True):
        alone = shown_with.get(names[0], names) if names else ()
        owns = own_render(scene, strips, alone, range(start, end), tmp_path / "own")
        for frame, own, picture in zip(range(start, end), owns, rendered(source), strict=True):
            assert own.std() > 1, (names, frame)
            assert np.array_equal(picture, own), (names, frame, pictures.psnr(picture, own))


def state_of(scene, addon) -> dict:
    """Every setting of the file that can be read, with what is selected and shown."""
    found: dict[str, object] = {"dirty": bpy.data.is_dirty, "path": bpy.data.filepath}
    owners = {f"strip {strip.name}": strip for strip in addon("timeline.compat").all_strips(scene)}
    for each in bpy.data.scenes:
        parts = (each, each.render, each.render.image_settings, each.view_settings, each.cycles, each.display_settings)
        owners |= {f"{each.name} {part.bl_rna.identifier}": part for part in parts}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # reading all there is, also what goes one day
        for name, owner in owners.items():
            for setting in owner.bl_rna.properties:
                if setting.type not in ("POINTER", "COLLECTION"):
                    value = getattr(owner, setting.identifier)
                    is_one = isinstance(value, str) or not hasattr(value, "__len__")
                    found[f"{name}.{setting.identifier}"] = value if is_one else tuple(value)
    for collection in ("scenes", "objects", "materials", "images", "worlds", "actions", "meshes", "cameras"):
        found[collection] = sorted(block.name for block in getattr(bpy.data, collection))
    return found
