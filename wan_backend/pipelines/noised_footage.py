"""The conditions of a restyle on a text to video model, from noised footage, equal to WanVideoToVideoPipeline's.

The first steps are skipped, and the next one starts from the footage's latents with the noise that it expects.
"""

from __future__ import annotations

from dataclasses import replace

from ..catalogue.architecture import Architecture, guide_problem
from ..planning.step_counts import steps_left_out
from ..protocol.errors import Refusal
from ..protocol.messages import Plan, ProblemKind, TakeRequest
from ..protocol.sentences import Sentence
from . import text_to_video
from .conditions import Canvas, Conditions
from .encode import Film, encode
from .preparation import Preparation
from .stopping import check


def prepare(job: Preparation) -> Conditions:
    """The conditions of a take made from `canvas.footage`; raises Refusal if the model can't do it, or Stopped.

    At a strength of 1 the footage is all but gone in the noise, and may be missing.
    """
    request, plan, footage = job.request, job.plan, job.canvas.footage
    _check(job.placement.model.architecture, request, plan, job.canvas)
    conditions = text_to_video.start(job)
    if footage is None:
        return conditions
    film = Film(plan.model_frames, plan.width, plan.height, dict(enumerate(footage)))
    with job.placement.use("vae") as vae:
        check(job.should_stop)
        source = encode(vae, film, job.should_stop)
    check(job.should_stop)
    first_step = steps_left_out(plan.steps, request.strength)
    return replace(conditions, source=source.to(conditions.latents), first_step=first_step)


def _check(architecture: Architecture, request: TakeRequest, plan: Plan, canvas: Canvas) -> None:
    """Raise Refusal if the model can't start from footage, or the footage is missing."""
    if architecture not in (Architecture.TEXT, Architecture.FIRST_LATENT):
        raise Refusal.of(
            ProblemKind.BAD_SETTING,
            Sentence("This model can't start from footage; choose one for text to video or control."),
        )
    unkept_guide = guide_problem(request.guide)
    if unkept_guide is not None:
        raise Refusal(unkept_guide)
    if canvas.footage is None and request.strength < 1:
        raise Refusal.of(
            ProblemKind.BAD_SOURCE, Sentence("There is no footage to restyle; select a strip or a range of frames.")
        )
    if canvas.footage is not None and len(canvas.footage) != plan.model_frames:
        raise ValueError(f"{len(canvas.footage)} frames of footage for {plan.model_frames} of the model")
