"""The conditions of an edit: footage and pictures that the model sees beside the take, and words for what changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..catalogue.architecture import Architecture
from ..protocol.errors import Refusal
from ..protocol.messages import ProblemKind
from ..protocol.sentences import Sentence
from . import text_to_video
from .conditions import Conditions
from .encode import Film, encode
from .preparation import Preparation
from .stopping import check


def prepare(job: Preparation) -> Conditions:
    """The conditions of a take that is `canvas.footage` but for what the prompt says; raises Refusal, Stopped."""
    plan, footage = job.plan, job.canvas.footage
    if job.placement.model.architecture is not Architecture.EDIT:
        raise Refusal.of(ProblemKind.BAD_SETTING, Sentence("This model can't edit footage; choose Bernini-R."))
    if footage is None:
        raise Refusal.of(
            ProblemKind.BAD_SOURCE, Sentence("There is no footage to edit; select a strip or a range of frames.")
        )
    if len(footage) != plan.model_frames:
        raise ValueError(f"{len(footage)} frames of footage for {plan.model_frames} of the model")
    conditions = text_to_video.start(job)
    films = [Film(plan.model_frames, plan.width, plan.height, dict(enumerate(footage)))]
    films += [_still(picture) for picture in job.canvas.references]
    sources = []
    with job.placement.use("vae") as vae:
        for film in films:
            check(job.should_stop)
            source = encode(vae, film, job.should_stop)
            sources.append(source.to(conditions.latents.device, job.placement.model.precision.transformer))
    check(job.should_stop)
    return replace(conditions, sources=tuple(sources))


def _still(picture: np.ndarray) -> Film:
    return Film(1, picture.shape[1], picture.shape[0], {0: picture})
