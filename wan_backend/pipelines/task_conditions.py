"""Which `prepare` makes a task's conditions on which architecture: the table PREPARE, and the tasks of VACE models.

A prepare makes the Conditions that `denoise` works from out of a Preparation (request, plan, canvas); all of them begin
as text to video does (`text_to_video.start`). On a VACE model they differ in what the control shows and in what
the first step starts from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..catalogue.architecture import Architecture
from ..planning.step_counts import held_steps, steps_left_out
from ..protocol import spoken
from ..protocol.errors import Refusal
from ..protocol.messages import Problem, ProblemKind, Task
from ..protocol.sentences import Sentence
from . import camera_conditioning, edit, image_conditioning, noised_footage, text_to_video, vace_control
from .conditions import Conditions
from .encode import Film, encode
from .preparation import Preparation
from .stopping import check

Prepare = Callable[[Preparation], Conditions]


def prepare(job: Preparation) -> Conditions:
    """The conditions of a job; raises Refusal if the model can't do its task, or Stopped."""
    request = job.request
    if request.task == Task.TEXT_TO_VIDEO and not job.canvas.pictures:
        return text_to_video.prepare(job)
    known = request.task in tuple(Task)
    found = PREPARE[job.placement.model.architecture].get(Task(request.task)) if known else None
    if found is not None:
        return found(job)
    words = spoken.task(request.task[:40])
    sentence = Sentence("This model can't do {task}; choose a control model (VACE).", task=words)
    if request.task == Task.EDIT:
        sentence = Sentence("This model can't edit footage; choose Bernini-R.")
    if not known:
        sentence = Sentence("This version can't do {task}; update Wan VSE.", task=words)
    raise Refusal(Problem(ProblemKind.BAD_SETTING, sentence))


def prepare_continued(job: Preparation) -> Conditions:
    """The conditions of a take some of whose frames are given; those beside or between them are made (VACE)."""
    conditions = text_to_video.start(job)
    with job.placement.use("vae") as vae:
        return _controlled(job, conditions, vae)


def prepare_restyle(job: Preparation) -> Conditions:
    """The conditions of footage made anew: the guide holds its structure (VACE).

    At a strength of less than 1 the first step starts from the footage itself.
    """
    conditions = text_to_video.start(job)
    with job.placement.use("vae") as vae:
        conditions = _controlled(job, conditions, vae)
        footage, plan = job.canvas.footage, job.plan
        if footage is None or job.request.strength >= 1:
            return conditions
        film = Film(plan.model_frames, plan.width, plan.height, dict(enumerate(footage)))
        source = encode(vae, film, job.should_stop).to(conditions.latents)
    return replace(conditions, source=source, first_step=steps_left_out(plan.steps, job.request.strength))


def prepare_previs(job: Preparation) -> Conditions:
    """The conditions of a take that the scene's depth guides and whose look a picture shows (VACE).

    `strength` is how early the depth lets go: at 0 it holds in every step, at 1 in none. The first steps settle where
    things are, so what is let go of late differs in detail only.
    """
    references = 0 if job.canvas.look is None else 1
    conditions = text_to_video.start(job, references)
    held = held_steps(job.plan.steps, job.request.strength)
    with job.placement.use("vae") as vae:
        return _controlled(job, conditions, vae, held)


_FROM_PICTURES: dict[Task, Prepare] = {Task.IMAGE_TO_VIDEO: image_conditioning.prepare}
_FROM_FOOTAGE: dict[Task, Prepare] = {Task.RESTYLE: noised_footage.prepare}
_ALONG_CAMERA: dict[Task, Prepare] = {Task.PREVIS: camera_conditioning.prepare}

PREPARE: dict[Architecture, dict[Task, Prepare]] = {
    Architecture.TEXT: _FROM_FOOTAGE,
    Architecture.FIRST_PICTURE: _FROM_PICTURES,
    Architecture.FIRST_AND_LAST: _FROM_PICTURES,
    Architecture.PICTURES: _FROM_PICTURES,
    Architecture.EDIT: {Task.EDIT: edit.prepare},
    Architecture.FIRST_LATENT: {**_FROM_FOOTAGE, **_FROM_PICTURES},
    Architecture.CONTROL: {
        Task.TEXT_TO_VIDEO: prepare_continued,
        Task.IMAGE_TO_VIDEO: prepare_continued,
        Task.RESTYLE: prepare_restyle,
        Task.FILL_GAP: prepare_continued,
        Task.EXTEND: prepare_continued,
        Task.PREVIS: prepare_previs,
    },
    Architecture.CAMERA: _ALONG_CAMERA,
    Architecture.CAMERA_AND_PICTURE: _ALONG_CAMERA,
}
"""Text to video is here only for pictures that a take keeps; without them, `text_to_video.prepare` serves every
architecture that can do it."""


def _controlled(job: Preparation, conditions: Conditions, vae: Any, guided_steps: float | None = None) -> Conditions:
    """`conditions` with the control for the job's canvas; its guide holds for `guided_steps` (None: for all)."""
    plan, model = job.plan, job.placement.model
    check(job.should_stop)
    gray = job.cache.make_blank(vae, plan, job.should_stop)[:, : vae.config.z_dim]
    guided, released = vace_control.build(vae, job.canvas, plan.model_frames, gray, job.should_stop)
    held = plan.steps if guided_steps is None else guided_steps
    control = (guided if held > 0 else released).to(model.device, model.precision.transformer)
    if guided is released or held <= 0 or held >= plan.steps:
        return replace(conditions, control=control)
    return replace(conditions, control=control, released=released.to(control), held_steps=held)
