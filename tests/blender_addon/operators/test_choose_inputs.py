"""What the operators that choose inputs set in the panel and the scene."""

from __future__ import annotations

import bpy

FINISHED = {"FINISHED"}


def test_new_seed_draws_and_locks(stand_in, settings) -> None:
    seeds = set()
    for _ in range(4):
        bpy.ops.wan_vse.new_seed()
        seeds.add(settings.seed)
    assert len(seeds) > 1 and settings.seed_locked


def test_the_prompt_moves_into_a_text(stand_in, settings) -> None:
    bpy.ops.wan_vse.write_prompt_text()
    assert settings.prompt_source == "TEXT_BLOCK"
    assert settings.prompt_text.as_string().strip() == "fog over pines"
    bpy.ops.wan_vse.write_prompt_text()
    assert len(bpy.data.texts) == 1


def test_the_standard_view(stand_in, scene) -> None:
    scene.view_settings.view_transform = "AgX"
    assert bpy.ops.wan_vse.use_standard_view() == FINISHED
    assert scene.view_settings.view_transform == "Standard"
