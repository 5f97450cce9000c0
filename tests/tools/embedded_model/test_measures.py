"""The measures read drawn clips right: motion, camera, places; and a flat error gives its PSNR."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from tools.embedded_model import measures, scenes, world

BASE = scenes.sample_scene(random.Random(4))


def _clip(**words):
    scene = replace(BASE, **({"camera": "static", "motion": "still", "shape": "square", "background": "sand"} | words))
    drawn = world.draw([scene], frames=17)
    take = drawn.frames[0] + 0.02 * torch.randn(drawn.frames.shape[1:], generator=torch.Generator().manual_seed(0))
    return scene, take, drawn.mask[0, 0]


@pytest.mark.parametrize("motion", ["still", "left", "right", "up", "down", "grow", "shrink"])
def test_motion_is_read(motion):
    _, _, masks = _clip(motion=motion)
    assert measures.motion_of(measures.sight(masks, 144, 256)) == motion


@pytest.mark.parametrize("camera", scenes.CAMERAS)
@pytest.mark.parametrize(("background", "look"), [
    ("grass", "neon"),
    pytest.param("sky", "watercolour", marks=pytest.mark.long), pytest.param("night", "sketch", marks=pytest.mark.long),
])  # fmt: skip
def test_camera_is_read(camera, background, look):
    _, take, masks = _clip(camera=camera, background=background, look=look, motion="spin")
    assert measures.camera_of(take, masks) == camera


@pytest.mark.parametrize("camera", ["pan left", "tilt up", "zoom in", "zoom out"])
def test_in_a_short_clip_less_way_is_asked_for(camera):
    assert (scenes.reach_of(9), scenes.reach_of(33), scenes.reach_of(65)) == (0.5, 1.0, 1.1)
    short = {"camera_travel": 0.26 * 0.5, "zoom": 1 + 0.5 * 0.5, "travel": 0.36 * 0.5, "motion": "up"}
    scene = replace(BASE, camera=camera, shape="square", background="grass", look="neon", **short)
    drawn = world.draw([scene], frames=9)
    assert measures.camera_of(drawn.frames[0], drawn.mask[0, 0], scenes.reach_of(9)) == camera
    latter_half = measures.sight(drawn.mask[0, 0, 4:], 144, 256)
    assert measures.motion_of(latter_half, 256, scenes.reach_of(9)) == "up"
    assert measures.motion_of(latter_half, 256) == "still"


def test_places_are_those_of_the_scene():
    scene, _, masks = _clip(motion="right")
    seen = measures.sight(masks, 144, 256)
    truth = world.track(scene, frames=17)
    assert (seen.x - truth[:, 0]).abs().max() < 1
    assert (seen.y - truth[:, 1]).abs().max() < 1
    assert measures.is_monotone(seen.x)
    assert not measures.is_monotone(torch.cat([seen.x, seen.x.flip(0)[:10]]))


def test_a_motion_that_its_numbers_dont_show_is_not_read():
    scene = replace(scenes.sample_scene(random.Random(1)), motion="left", camera="static")
    assert measures.reads_motion(scene)
    for motion, camera in (("spin", "static"), ("still", "static"), ("left", "zoom in")):
        assert not measures.reads_motion(replace(scene, motion=motion, camera=camera))


def test_psnr_of_a_flat_error():
    picture = torch.rand(3, 8, 8)
    assert measures.psnr(picture, picture + 0.1) == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize(("motion", "camera"), [("grow", "pan left"), ("shrink", "tilt down"), ("grow", "tilt up")])
def test_what_grows_while_the_camera_moves_is_said_to_grow(motion, camera):
    _, _, masks = _clip(motion=motion, camera=camera)
    assert measures.motion_of(measures.sight(masks, 144, 256)) == motion
