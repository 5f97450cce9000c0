"""Takes with handles by the real model: what lies under the trims, what is shown, and how the ends join."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "blender_addon"))

import pictures  # noqa: E402  (of the add-on's tests)

SIZE = (160, 96)
SHOT = 30


def shot(studio, folder: Path, name: str, start: int, shade: int) -> object:
    """A strip of numbered pictures on channel 1 in which a square moves across a ground of its own shade."""
    folder = folder / name
    folder.mkdir()
    for number in range(SHOT):
        picture = np.full((SIZE[1], SIZE[0], 3), shade, np.uint8)
        picture[30:60, 10 + 3 * number : 40 + 3 * number] = 220
        pictures.write_png(folder / f"{number + 1:04d}.png", picture)
    strips = studio.compat.strips(bpy.context.scene.sequence_editor)
    strip = strips.new_image(name, str(folder / "0001.png"), 1, start, fit_method="FIT")
    for number in range(1, SHOT):
        strip.elements.append(f"{number + 1:04d}.png")
    return strip


def made(studio, operator, **settings) -> object:
    """The take that the operator asks for, once it has landed."""
    scene = bpy.context.scene
    scene.sequence_editor_create()
    values = {"model": "embedded", "quality": "DRAFT", "resolution": "exact", "handles": True, **settings}
    for name, value in values.items():
        setattr(scene.wan_vse, name, value)
    assert operator() == {"FINISHED"}
    studio.until(studio.takes)
    (take,) = studio.takes()
    return take


def read(path: Path) -> np.ndarray:
    return np.rint(pictures.read(path) * 255).astype(int)


@pytest.mark.long  # in CI, a gap, which has both sides
def test_an_extension_has_its_source_before_it_and_more_frames_behind(studio, tmp_path):
    source = shot(studio, tmp_path, "Shot", 1, 60)
    source.select = True
    take = made(studio, bpy.ops.wan_vse.extend, extend_frames=10, extend_prompt="a square moves")
    assert studio.range(take) == (31, 41) and studio.compat.content_start(take) == 31 - 12
    assert len(take.elements) == 12 + 10 + 12
    folder = Path(bpy.path.abspath(take.directory))
    assert all((folder / element.filename).is_file() for element in take.elements)
    for number in range(12):
        own, given = read(folder / f"{number + 1:04d}.png"), read(tmp_path / "Shot" / f"{number + 1 + 18:04d}.png")
        assert np.abs(own - given).mean() < 0.5, number
    told = json.loads((folder / "take.json").read_text())
    assert (told["take"]["handle_before"], told["take"]["handle_after"]) == (12, 12)
    assert told["take"]["end_jump"] is None and told["take"]["start_jump"]["motion"] < 99
    assert take["wan_vse_take"] == json.dumps(told["take"])
    kept = studio.addon("timeline.strip_takes").takes_of(take)
    assert [(each.handle_before, each.handle_after) for each in kept] == [(12, 12)]
    assert "Handles: 12 frames at each end." in told["plan"]["notes"]


@pytest.mark.parametrize("rate", [24, pytest.param(60, marks=pytest.mark.long)])
def test_a_gap_is_filled_exactly_and_overlaps_both_neighbors(studio, tmp_path, rate):
    scene = bpy.context.scene
    scene.render.fps = rate
    shot(studio, tmp_path, "Left", 1, 60)
    shot(studio, tmp_path, "Right", 43, 90)
    scene.frame_set(35)
    for strip in studio.strips():
        strip.select = False
    take = made(studio, bpy.ops.wan_vse.fill_gap, media_format="FFV1")
    assert studio.range(take) == (31, 43) and studio.compat.content_start(take) == 19
    assert studio.compat.content_frames(take) == 36
    told = json.loads(take["wan_vse_take"])
    assert told["frames"] == 36 and told["start_jump"] and told["end_jump"]


@pytest.mark.long
def test_a_take_of_words_alone_has_made_handles(studio):
    scene = bpy.context.scene
    scene.frame_set(20)
    take = made(studio, bpy.ops.wan_vse.generate, prompt="fog", length_mode="FRAMES", length_frames=9)
    assert studio.range(take) == (20, 29) and studio.compat.content_start(take) == 8
    assert len(take.elements) == 33
    assert json.loads(take["wan_vse_take"])["start_jump"] is None
    studio.compat.set_handles(take, 8, 41)  # an editor pulls both ends out
    assert studio.range(take) == (8, 41) and studio.compat.held_frames(take) == (0, 0)


@pytest.mark.long
def test_the_worst_seam_is_retried_until_it_is_better_or_the_takes_are_made(studio, tmp_path):
    retry, state = studio.addon("operators.retry_seams"), studio.addon("timeline.seam_retry")
    seams, takes = studio.addon("timeline.seams"), studio.addon("timeline.strip_takes")
    shot(studio, tmp_path, "Shot", 1, 60).select = True
    take = made(studio, bpy.ops.wan_vse.extend, extend_frames=6, extend_prompt="a square moves", handles=False)
    for strip in studio.strips():
        strip.select = False
    if retry.follow not in studio.session.on_change:  # the session is a new one
        studio.session.on_change.append(retry.follow)
    before = seams.of(bpy.context.scene, take).worst
    assert bpy.ops.wan_vse.retry_worst_seam(count=2) == {"FINISHED"}
    studio.until(lambda: state.of(studio.takes()[0]).end)
    (strip,) = studio.takes()
    ended = state.of(strip)
    figures = {each.job_id: ended.figure(strip, each.job_id) for each in takes.takes_of(strip)}
    assert 2 <= len(figures) <= 3 and figures[strip["wan_vse_job"]] == min(figures.values())
    assert ended.before == before and ended.after == min(figures.values())
    assert ended.end == ("better" if ended.after < before else "not_better")
    (said,) = retry.pop_ended()
    assert f"takes made: {len(figures) - 1}" in said
