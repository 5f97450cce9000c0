"""An edit from the click to its place above the footage, by a small checkpoint in a folder as its makers have it.

Each of its steps is two or four passes through thirty layers, over the footage's tokens too: two steps, of few frames
in the least size that the model makes, take seconds, and a draft's twenty minutes.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import bpy
import pytest

from tests.whole_path.test_sources import film, pictures

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.own_session
SIDE = 256
"""The least that the model makes."""
START, FRAMES, TRIM = 20, 7, 3
"""At 24 frames a second; five of the model's own, at 16."""
STEPS = 2
WRITE_CHECKPOINT = """
import sys
from pathlib import Path
from tests.wan_backend.loading import small_checkpoints
small_checkpoints.write_renderer(Path(sys.argv[1]), num_layers=30, num_attention_heads=12, attention_head_dim=6)
"""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder that has a small edit model alone."""
    folder = tmp_path_factory.mktemp("models")
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "OCIO")}
    command = [os.environ["WAN_VSE_BACKEND_PYTHON"], "-c", WRITE_CHECKPOINT, folder / "Bernini-R-1.3B-Diffusers"]
    subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT)}, check=True)
    return folder


@pytest.fixture
def models(addon, scene, checkpoints, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The preferences name the models folder before the studio's backend starts; the panel asks for two steps."""
    preferences = addon("preferences").get()
    preferences.models_folder = str(checkpoints)
    requests = addon("jobs.request")
    monkeypatch.setattr(requests, "TakeRequest", functools.partial(requests.TakeRequest, steps=STEPS))
    yield
    preferences.models_folder = ""


@pytest.fixture
def cut(models, studio, scene, tmp_path):
    """A movie on channel 2 that is trimmed at both ends, and a still in another shape that the film doesn't show."""
    movie = film(tmp_path, "MKV", "FFV1", "mkv", frames=FRAMES + 2 * TRIM, size=(SIDE, SIDE))
    scene.render.resolution_x, scene.render.resolution_y = SIDE, SIDE
    strips = studio.compat.strips(scene.sequence_editor_create())
    shot = strips.new_movie("Shot", str(movie), 2, START - TRIM, fit_method="FIT")
    studio.compat.set_handles(shot, START, START + FRAMES)
    hat = pictures.write_png(tmp_path / "hat.png", pictures.drawn(300, 120))
    still = strips.new_image("Hat", str(hat), 1, 100, fit_method="FIT")
    still.mute = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    settings = scene.wan_vse
    settings.model_id, settings.quality, settings.resolution_name = "bernini-r-1.3b", "DRAFT", "exact"
    settings.seed, settings.seed_locked, settings.edit_prompt = 5, True, "replace the hat"
    settings.task = "EDIT"
    return scene


def select(cut, *names: str) -> None:
    strips = cut.sequence_editor.strips if hasattr(cut.sequence_editor, "strips") else cut.sequence_editor.sequences
    for strip in strips:
        strip.select = strip.name in names
    cut.sequence_editor.active_strip = strips[names[0]]


def made(take) -> dict:
    """What the take's folder says of it."""
    return json.loads((Path(bpy.path.abspath(take.directory)) / "take.json").read_text("utf-8"))


def sources_of(asked: dict) -> list[tuple[str, list[str]]]:
    return [(each["role"], each["files"]) for each in asked["sources"]]


def test_an_edit_with_a_reference_picture_lands_above_its_footage(cut, studio):
    select(cut, "Shot", "Hat")
    bpy.ops.ed.undo_push(message="A cut")
    assert bpy.ops.wan_vse.edit_footage() == {"FINISHED"}
    (placeholder,) = studio.placeholders()
    assert (*studio.range(placeholder), placeholder.channel) == (START, START + FRAMES, 3)
    bpy.ops.ed.undo_push(message="Edit Footage")
    studio.until(studio.takes)

    (take,) = studio.takes()
    assert studio.placeholders() == []
    assert (*studio.range(take), take.channel) == (START, START + FRAMES, 3)
    names = [each.filename for each in take.elements]
    assert names == [f"{number:04d}.png" for number in range(1, FRAMES + 1)]
    shown = pictures.read(Path(bpy.path.abspath(take.directory)) / names[0])
    assert shown.shape == (SIDE, SIDE, 3) and shown.std() > 0.01
    take_record = made(take)
    asked, plan = take_record["request"], take_record["plan"]
    assert (asked["task"], plan["seen_sources"], plan["steps"], plan["forwards"]) == ("edit", 2, STEPS, 4 * STEPS)
    assert sources_of(asked) == [("footage", ["written.mkv"]), ("reference", ["hat.png"])]
    assert (asked["sources"][0]["first_frame"], asked["sources"][0]["frames"]) == (TRIM, FRAMES)
    assert asked["frame_rate"] == {"fps": 24, "fps_base": 1.0}
    assert plan["model_frame_rate"]["fps"] == 16 and (plan["model_frames"], plan["take_frames"]) == (5, FRAMES)
    first = Path(bpy.path.abspath(take.directory)) / names[0]
    assert b"compositeWithTrainedAlgorithmicMedia" in first.read_bytes()
    provenance = studio.addon("timeline.provenance").of(take)
    assert [source.name for source in provenance.sources] == ["Shot", "Hat"] and provenance.task == "edit"
    assert {each.name for each in provenance.seen} == {"Shot", "Hat"}

    bpy.ops.ed.undo()
    assert [strip.name for strip in studio.strips() if strip.channel == 3] == [], "the click is undone"
    bpy.ops.ed.redo()
    studio.until(studio.takes)
    assert [(*studio.range(each), each.channel) for each in studio.takes()] == [(START, START + FRAMES, 3)]


@pytest.mark.long  # in CI, with a reference picture
def test_an_edit_of_words_alone_lands_and_its_settings_make_it_again(cut, studio):
    select(cut, "Shot")
    assert bpy.ops.wan_vse.edit_footage() == {"FINISHED"}
    studio.until(studio.takes)
    (take,) = studio.takes()
    assert (*studio.range(take), take.channel) == (START, START + FRAMES, 3)
    take_record, folder = made(take), Path(bpy.path.abspath(take.directory))
    assert sources_of(take_record["request"]) == [("footage", ["written.mkv"])]
    assert (take_record["plan"]["seen_sources"], take_record["plan"]["forwards"]) == (1, 2 * STEPS)

    settings = bpy.context.scene.wan_vse
    settings.edit_prompt = settings.model_id = ""
    bpy.context.scene.sequence_editor.active_strip = take
    assert bpy.ops.wan_vse.load_settings() == {"FINISHED"}
    kept = (settings.task, settings.edit_prompt, settings.model_id, settings.seed)
    assert kept == ("EDIT", "replace the hat", "bernini-r-1.3b", 5)
    assert bpy.ops.wan_vse.regenerate(seed="SAME") == {"FINISHED"}
    studio.until(lambda: len(studio.takes()) == 2)
    (again,) = (each for each in studio.takes() if each.channel == 4)
    place = Path(bpy.path.abspath(again.directory))
    assert place != folder
    for number in range(1, FRAMES + 1):
        assert (place / f"{number:04d}.png").read_bytes() == (folder / f"{number:04d}.png").read_bytes()
