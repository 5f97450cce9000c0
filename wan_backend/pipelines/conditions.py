"""What a task's `prepare` takes and returns: a Canvas of pictures becomes the Conditions that `denoise` works from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..loading.chunked_forward import PromptSpan
from . import prompt_relay
from .windows import Window, section


@dataclass(frozen=True)
class Canvas:
    """The pictures that a take is made from, beside its prompt.

    Every picture is (height, width, 3) uint8 RGB at the plan's size, but for references. Frames are counted at the
    model's rate, from 0.
    """

    kept: dict[int, np.ndarray] = field(default_factory=dict)
    """Frames that are given; what the model makes continues them."""
    guide: np.ndarray | None = None
    """(model frames, H, W, 3): what shapes the frames that are made: depth, edges, or the footage itself."""
    footage: np.ndarray | None = None
    """(model frames, H, W, 3): the frames that are made anew, for a strength of less than 1."""
    look: np.ndarray | None = None
    """A picture of how the take is to look; it isn't one of the take's frames."""
    references: tuple[np.ndarray, ...] = ()
    """Pictures of what an edit is to bring, each of a size of its own."""
    handles: dict[int, np.ndarray] = field(default_factory=dict)
    """The neighbors' own frames that are the take's handles, by the scene's frames, counted from the take's first."""
    pictures: dict[int, np.ndarray] = field(default_factory=dict)
    """Pictures that single frames in the take's midst are to be."""


@dataclass(frozen=True)
class Conditions:
    """Everything that the denoising loop works from; all tensors are on the transformer's device."""

    prompt_embeds: torch.Tensor
    """(1, 512, text width), in the transformer's dtype; (prompts, 512, text width) if there are `spans`."""
    negative_prompt_embeds: torch.Tensor | None
    """(1, 512, text width) for the negative prompt; None if there is no guidance."""
    latents: torch.Tensor
    """(1, C, T, H, W) of the latent grid, float32: the noise that the first step starts from."""
    control: torch.Tensor | None = None
    """(1, 96, T, H, W) for a VACE transformer: kept and changing latents, and the mask; else None."""
    released: torch.Tensor | None = None
    """`control` without its guide, for the steps after `held_steps`; None if the guide holds to the end."""
    held_steps: float = 0.0
    """How many steps `control` guides before `released` does; they are mixed in a step that this number ends within."""
    references: int = 0
    """Latent frames before the take's own that only show how it is to look; `denoise` removes them."""
    source: torch.Tensor | None = None
    """(1, C, T, H, W) clean latents that the first step starts from, noised by `latents`; None: noise alone."""
    first_step: int = 0
    """How many of the scheduler's steps are skipped at the beginning, because `source` is there already."""

    joined: torch.Tensor | None = None
    """(1, 4 + C, T, H, W), float32, joined to the latents' channels: which of each four frames are given, and the
    latents of the film that has them alone. None for a transformer that takes latents only."""
    cameras: torch.Tensor | None = None
    """(1, 16, T, 4), float32: the camera of each latent frame's four pictures, for a transformer that a camera steers;
    else None."""
    image_embeds: torch.Tensor | None = None
    """(pictures, tokens, width): what the image encoder sees, in the transformer's dtype; else None."""
    spans: tuple[PromptSpan, ...] = ()
    """Which latent frames, the references among them, read which of the prompts; empty if there is one for all."""
    given: torch.Tensor | None = None
    """(1, C, n, H, W), float32: the first n latent frames, clean, for a transformer that takes a time for each
    token; None if all frames are to be made."""
    sources: tuple[torch.Tensor, ...] = ()
    """Clean latents that the transformer sees beside the take, in its dtype: footage of the take's shape, then
    pictures, each (1, C, 1, h, w) of a size of its own. Empty for all but edits."""

    def control_of(self, step: int) -> torch.Tensor | None:
        """The control for that step, counted from 0."""
        if self.control is None or self.released is None or step + 1 <= self.held_steps:
            return self.control
        if step >= self.held_steps:
            return self.released
        return torch.lerp(self.released, self.control, self.held_steps - step)

    def cut(self, window: Window) -> Conditions:
        """The conditions of the latent frames in `window`."""

        def own(whole: torch.Tensor | None) -> torch.Tensor | None:
            return None if whole is None else section(whole, self.references, window)

        used, spans = prompt_relay.cut(self.spans, self.references, window)
        return replace(
            self,
            prompt_embeds=self.prompt_embeds[used] if self.spans else self.prompt_embeds,
            spans=spans,
            control=own(self.control),
            released=own(self.released),
            joined=own(self.joined),
            cameras=own(self.cameras),
            given=self.given if window.start == 0 else None,
            sources=tuple(section(each, 0, window) for each in self.sources[:1]) + self.sources[1:],
        )
