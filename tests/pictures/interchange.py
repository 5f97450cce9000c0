"""A cut with takes, a dissolve, a speed and a meta strip leaves for other programs and comes back. bpy."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import shots
import window

PACKAGE = "bl_ext.user_default.wan_vse"
TAKES = [digit * 32 for digit in "abc"]
Wait = Callable[[], Any]


def story(work: Path, out: Path) -> Iterator[Wait | None]:
    """None waits for a redraw."""
    scene_name = yield from window.open_film(work, "interchange")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    _three_takes(bpy.data.scenes[scene_name], work)
    _cut(bpy.data.scenes[scene_name])
    window.view_all()
    yield None
    window.shoot_area(out / "interchange_before.png", window.timeline())
    places = _places(scene_name)
    with window.in_timeline():
        bpy.ops.wan_vse.export_timeline(filepath=str(work / "film.otioz"), kind=".otioz")
    yield lambda: not session.interchange.busy
    _clear(scene_name)
    with window.in_timeline():
        bpy.ops.wan_vse.import_timeline(filepath=str(work / "film.otioz"))
    yield lambda: not session.interchange.busy
    yield None
    if _places(scene_name) != places:
        raise RuntimeError(f"{_places(scene_name)} came back of {places}: {session.interchange.sentence}")
    window.view_all()
    yield None
    window.shoot_area(out / "interchange_after.png", window.timeline())
    _add_title(bpy.data.scenes[scene_name])  # what has no place in the file did not come back
    yield from _dialog(work, out)


def _three_takes(scene: bpy.types.Scene, work: Path) -> None:
    """A strip in the gap that keeps three takes; each is one color that gets lighter."""
    identity, strip_takes, take_strips, conversion, messages = (
        importlib.import_module(f"{PACKAGE}.{name}")
        for name in (
            "blender_addon.timeline.identity",
            "blender_addon.timeline.strip_takes",
            "blender_addon.timeline.take_strips",
            "wan_backend.protocol.conversion",
            "wan_backend.protocol.messages",
        )
    )
    length = shots.HOLE_END - shots.HOLE_START
    kept, rate = [], messages.FrameRate(24)
    for channel, job in enumerate(TAKES):
        folder = work / "wan" / job
        folder.mkdir(parents=True)
        for index in range(length):
            image = bpy.data.images.new("frame", 64, 36)
            color = [0.1, 0.1, 0.1, 1.0]
            color[channel] = 0.2 + 0.7 * index / length
            image.pixels.foreach_set(color * (64 * 36))
            image.filepath_raw, image.file_format = str(folder / f"{index + 1:04d}.png"), "PNG"
            image.save()
            bpy.data.images.remove(image)
        take = messages.Take(str(folder), "0001.png", messages.MediaFormat.PNG, length, 64, 36, rate)
        asked = messages.TakeRequest("a lake at dawn", "embedded", 64, 36, length, rate, 7, str(folder.parent))
        content = {"job_id": job, "take": conversion.to_json(take), "request": conversion.to_json(asked)}
        (folder / "take.json").write_text(json.dumps(content))
        kept.append(strip_takes.KeptTake(job, str(folder), "0001.png", length, False))
    name = take_strips.put_on_timeline(scene, "Lake", kept[-1].files(), 1, shots.HOLE_START, length).name
    strip = scene.sequence_editor.strips[name]
    identity.mark_take(strip, TAKES[-1], json.dumps(content["request"]), json.dumps(content["take"]))
    strip_takes.set_takes(strip, kept[::-1])


def _cut(scene: bpy.types.Scene) -> None:
    """A dissolve from the takes to what follows, a fast strip, and one in a meta strip."""
    strips = scene.sequence_editor.strips
    ridge = next(strip for strip in strips if strip.name.startswith("Ridge"))
    shown = next(strip for strip in strips if strip.channel == 1 and strip.left_handle == shots.HOLE_START)
    ridge.channel = 2
    ridge.left_handle = shots.HOLE_END - 8
    strips.new_effect("Dissolve", "CROSS", 3, shots.HOLE_END - 8, length=8, input1=shown, input2=ridge)
    fast = strips.new_image("Fast", str(Path(shown.directory, shown.elements[0].filename)), 4, 1)
    for element in list(shown.elements)[1:]:
        fast.elements.append(element.filename)
    fast.right_handle = 13
    speed = strips.new_effect("Speed", "SPEED", 5, 1, length=12, input1=fast)
    speed.speed_control, speed.speed_factor = "MULTIPLY", 2.0
    meta = strips.new_meta("Opening", 4, 100)
    inner = meta.strips.new_image("Inside", str(Path(ridge.directory, ridge.elements[0].filename)), 1, 100)
    inner.right_handle = 130
    meta.right_handle = 130
    scene.timeline_markers.new("Turn", frame=70)
    _add_title(scene)


def _add_title(scene: bpy.types.Scene) -> None:
    words = scene.sequence_editor.strips.new_effect("Title", "TEXT", 6, 20, length=30)
    words.text = "A title"


def _dialog(work: Path, out: Path) -> Iterator[Wait | None]:
    """The export's dialog, which says what is lost; it stays open."""
    bpy.context.preferences.view.filebrowser_display_type = "SCREEN"
    with window.in_timeline():
        bpy.ops.wan_vse.export_timeline("INVOKE_DEFAULT", filepath=str(work / "film.aaf"), kind=".aaf")
    yield lambda: any(area.type == "FILE_BROWSER" for area in window.main_window().screen.areas)
    yield None
    area = next(each for each in window.main_window().screen.areas if each.type == "FILE_BROWSER")
    area.spaces.active.show_region_tool_props = True
    yield None
    window.shoot_area(out / "interchange_export.png", area)


def _places(scene_name: str) -> list[tuple[Any, ...]]:
    strips = bpy.data.scenes[scene_name].sequence_editor.strips
    return sorted(
        (each.type, each.left_handle, each.right_handle, each.channel) for each in strips if each.type != "TEXT"
    )


def _clear(scene_name: str) -> None:
    scene = bpy.data.scenes[scene_name]
    bpy.context.view_layer.update()
    scene.timeline_markers.clear()
    while len(scene.sequence_editor.strips):
        effects = [strip for strip in scene.sequence_editor.strips if strip.type in ("CROSS", "SPEED")]
        scene.sequence_editor.strips.remove((effects or list(scene.sequence_editor.strips))[0])
