"""Which `prepare` makes a task's conditions on which architecture: the table PREPARE, and the tasks of VACE models.

A prepare takes the request, its plan and its canvas, and gives the Conditions that `denoise` works from; all of them
begin as text to video does (`text_to_video.start`). On a VACE model they differ in what the control shows and in what
the first step starts from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..catalogue.architecture import Architecture
from ..loading.residency import PlacedModel
from ..loading.wan_model import WanModel
from ..protocol.errors import Refusal
from ..protocol.messages import Plan, Problem, ProblemKind, TakeRequest, Task
from . import image_conditioning, noised_footage, text_to_video, vace_control
from .conditions import Canvas, Conditions
from .encode import Film, encode
from .noised_footage import steps_left_out
from .stopping import ShouldStop, check, never
from .text_to_video import PreparationCache

Prepare = Callable[[PlacedModel, TakeRequest, Plan, Canvas, PreparationCache, ShouldStop], Conditions]


def prepare(
    placement: PlacedModel,
    request: TakeRequest,
    plan: Plan,
    canvas: Canvas,
    cache: PreparationCache,
    should_stop: ShouldStop = never,
) -> Conditions:
    """The conditions of a job; raises Refusal where the model can't do its task, or Stopped."""
    if request.task == Task.TEXT_TO_VIDEO:
        return text_to_video.prepare(placement, request, plan, cache, should_stop)
    known = request.task in tuple(Task)
    found = PREPARE[placement.model.architecture].get(Task(request.task)) if known else None
    if found is not None:
        return found(placement, request, plan, canvas, cache, should_stop)
    words = request.task[:40].replace("_", " ")
    sentence = f"This model can't do {words}; choose a control model (VACE)."
    if not known:
        sentence = f"This version can't do {words}; update Wan VSE."
    raise Refusal(Problem(ProblemKind.BAD_SETTING, sentence))


def prepare_continued(
    placement: PlacedModel,
    request: TakeRequest,
    plan: Plan,
    canvas: Canvas,
    cache: PreparationCache,
    should_stop: ShouldStop = never,
) -> Conditions:
    """The conditions where frames at the ends are given, and those beside or between them are made (VACE)."""
    conditions = text_to_video.start(placement, request, plan, cache, should_stop)
    with placement.use("vae") as vae:
        return _controlled(conditions, placement.model, vae, plan, canvas, cache, should_stop)


def prepare_restyle(
    placement: PlacedModel,
    request: TakeRequest,
    plan: Plan,
    canvas: Canvas,
    cache: PreparationCache,
    should_stop: ShouldStop = never,
) -> Conditions:
    """The conditions of footage made anew: the guide holds its structure (VACE).

    At a strength of less than 1 the first step starts from the footage itself.
    """
    conditions = text_to_video.start(placement, request, plan, cache, should_stop)
    with placement.use("vae") as vae:
        conditions = _controlled(conditions, placement.model, vae, plan, canvas, cache, should_stop)
        if canvas.footage is None or request.strength >= 1:
            return conditions
        film = Film(plan.model_frames, plan.width, plan.height, dict(enumerate(canvas.footage)))
        source = encode(vae, film, should_stop).to(conditions.latents)
    return replace(conditions, source=source, first_step=steps_left_out(plan.steps, request.strength))


def prepare_previs(
    placement: PlacedModel,
    request: TakeRequest,
    plan: Plan,
    canvas: Canvas,
    cache: PreparationCache,
    should_stop: ShouldStop = never,
) -> Conditions:
    """The conditions where the scene's depth guides the take and a picture shows its look (VACE).

    `strength` is how early the depth lets go: at 0 it holds in every step, at 1 in none. The first steps settle where
    things are, so what is let go of late differs in detail only.
    """
    references = 0 if canvas.look is None else 1
    conditions = text_to_video.start(placement, request, plan, cache, should_stop, references)
    held_steps = min(1.0, max(0.0, 1 - request.strength)) * plan.steps
    with placement.use("vae") as vae:
        return _controlled(conditions, placement.model, vae, plan, canvas, cache, should_stop, held_steps)


_FROM_PICTURES: dict[Task, Prepare] = {Task.IMAGE_TO_VIDEO: image_conditioning.prepare}
_FROM_FOOTAGE: dict[Task, Prepare] = {Task.RESTYLE: noised_footage.prepare}

PREPARE: dict[Architecture, dict[Task, Prepare]] = {
    Architecture.TEXT: _FROM_FOOTAGE,
    Architecture.FIRST_PICTURE: _FROM_PICTURES,
    Architecture.FIRST_AND_LAST: _FROM_PICTURES,
    Architecture.PICTURES: _FROM_PICTURES,
    Architecture.FIRST_LATENT: {**_FROM_FOOTAGE, **_FROM_PICTURES},
    Architecture.CONTROL: {
        Task.IMAGE_TO_VIDEO: prepare_continued,
        Task.RESTYLE: prepare_restyle,
        Task.FILL_GAP: prepare_continued,
        Task.EXTEND: prepare_continued,
        Task.PREVIS: prepare_previs,
    },
}
"""Text to video isn't here: `text_to_video.prepare` serves every architecture that can do it."""


def _controlled(
    conditions: Conditions,
    model: WanModel,
    vae: Any,
    plan: Plan,
    canvas: Canvas,
    cache: PreparationCache,
    should_stop: ShouldStop,
    held_steps: float | None = None,
) -> Conditions:
    """`conditions` with the control for `canvas`; its guide holds for `held_steps`, or for all where that is None."""
    check(should_stop)
    gray = cache.make_blank(vae, plan, should_stop)[:, : vae.config.z_dim]
    guided, released = vace_control.build(vae, canvas, plan.model_frames, gray, should_stop)
    held = plan.steps if held_steps is None else held_steps
    control = (guided if held > 0 else released).to(model.device, model.precision.transformer)
    if guided is released or held <= 0 or held >= plan.steps:
        return replace(conditions, control=control)
    return replace(conditions, control=control, released=released.to(control), held_steps=held)
