"""What every task's `prepare` hands to `denoise`. May import torch alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Conditions:
    """Everything that the denoising loop works from; all tensors are on the transformer's device."""

    prompt_embeds: torch.Tensor
    """(1, 512, text width), in the transformer's number format."""
    negative_prompt_embeds: torch.Tensor | None
    """The same for the negative prompt; None where there is no guidance."""
    latents: torch.Tensor
    """(1, C, T, H, W) of the latent grid, float32: the noise that the first step starts from."""
    control: torch.Tensor | None = None
    """(1, 96, T, H, W) for a VACE transformer: kept and changing latents, and the mask; else None."""
