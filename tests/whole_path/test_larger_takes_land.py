"""A take that is made larger, from the click to the strip that shows it, by a small upscaling model in a file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import bpy
import pytest

from tests.whole_path.test_sources import pictures

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.long, pytest.mark.own_session]  # in CI, the worker's and the operator's own
SIDE, SCENE = 128, 480
WRITE_MODEL = """
import sys
from pathlib import Path
from tests.wan_backend import upscaling_models
upscaling_models.write(Path(sys.argv[1]) / "upscale_models" / upscaling_models.NAME)
"""


@pytest.fixture
def models(addon, scene, tmp_path: Path) -> Iterator[None]:
    """The preferences name a models folder with an upscaling model before the studio's backend starts."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "OCIO")}
    command = [os.environ["WAN_VSE_BACKEND_PYTHON"], "-c", WRITE_MODEL, str(tmp_path / "models")]
    subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT)}, check=True)
    preferences = addon("preferences").get()
    preferences.models_folder = str(tmp_path / "models")
    yield
    preferences.models_folder = ""


def shown(strip) -> Path:
    return Path(bpy.path.abspath(strip.directory))


def test_a_larger_take_comes_onto_its_strip_four_times_as_large_and_at_the_scenes_size(models, studio, scene, tmp_path):
    scene.render.resolution_x = scene.render.resolution_y = SCENE
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    studio.ask("a red circle", resolution="128p")
    studio.until(studio.takes)
    (strip,) = studio.takes()
    name, place = strip.name, studio.range(strip)
    folders = [shown(strip)]
    takes = studio.addon("timeline.strip_takes")
    base = takes.takes_of(strip)[0].job_id
    for factor, side in (("FOUR", 4 * SIDE), ("SCENE", SCENE)):
        (strip,) = studio.takes()
        assert takes.show(scene, strip, base) == ""
        bpy.context.scene.sequence_editor.active_strip = strip
        assert bpy.ops.wan_vse.finish_take(factor=factor) == {"FINISHED"}
        studio.until(lambda: studio.takes() and shown(studio.takes()[0]) not in folders)
        (strip,) = studio.takes()
        folders.append(shown(strip))
        assert (strip.name, studio.range(strip)) == (name, place)
        assert pictures.read(shown(strip) / strip.elements[0].filename).shape == (side, side, 3)
        assert len(strip.elements) == place[1] - place[0]
    assert all(folder.is_dir() for folder in folders)
