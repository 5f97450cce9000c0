"""What every task's `prepare` hands to `denoise`. May import torch and windows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .windows import Window, cut


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
    released: torch.Tensor | None = None
    """The same without its guide, for the steps after `held_steps`; None where the guide holds to the end."""
    held_steps: float = 0.0
    """How many steps `control` guides before `released` does; in a step that it ends within, they are mixed."""
    references: int = 0
    """Latent frames before the film's own, which only show how it is to look; `denoise` takes them away."""
    source: torch.Tensor | None = None
    """(1, C, T, H, W) clean latents that the first step starts from, noised by `latents`; None: noise alone."""
    first_step: int = 0
    """How many of the scheduler's steps are left out at the beginning, for `source` is there already."""

    joined: torch.Tensor | None = None
    """(1, 4 + C, T, H, W), float32, joined to the latents' channels: which of each four frames are given, and the
    latents of the film that has them alone. None for a transformer that takes latents only."""
    image_embeds: torch.Tensor | None = None
    """(pictures, tokens, width): what the image encoder sees, in the transformer's number format; else None."""
    given: torch.Tensor | None = None
    """(1, C, n, H, W), float32: the first n latent frames, clean, for a transformer that is told the time of each
    token; None where all is to be made."""

    def control_of(self, step: int) -> torch.Tensor | None:
        """The control of that step, counted from 0."""
        if self.control is None or self.released is None or step + 1 <= self.held_steps:
            return self.control
        if step >= self.held_steps:
            return self.released
        return torch.lerp(self.released, self.control, self.held_steps - step)

    def cut(self, window: Window) -> Conditions:
        """What `window` sees of them."""

        def part(whole: torch.Tensor | None) -> torch.Tensor | None:
            return None if whole is None else cut(whole, self.references, window)

        return replace(
            self,
            control=part(self.control),
            released=part(self.released),
            joined=part(self.joined),
            given=self.given if window.start == 0 else None,
        )
