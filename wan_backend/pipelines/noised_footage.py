"""Restyle on a text to video model, from noised footage. May import torch, models and protocol.

As WanVideoToVideoPipeline does it: the first steps are left out, and the next one starts from the footage's latents
with the noise that it expects.
"""

from __future__ import annotations

from dataclasses import replace

from ..catalogue.abilities import unkept
from ..catalogue.architecture import Layout
from ..loading.residency import Placement
from ..protocol.errors import Refusal
from ..protocol.messages import Plan, ProblemKind, TakeRequest
from . import text_to_video
from .autoencoder import Film, encode
from .canvas import Canvas
from .conditions import Conditions
from .stopping import ShouldStop, check, never
from .text_to_video import Kept


def prepare(
    placement: Placement, request: TakeRequest, plan: Plan, canvas: Canvas, kept: Kept, should_stop: ShouldStop = never
) -> Conditions:
    """The conditions of a take made from `canvas.footage`; raises Refusal where the model can't do it, or Stopped.

    At a strength of 1 the footage is all but gone in the noise, and may be missing.
    """
    _check(placement.model.layout, request, plan, canvas)
    conditions = text_to_video.start(placement, request, plan, kept, should_stop)
    footage = canvas.footage
    if footage is None:
        return conditions
    film = Film(plan.model_frames, plan.width, plan.height, dict(enumerate(footage)))
    with placement.use("vae") as vae:
        check(should_stop)
        source = encode(vae, film, should_stop)
    check(should_stop)
    first_step = steps_left_out(plan.steps, request.strength)
    return replace(conditions, source=source.to(conditions.latents), first_step=first_step)


def steps_left_out(steps: int, strength: float) -> int:
    """How many steps the footage spares at `strength`, counted as WanVideoToVideoPipeline does; one is always made."""
    return steps - max(1, min(int(steps * strength), steps))


def _check(layout: Layout, request: TakeRequest, plan: Plan, canvas: Canvas) -> None:
    """Raise Refusal where the model or the footage don't suit."""
    if layout not in (Layout.TEXT, Layout.FIRST_LATENT):
        raise Refusal.of(
            ProblemKind.BAD_SETTING, "This model can't start from footage; choose one for text to video or control."
        )
    unkept_guide = unkept(request.guide)
    if unkept_guide is not None:
        raise Refusal(unkept_guide)
    if canvas.footage is None and request.strength < 1:
        raise Refusal.of(ProblemKind.BAD_SOURCE, "There is no footage to restyle; select a strip or a range of frames.")
    if canvas.footage is not None and len(canvas.footage) != plan.model_frames:
        raise ValueError(f"{len(canvas.footage)} frames of footage for {plan.model_frames} of the model")
