"""UniPC with its numbers on the CPU is diffusers' own, to the bit there, and sends nothing back and forth."""

from __future__ import annotations

import pytest
import torch
from diffusers import UniPCMultistepScheduler

from wan_backend.pipelines.host_unipc import HostUniPC

SETTINGS = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "num_train_timesteps": 1000}


def walked(kind, steps: int, first: int = 0, **settings) -> list[torch.Tensor]:
    scheduler = kind(**SETTINGS, **settings)
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(first)
    generator = torch.Generator().manual_seed(0)
    latents, seen = torch.randn(1, 4, 3, 6, 6, generator=generator), []
    for timestep in scheduler.timesteps[first:]:
        velocity = torch.tanh(latents * 0.7 + 0.1 * torch.randn(latents.shape, generator=generator))
        latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        seen.append(latents)
    return seen


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 20, 50])
@pytest.mark.parametrize("shift", [3.0, 8.0])
def test_it_walks_as_diffusers_does(steps, shift):
    ours, theirs = (walked(kind, steps, flow_shift=shift) for kind in (HostUniPC, UniPCMultistepScheduler))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.isfinite().all() and torch.equal(mine, other)


def test_it_walks_so_from_footage_too():
    assert torch.equal(walked(HostUniPC, 10, 4)[-1], walked(UniPCMultistepScheduler, 10, 4)[-1])


def test_what_it_does_not_know_is_diffusers_own():
    ours, theirs = (walked(kind, 6, solver_order=3) for kind in (HostUniPC, UniPCMultistepScheduler))
    assert torch.equal(ours[-1], theirs[-1])


def test_no_number_leaves_the_cpu(monkeypatch):
    moved = []
    to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *args, **kw: moved.append(self.ndim) or to(self, *args, **kw))
    scheduler = HostUniPC(**SETTINGS)
    scheduler.set_timesteps(4)
    scheduler.set_begin_index(0)
    latents = torch.randn(1, 4, 3, 6, 6)
    moved.clear()
    for timestep in scheduler.timesteps:
        latents = scheduler.step(latents, timestep, latents, return_dict=False)[0]
    assert 0 not in moved and 1 not in moved
