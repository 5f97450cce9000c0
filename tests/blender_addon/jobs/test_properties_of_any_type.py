"""A .blend whose every property of ours is of every type, one at a time: all is drawn, and honest takes are placed."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import bpy
import pytest

from tests.blender_addon.ui.test_drawing import draw_all

ADDON = Path(__file__).resolve().parents[3] / "blender_addon"
KEYS = sorted(
    {
        key
        for module in sorted(ADDON.rglob("*.py"))
        for key in re.findall(r'^[A-Z_]+ = "(wan_vse_\w+)"', module.read_text(encoding="utf-8"), re.MULTILINE)
    }
)
"""Every property's name that a module has as a constant; panels' names are among them, and do no harm."""
JOB, STRIP = "f" * 32, "d" * 32
HONEST = {
    "job": JOB, "strip": STRIP, "role": "take", "first": 1, "was_start": 1, "was_length": 24, "declined": False,
    "request": json.dumps({"prompt": "fog", "model": "embedded", "width": 256, "height": 144, "length_frames": 24,
                           "frame_rate": {"fps": 24}, "seed": 1, "media_folder": "/film/wan"}),
    "take": json.dumps({"folder": "/film/wan/0001 fog, seed 1", "first_file": "0001.png", "media_format": "png",
                        "frames": 24, "width": 256, "height": 144, "frame_rate": {"fps": 24}}),
}  # fmt: skip
ODD = {
    "a number": 7, "below": -(2**31), "no number": float("nan"), "infinite": float("inf"), "true": True, "empty": "",
    "a word": "master", "deep": "[" * 50_000, "bytes": b"\xff\x00", "numbers": [1, 2], "many": [0.5] * 20_000,
    "a group": {"a": {"b": [1, 2]}}, "groups": [{"a": 1}, {"b": "x"}], "object": "{}", "list": "[]", "null": "null",
    "infinite in text": '{"format": 1, "takes": [1e999]}', "a list of the wrong": '[{"job": 3}, null, [], "x"]',
    "a million": json.dumps([{"job": JOB}] * 3000), "half a character": '{"note": "\\ud800"}', "another's": "e" * 32,
    "a path": "../../../etc/passwd", "an end": "a\0b",
}  # fmt: skip
"""What a property may be of in place of what belongs there; a stranger may write all of it."""


class Complaints(logging.Handler):
    """What was logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@pytest.mark.ci
@pytest.mark.parametrize(
    ("role", "each"),
    [("take", 2), *(pytest.param(role, 1, marks=pytest.mark.long) for role in ("take", "placeholder"))],
)
def test_a_property_may_be_of_any_type(role, each, pumped, scene, addon, tmp_path) -> None:
    """In CI, each property is of every second type and each type that of every second property."""
    assert {f"wan_vse_{name}" for name in HONEST} <= set(KEYS) and len(KEYS) > 15
    compat, session = addon("timeline.compat"), pumped.session
    scene.sequence_editor_create()
    strips = compat.strips(scene.sequence_editor)
    for row, key in enumerate(KEYS):
        for column, value in list(enumerate(ODD.values()))[row % each :: each]:
            strip = compat.new_color(strips, f"{key} {column}", 1 + row, 1 + 30 * column, 24)
            for name, honest in {**HONEST, "role": role}.items():
                strip[f"wan_vse_{name}"] = honest
            strip["wan_vse_job"], strip["wan_vse_strip"] = (f"{100 * row + column:032x}",) * 2
            strip[key] = value
    for number, (key, value) in enumerate((key, value) for key in KEYS for value in ODD.values()):
        bpy.data.scenes.new(f"other {number}")[key] = value
    film = tmp_path / "film" / "stranger.blend"
    film.parent.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(film))
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    try:
        bpy.ops.wm.open_mainfile(filepath=str(film))
        scene = bpy.context.scene
        session.server.start()
        pumped.until(lambda: session.server.listed)
        mine = pumped.ask(scene, "fog", start=5000, frames=4)
        pumped.until(lambda: mine in [s.get("wan_vse_job") for s in compat.all_strips(scene)])
        pumped.until(
            lambda: "take" in [s.get("wan_vse_role") for s in compat.all_strips(scene) if s.get("wan_vse_job") == mine]
        )
        for strip in compat.all_strips(scene):
            scene.sequence_editor.active_strip = strip
            strip.select = True
            draw_all(addon)
            session.tick()
            strip.select = False
        bpy.ops.wm.save_mainfile()
    finally:
        logging.getLogger().removeHandler(complaints)
    assert not complaints.said
    assert {path.name for path in tmp_path.iterdir()} <= {"film"}
