"""The one denoising loop, for every task. May import torch, conditions and stopping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .conditions import Conditions
from .stopping import ShouldStop, check, checked, never


@torch.no_grad()
def denoise(
    transformer: Any,
    scheduler: Any,
    conditions: Conditions,
    *,
    steps: int,
    guidance_scale: float,
    on_step: Callable[[int], None] = lambda _done: None,
    should_stop: ShouldStop = never,
) -> torch.Tensor:
    """(1, C, T, H, W) float32 latents, clean; `on_step(n)` is called after the n-th step.

    Raises Stopped before the next block of the transformer once `should_stop()` is true; the transformer is
    left as it was. A guidance_scale of at most 1 runs the transformer once a step, not twice.
    """
    device = conditions.latents.device
    scheduler.set_timesteps(steps, device=device)
    scheduler.set_begin_index(0)  # spares a wait for the card in every step
    latents = conditions.latents
    blocks = [*transformer.blocks, *getattr(transformer, "vace_blocks", [])]
    with checked(blocks, should_stop):
        for done, timestep in enumerate(scheduler.timesteps, start=1):
            check(should_stop)
            velocity = _velocity(transformer, conditions, latents, timestep, guidance_scale)
            latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
            on_step(done)
    return latents


def _velocity(
    transformer: Any,
    conditions: Conditions,
    latents: torch.Tensor,
    timestep: torch.Tensor,
    guidance_scale: float,
) -> torch.Tensor:
    """The guided prediction for `latents` at `timestep`; shapes as the latents."""
    fixed: dict[str, Any] = {
        "hidden_states": latents.to(transformer.dtype),
        "timestep": timestep.expand(latents.shape[0]),
        "return_dict": False,
    }
    if conditions.control is not None:
        fixed["control_hidden_states"] = conditions.control
    prediction = transformer(encoder_hidden_states=conditions.prompt_embeds, **fixed)[0]
    if guidance_scale <= 1 or conditions.negative_prompt_embeds is None:
        return prediction
    away = transformer(encoder_hidden_states=conditions.negative_prompt_embeds, **fixed)[0]
    return away + guidance_scale * (prediction - away)
