"""One `prepare` for each task that begins with pictures, on a VACE model. May import torch, models and protocol.

All of them begin as text to video does; what differs is what the control shows, and what the first step starts from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..loading.residency import Placement
from ..loading.wan_model import WanModel
from ..protocol.messages import Plan, TakeRequest, Task
from . import text_to_video, vace_control
from .autoencoder import Film, encode
from .canvas import Canvas
from .conditions import Conditions
from .noised_footage import steps_left_out
from .stopping import ShouldStop, check, never
from .text_to_video import Kept

Prepare = Callable[[Placement, TakeRequest, Plan, Canvas, Kept, ShouldStop], Conditions]


def continued(
    placement: Placement, request: TakeRequest, plan: Plan, canvas: Canvas, kept: Kept, should_stop: ShouldStop = never
) -> Conditions:
    """Frames that are given, at the ends, and what is made beside or between them: image, fill gap, extend."""
    conditions = text_to_video.start(placement, request, plan, kept, should_stop)
    with placement.use("vae") as vae:
        return _controlled(conditions, placement.model, vae, plan, canvas, kept, should_stop)


def restyle(
    placement: Placement, request: TakeRequest, plan: Plan, canvas: Canvas, kept: Kept, should_stop: ShouldStop = never
) -> Conditions:
    """Footage made anew: the guide holds its structure; a strength of less than 1 starts from the footage itself."""
    conditions = text_to_video.start(placement, request, plan, kept, should_stop)
    with placement.use("vae") as vae:
        conditions = _controlled(conditions, placement.model, vae, plan, canvas, kept, should_stop)
        if canvas.footage is None or request.strength >= 1:
            return conditions
        film = Film(plan.model_frames, plan.width, plan.height, dict(enumerate(canvas.footage)))
        source = encode(vae, film, should_stop).to(conditions.latents)
    return replace(conditions, source=source, first_step=steps_left_out(plan.steps, request.strength))


def previs(
    placement: Placement, request: TakeRequest, plan: Plan, canvas: Canvas, kept: Kept, should_stop: ShouldStop = never
) -> Conditions:
    """The scene's depth guides it, and a picture says how it looks.

    `strength` is how early the depth lets go: at 0 it holds in every step, at 1 in none. The first steps settle where
    things are, so what is let go of late differs in detail only.
    """
    references = 0 if canvas.look is None else 1
    conditions = text_to_video.start(placement, request, plan, kept, should_stop, references)
    held_steps = min(1.0, max(0.0, 1 - request.strength)) * plan.steps
    with placement.use("vae") as vae:
        return _controlled(conditions, placement.model, vae, plan, canvas, kept, should_stop, held_steps)


PREPARE: dict[Task, Prepare] = {
    Task.IMAGE_TO_VIDEO: continued,
    Task.RESTYLE: restyle,
    Task.FILL_GAP: continued,
    Task.EXTEND: continued,
    Task.PREVIS: previs,
}


def _controlled(
    conditions: Conditions,
    model: WanModel,
    vae: Any,
    plan: Plan,
    canvas: Canvas,
    kept: Kept,
    should_stop: ShouldStop,
    held_steps: float | None = None,
) -> Conditions:
    """`conditions` with the control for `canvas`; its guide holds for `held_steps`, or for all where that is None."""
    check(should_stop)
    grey = kept.make_blank(vae, plan, should_stop)[:, : vae.config.z_dim]
    guided, released = vace_control.build(vae, canvas, plan.model_frames, grey, should_stop)
    held = plan.steps if held_steps is None else held_steps
    control = (guided if held > 0 else released).to(model.device, model.precision.transformer)
    if guided is released or held <= 0 or held >= plan.steps:
        return replace(conditions, control=control)
    return replace(conditions, control=control, released=released.to(control), held_steps=held)
