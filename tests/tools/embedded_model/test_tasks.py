"""Training conditions equal what WanVACEPipeline itself prepares from the same frames and masks."""

from __future__ import annotations

import random

import pytest
import torch

from tools.embedded_model import scenes, tasks, world
from wan_backend.bench import tiny_checkpoint


@pytest.fixture(scope="module")
def pipeline():
    return tiny_checkpoint.make_pipeline()


@pytest.mark.parametrize("task", tasks.WEIGHTS)
def test_control_equals_the_pipelines(task, pipeline):
    chosen = scenes.sample_scenes(2, 1, frames=9)
    drawn = world.draw(chosen, frames=9, height=32, width=48)
    condition = tasks.prepare([task], chosen, drawn, random.Random(5))
    video = condition.inactive + condition.reactive
    mask = condition.mask.view(1, 1, 9, 1, 1).expand_as(video)
    config = pipeline.vae.config
    mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(config.latents_std).view(1, -1, 1, 1, 1)

    def latents(clip):
        return (pipeline.vae.encode(clip).latent_dist.mode() - mean) / std

    with torch.no_grad():
        theirs = torch.cat(
            [
                pipeline.prepare_video_latents(video, mask, [[]], device=torch.device("cpu")),
                pipeline.prepare_masks(mask, [[]]),
            ],
            dim=1,
        )
        ours = tasks.control(
            latents(condition.inactive), latents(condition.reactive), tasks.latent_mask(condition.mask, 3)
        )
    assert ours.shape == theirs.shape == (1, 96, 3, 4, 6)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_a_control_guides_and_a_still_is_kept():
    chosen = scenes.sample_scenes(2, 3, frames=9)
    drawn = world.draw(chosen, frames=9, height=32, width=48)
    condition = tasks.prepare(["depth", "image", "text"], chosen, drawn, random.Random(5))
    assert condition.reactive[0].std() > 0.05 and condition.inactive[0].abs().max() == 0
    assert torch.equal(condition.inactive[1, :, 0], drawn.frames[1, :, 0] * 2 - 1)
    assert condition.inactive[1, :, 1:].abs().max() == 0
    assert condition.mask[1].tolist() == [0] + [1] * 8
    assert condition.mask[2].min() == 1
