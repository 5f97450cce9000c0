"""The shipped model through our own pipelines: what its takes show is what was asked for, as the judge sees it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from tools.embedded_model import evaluate, judge, measures, prompts, scenes, world
from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import task_conditions
from wan_backend.pipelines.conditions import Canvas
from wan_backend.pipelines.decode import decode
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.protocol.messages import FrameRate, Plan, TakeRequest

WIDTH, HEIGHT, FRAMES = 256, 144, 17
RATE = FrameRate(16)
BASE = replace(scenes.sample_scene(random.Random(4)), camera="static", look="flat", shape="circle")


@pytest.fixture(scope="module")
def paint():
    """Paints as the worker does: (prompt, seed, canvas, task) to a take CTHW in 0..1."""
    placement = PlacedModel(
        WanModel(evaluate.WEIGHTS, torch.device("cpu")),
        MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0),
    )

    def paint(prompt, seed=1, canvas=None, task="text_to_video", steps=8, frames=FRAMES):
        request = TakeRequest(prompt, "embedded", WIDTH, HEIGHT, frames, RATE, seed, "", task=task, strength=0.0)
        plan = Plan("embedded", WIDTH, HEIGHT, frames, RATE, frames, steps, 3.0, 3.0, "unipc")
        conditions = task_conditions.prepare(Preparation(placement, request, plan, canvas or Canvas()))
        scheduler = make_scheduler(placement.model.config("scheduler"), "unipc", 3.0)
        latents = denoise(placement.model.transformer, scheduler, conditions, steps=steps, guidance_scale=3.0)
        pictures = np.concatenate(list(decode(placement.model.vae, latents)))
        return torch.from_numpy(pictures).permute(3, 0, 1, 2).float() / 255

    return paint


@pytest.fixture(scope="module")
def eye():
    return judge.load()


def _pictures(frames):
    """CTHW in 0..1 as THWC bytes."""
    return (frames.permute(1, 2, 3, 0) * 255).round().byte().numpy()


@pytest.mark.parametrize(
    ("colour", "background"), [("red", "grass"), pytest.param("blue", "sand", marks=pytest.mark.long)]
)
def test_the_prompt_says_the_colour_and_the_place(paint, eye, colour, background):
    take = paint(prompts.plain(replace(BASE, colour=colour, background=background, motion="right")))
    seen = eye.answers(take)
    assert (seen["colour"], seen["background"]) == (colour, background)


@pytest.mark.long
def test_a_seed_repeats_and_another_does_not(paint):
    first, again, other = (paint("a red ring at night", seed, steps=2, frames=5) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.01


@pytest.mark.long
def test_the_first_frame_is_the_still(paint):
    scene = replace(BASE, colour="yellow", background="sky", motion="right")
    still = world.draw([scene], frames=FRAMES).frames[0, :, 0]
    take = paint(prompts.plain(scene), canvas=Canvas(kept={0: _pictures(still.unsqueeze(1))[0]}), task="image_to_video")
    assert measures.psnr(take[:, 0], still) >= 28


@pytest.mark.long
def test_the_shape_goes_where_the_depth_goes(paint, eye):
    scene = replace(BASE, colour="purple", background="grass", motion="left")
    drawn = world.draw([scene], frames=FRAMES)
    guide = _pictures(world.depth_frames(drawn.depth)[0])
    take = paint(prompts.plain(scene), canvas=Canvas(guide=guide), task="previs")
    seen = measures.sight(eye.masks(take), HEIGHT, WIDTH)
    truth = measures.sight(drawn.mask[0, 0], HEIGHT, WIDTH)
    away = torch.stack([seen.x - truth.x, seen.y - truth.y]).abs().amax(0)  # its size is not yet what it should be
    assert away.median() <= 0.06 * WIDTH
    assert measures.motion_of(seen) == "left"
