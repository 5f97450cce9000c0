"""An edit from the click to its place above the footage, by a small checkpoint in a folder as its makers have it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bpy
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "blender_addon"))

import pictures  # noqa: E402  (of the add-on's tests)

pytestmark = [pytest.mark.long, pytest.mark.own_session]
FRAMES = 9
WRITE_CHECKPOINT = """
import sys
from pathlib import Path
from tests.wan_backend.loading import small_checkpoints
small_checkpoints.write_renderer(Path(sys.argv[1]), num_layers=30, num_attention_heads=12, attention_head_dim=6)
"""


@pytest.fixture
def models(addon, scene, tmp_path: Path) -> Iterator[Path]:
    """A models folder with the checkpoint, which the preferences name from before the studio's backend starts."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "OCIO")}
    place = tmp_path / "models" / "Bernini-R-1.3B-Diffusers"
    command = [os.environ["WAN_VSE_BACKEND_PYTHON"], "-c", WRITE_CHECKPOINT, str(place)]
    subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT)}, check=True)
    preferences = addon("preferences").get()
    preferences.models_folder = str(place.parent)
    yield place.parent
    preferences.models_folder = ""


@pytest.fixture
def cut(models, studio, scene, tmp_path):
    """A shot on channel 2, and a reference picture in another shape that the film doesn't show."""
    scene.render.resolution_x, scene.render.resolution_y = 256, 256
    folder = tmp_path / "shot"
    folder.mkdir()
    files = [pictures.write_png(folder / f"{i:04d}.png", pictures.drawn(256, 256, i * 0.5)) for i in range(FRAMES)]
    strips = studio.compat.strips(scene.sequence_editor_create())
    shot = strips.new_image("Shot", str(files[0]), 2, 20, fit_method="FIT")
    for file in files[1:]:
        shot.elements.append(file.name)
    hat = pictures.write_png(tmp_path / "hat.png", pictures.drawn(300, 120))
    still = strips.new_image("Hat", str(hat), 1, 100, fit_method="FIT")
    still.mute = True
    for strip in strips:
        strip.select = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.ed.undo_push(message="A cut")
    settings = scene.wan_vse
    settings.model_id, settings.quality, settings.resolution_name = "bernini-r-1.3b", "DRAFT", "exact"
    settings.seed, settings.seed_locked, settings.edit_prompt = 5, True, "replace the hat"
    return scene


def test_an_edit_lands_above_its_footage_and_its_settings_come_back(cut, studio):
    assert bpy.ops.wan_vse.edit_footage() == {"FINISHED"}
    studio.until(studio.takes)
    (take,) = studio.takes()
    assert (*studio.range(take), take.channel) == (20, 20 + FRAMES, 3)
    folder = Path(bpy.path.abspath(take.directory))
    made = json.loads((folder / "take.json").read_text("utf-8"))
    assert made["request"]["task"] == "edit" and made["plan"]["seen_sources"] == 2
    footage, reference = made["request"]["sources"]
    assert (footage["role"], reference["role"], reference["files"]) == ("footage", "reference", ["hat.png"])
    assert b"compositeWithTrainedAlgorithmicMedia" in (folder / "0001.png").read_bytes()

    settings = bpy.context.scene.wan_vse
    settings.edit_prompt = settings.model_id = ""
    bpy.context.scene.sequence_editor.active_strip = take
    assert bpy.ops.wan_vse.load_settings() == {"FINISHED"}
    assert (settings.task, settings.edit_prompt, settings.model_id, settings.seed) == (
        *("EDIT", "replace the hat", "bernini-r-1.3b"),
        5,
    )
    assert bpy.ops.wan_vse.regenerate(seed="SAME") == {"FINISHED"}
    studio.until(lambda: len(studio.takes()) == 2)
    again = next(each for each in studio.takes() if each.channel == 4)
    place = Path(bpy.path.abspath(again.directory))
    assert place != folder
    for number in range(FRAMES):
        name = f"{number + 1:04d}.png"
        assert (place / name).read_bytes() == (folder / name).read_bytes()
