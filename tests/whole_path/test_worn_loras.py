"""A LoRA from the panel to the pictures, on what a draft stands on; and back into the panel."""

from __future__ import annotations

import json
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parent.parent.parent
LORAS = ROOT / "wan_backend" / "embedded_model" / "loras"


def test_a_take_is_made_with_the_panels_lora_and_brings_it_back(studio):
    settings = bpy.context.scene.wan_vse
    plain = studio.ask("a red circle, as a blueprint", seed=3, seed_locked=True)
    studio.until(studio.takes)
    bpy.ops.wan_vse.add_loras(directory=f"{LORAS}/", files=[{"name": "style.safetensors"}])
    settings.loras[0].strength = 0.75
    styled = studio.ask("a red circle, as a blueprint", seed=3, seed_locked=True)
    studio.until(lambda: len(studio.takes()) == 2)
    folders = [Path(studio.session.jobs.get(job_id).take.folder) for job_id in (plain, styled)]
    assert (folders[0] / "0005.png").read_bytes() != (folders[1] / "0005.png").read_bytes()
    kept = json.loads((folders[1] / "take.json").read_text("utf-8"))
    assert [(use["path"], use["strength"]) for use in kept["request"]["loras"]] == [
        (str(LORAS / "style.safetensors"), 0.75)
    ]
    used = [(Path(use["path"]).name, use["strength"]) for use in kept["plan"]["loras"]]
    assert used == [("draft.safetensors", 1.0), ("style.safetensors", 0.75)]
    settings.loras.clear()
    (take,) = [strip for strip in studio.takes() if json.loads(strip["wan_vse_request"])["loras"]]
    bpy.context.scene.sequence_editor.active_strip = take
    assert bpy.ops.wan_vse.load_settings() == {"FINISHED"}
    assert [(row.name, row.strength) for row in settings.loras] == [("style", 0.75)]


def test_one_that_does_not_fit_is_refused_in_the_panel_before_anything_is_made(studio, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"<html>Not found</html>")
    settings = bpy.context.scene.wan_vse
    bpy.ops.wan_vse.add_loras(directory=f"{tmp_path}/", files=[{"name": "broken.safetensors"}])
    job_id = studio.ask("fog")
    studio.until(lambda: studio.state(job_id) == "failed" or studio.session.file.problems.get(job_id, ""))
    said = studio.session.file.problems.get(job_id, "") or studio.session.jobs.get(job_id).problem.sentence
    assert said == 'The LoRA "broken.safetensors" is not a safetensors file; download it again.'
    assert bpy.ops.wan_vse.apply_fix(setting="without_lora", value=settings.loras[0].path) == {"FINISHED"}
    assert not settings.loras[0].use
