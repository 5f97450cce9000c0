"""The drawn world: repeatable, true to its words, and the same scene in every look."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from tools.embedded_model import scenes, world


def _scene(**words):
    fixed = {"camera": "static", "motion": "still", "shape": "circle"} | words
    return replace(scenes.sample_scene(random.Random(4), frames=9), **fixed)


def _centroid(mask: torch.Tensor) -> torch.Tensor:
    """T rows of x, y in pixels, of a mask 1THW."""
    weight = mask[0] / mask[0].sum((1, 2), keepdim=True)
    xs = (torch.arange(mask.shape[-1]) + 0.5) * weight
    ys = (torch.arange(mask.shape[-2]) + 0.5)[:, None] * weight
    return torch.stack([xs.sum((1, 2)), ys.sum((1, 2))], dim=-1)


def test_one_seed_gives_the_same_clips_and_another_others():
    first, again, other = (
        world.draw(scenes.sample_scenes(seed, 2, frames=5), frames=5, height=48, width=64) for seed in (1, 1, 2)
    )
    assert torch.equal(first.frames, again.frames)
    assert not torch.equal(first.frames, other.frames)
    assert first.frames.min() >= 0 and first.frames.max() <= 1


def test_held_out_words_are_never_drawn_for_training():
    trained = {scene.words for scene in scenes.sample_scenes(0, 5000)}
    held_out = {scene.words for scene in scenes.sample_scenes(10**6, 300, held_out=True)}
    assert not trained & held_out
    assert len(held_out) > 20


@pytest.mark.parametrize(("motion", "axis", "sign"), [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)])
@pytest.mark.parametrize("camera", ["static", "pan right", "tilt up"])
def test_a_shape_goes_where_its_word_says_on_the_screen(motion, axis, sign, camera):
    scene = _scene(motion=motion, camera=camera)
    drawn = world.draw([scene], frames=9, height=144, width=256)
    way = _centroid(drawn.mask[0])[[0, -1]].diff(dim=0)[0]
    assert sign * way[axis] > 20
    assert abs(way[1 - axis]) < 2


def test_growing_and_shrinking_change_the_area():
    for motion, grows in (("grow", True), ("shrink", False)):
        area = world.draw([_scene(motion=motion)], frames=9).mask.sum((0, 1, 3, 4))
        assert (area[-1] > 1.5 * area[0]) == grows


def test_the_camera_moves_the_ground_and_a_resting_shape_with_it():
    scene = _scene(camera="pan right", background="sand")
    drawn = world.draw([scene], frames=9)
    x = _centroid(drawn.mask[0])[:, 0]
    shift = round((x[0] - x[1]).item())
    assert shift > 3
    first, second = drawn.frames[0, :, 0], drawn.frames[0, :, 1]
    moved = (first[:, 100:140, 40:] - second[:, 100:140, 40 - shift : -shift]).abs().mean()
    stayed = (first[:, 100:140] - second[:, 100:140]).abs().mean()
    assert moved < 0.5 * stayed


def test_track_is_the_masks_centroid():
    scene = _scene(motion="left", shape="square")
    drawn = world.draw([scene], frames=9)
    assert torch.allclose(_centroid(drawn.mask[0]), world.track(scene, frames=9)[:, :2], atol=1.0)


def test_every_look_paints_the_same_scene_differently():
    scene = _scene(background="grass")
    drawn = {look: world.draw([scene], frames=1, look=look) for look in (*scenes.LOOKS, scenes.LORA_LOOK)}
    for look, one in drawn.items():
        assert torch.equal(one.mask, drawn["flat"].mask)
        for other, two in drawn.items():
            assert look == other or (one.frames - two.frames).abs().mean() > 0.04


def test_near_is_bright_and_the_shape_is_in_front():
    drawn = world.draw([_scene(background="sand")], frames=1)
    inside, outside = drawn.mask[0, 0, 0] > 0.99, drawn.mask[0, 0, 0] < 0.01
    depth = drawn.depth[0, 0, 0]
    assert depth[inside].min() > depth[outside].max()
    assert depth[-1].mean() > depth[0].mean()


def test_edges_are_where_the_shape_ends():
    drawn = world.draw([_scene(background="night", colour="white", look="flat")], frames=1)
    edges = world.edges(drawn.frames)[0, 0, 0]
    rim = (drawn.mask[0, 0, 0] - 0.5).abs() < 0.4
    assert edges[rim].mean() > 0.4
    assert edges.mean() < 0.1
