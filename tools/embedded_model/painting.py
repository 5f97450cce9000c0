"""Takes painted by diffusers' own pipeline, given its conditions as pictures, as a person would give them.

May import torch, numpy and PIL; the pipeline is handed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import tasks

Painter = Callable[[str, int, tasks.Condition | None], Tensor]
"""(prompt, seed, condition or None) to a take CTHW in 0..1."""


def _pictures(frames: Tensor) -> list[Image.Image]:
    """CTHW in 0..1 as pictures."""
    pixels = (frames.clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0).numpy()
    return [Image.fromarray(np.ascontiguousarray(frame)) for frame in pixels]


def _code_once(vae: Any) -> None:
    """Let the autoencoder remember what it coded: for most takes that is the same grey, and a third of their time."""
    if hasattr(vae.encode, "coded"):
        return
    encode = vae.encode
    coded: dict[tuple[torch.Size, bytes], Any] = {}

    def remembered(clip: Tensor) -> Any:
        numbers = clip.float().cpu() + 0.0  # a product with a mask also has zeros with a minus
        key = clip.shape, hashlib.sha256(numbers.numpy().tobytes()).digest()
        if key not in coded:
            coded[key] = encode(clip)
        return coded[key]

    remembered.coded = coded  # type: ignore[attr-defined]
    vae.encode = remembered


def painter_of(pipeline: Any, *, frames: int, height: int, width: int, steps: int, guidance_scale: float) -> Painter:
    """Paints with a WanVACEPipeline, given its conditions as pictures, as a person would.

    From now on the pipeline's autoencoder codes nothing twice.
    """
    _code_once(pipeline.vae)

    def paint(prompt: str, seed: int, condition: tasks.Condition | None) -> Tensor:
        given: dict[str, Any] = {}
        if condition is not None:
            video = (condition.inactive + condition.reactive)[0] / 2 + 0.5
            mask = condition.mask[0].view(1, -1, 1, 1).expand_as(video)
            given = {"video": _pictures(video), "mask": _pictures(mask)}
        made = pipeline(
            prompt,
            height=height,
            width=width,
            num_frames=frames,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
            **given,
        ).frames[0]
        return torch.from_numpy(np.ascontiguousarray(made)).permute(3, 0, 1, 2).float()

    return paint
