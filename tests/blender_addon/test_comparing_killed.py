"""A Blender that is killed while it compares, after it has undone and saved, leaves a film as if it hadn't compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import bpy
import pytest

pytestmark = pytest.mark.compat
SCRIPT = Path(__file__).with_name("comparing_process.py")
PATIENCE_SECONDS = 120.0


def content(addon: Any) -> dict[str, Any]:
    """All that the open film has."""
    compat = addon("timeline.compat")
    blocks = {
        prop.identifier: sorted(block.name for block in getattr(bpy.data, prop.identifier))
        for prop in bpy.data.bl_rna.properties
        if prop.type == "COLLECTION" and prop.identifier not in ("window_managers", "libraries")
    }
    strips = [
        (strip.name, strip.channel, compat.start(strip), compat.end_exclusive(strip), strip.mute, dict(strip.items()))
        for scene in bpy.data.scenes
        for strip in compat.all_strips(scene)
    ]
    properties = [dict(scene.items()) for scene in bpy.data.scenes]
    plain = json.dumps(properties, default=lambda group: group.to_dict() if hasattr(group, "to_dict") else list(group))
    return {"blocks": blocks, "strips": strips, "scenes": plain}


def test_nothing_is_left_of_a_comparison_that_was_killed(addon, extension, scene, put_take, tmp_path) -> None:
    film_takes, takes = addon("jobs.film_takes"), addon("timeline.strip_takes")
    first, second = put_take(1, prompt="fog"), put_take(2, prompt="rain")
    strip = film_takes.lay(first, scene, channel=2, start=10)
    takes.remember(strip, takes.KeptTake(second.job_id, second.folder, "0001.png", 4, False))
    scene.sequence_editor.active_strip, strip.select = strip, True
    scene.frame_set(11)
    blend = tmp_path / "film.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    before, files = content(addon), {str(path) for path in tmp_path.rglob("*")}

    command = [sys.executable, str(SCRIPT), extension, str(blend)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        said = next((line for line in child.stderr if line.startswith("{")), "")
        assert said and json.loads(said)["second"] == second.job_id
    finally:
        child.kill()
        child.wait(PATIENCE_SECONDS)
        child.stderr.close()
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    assert content(addon) == before
    assert addon("operators.compare_takes").shown is None
    assert {str(path) for path in tmp_path.rglob("*")} - files <= {f"{blend}1"}, "Blender's own copy of the film"
