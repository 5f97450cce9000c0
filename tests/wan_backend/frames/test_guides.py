"""The guides that footage gives are those that the models were trained on."""

from __future__ import annotations

import numpy as np

from wan_backend.frames import guides


def test_edges_are_the_embedded_models_own():
    import torch

    from tools.embedded_model import world

    clip = np.random.default_rng(0).integers(0, 256, (3, 40, 64, 3), dtype=np.uint8)
    frames = torch.from_numpy(clip).float().permute(3, 0, 1, 2)[None] / 255
    theirs = world.edges(frames)[0].permute(1, 2, 3, 0).mul(255).round().byte().numpy()
    ours = np.stack([guides.edges(picture) for picture in clip])
    assert ours.dtype == np.uint8 and np.abs(ours.astype(int) - theirs).max() <= 1


def test_edges_of_nothing_are_black_and_of_a_step_a_line():
    assert (guides.edges(np.full((9, 9, 3), 77, np.uint8)) == 0).all()
    step = np.zeros((9, 9, 3), np.uint8)
    step[:, 5:] = 255
    lines = guides.edges(step)
    assert (lines[:, 4:6] == 255).all() and (lines[:, :4] == 0).all() and (lines[:, 6:] == 0).all()
