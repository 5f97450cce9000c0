"""The conditions of image to video on a model made for it, equal to those of WanImageToVideoPipeline.

The four architectures take pictures in different ways: joined to the latents' channels, with or without what an image
encoder sees in them, or as the first latent frame, given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from ..catalogue.architecture import KNOWS_LAST, LAST_UNKNOWN, LAST_WANTED, Architecture
from ..loading.residency import PlacedModel
from ..protocol.errors import Refusal
from ..protocol.messages import Plan, ProblemKind
from ..protocol.sentences import Sentence
from . import text_to_video
from .conditions import Canvas, Conditions
from .encode import PICTURES_A_LATENT, Film, encode
from .preparation import Preparation
from .stopping import check


def prepare(job: Preparation) -> Conditions:
    """The conditions of a take that begins on `canvas.kept[0]` and, if that is kept too, ends on the last frame.

    The last picture may be held: kept at the frames right before the last as well. Raises Refusal if the model
    can't do it, or Stopped.
    """
    placement, plan, canvas = job.placement, job.plan, job.canvas
    model = placement.model
    _check(model.architecture, plan, canvas)
    conditions = text_to_video.start(job)
    check(job.should_stop)
    if model.architecture.looks_at_pictures:
        ends = [canvas.kept[frame] for frame in (0, plan.model_frames - 1) if frame in canvas.kept]
        conditions = replace(conditions, image_embeds=seen(placement, ends))
        check(job.should_stop)
    only_first = model.architecture is Architecture.FIRST_LATENT
    film = Film(1 if only_first else plan.model_frames, plan.width, plan.height, canvas.kept)
    with placement.use("vae") as vae:
        latents = encode(vae, film, job.should_stop).to(conditions.latents)
    check(job.should_stop)
    if only_first:
        return replace(conditions, given=latents)
    return replace(conditions, joined=torch.cat([given_mask(film, latents), latents], dim=1))


def _check(architecture: Architecture, plan: Plan, canvas: Canvas) -> None:
    """Raise Refusal if the pictures don't suit the model."""
    if architecture in (Architecture.TEXT, Architecture.CONTROL):
        raise Refusal.of(
            ProblemKind.BAD_SETTING, Sentence("This model is not made for image to video; choose one that is.")
        )
    last = plan.model_frames - 1
    two = last > 0 and last in canvas.kept
    if not two and not set(canvas.kept) <= {0}:
        raise ValueError(f"frames {sorted(canvas.kept)} of {plan.model_frames} can't be given to a model for pictures")
    if 0 not in canvas.kept:
        raise Refusal.of(
            ProblemKind.BAD_SOURCE, Sentence("There is no first picture; choose an image or a frame of a movie.")
        )
    if architecture is Architecture.FIRST_AND_LAST and not two:
        raise Refusal.of(ProblemKind.BAD_SOURCE, LAST_WANTED)
    if two and architecture not in KNOWS_LAST:
        raise Refusal.of(ProblemKind.BAD_SOURCE, LAST_UNKNOWN)


@torch.no_grad()
def seen(placement: PlacedModel, pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """(pictures, tokens, width): the image encoder's last hidden states but one, for the transformer."""
    model = placement.model
    images = [Image.fromarray(each) for each in pictures]
    pixels = model.image_processor(images=images, return_tensors="pt").pixel_values
    with placement.use("image_encoder") as image_encoder:
        pixels = pixels.to(image_encoder.device, image_encoder.dtype)
        states = image_encoder(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]
    return states.to(model.device, model.precision.transformer)


def given_mask(film: Film, latents: torch.Tensor) -> torch.Tensor:
    """(1, 4, T, h, w) like `latents`: 1 if one of a latent's four frames is given; the first stands four times."""
    frames = [0] * (PICTURES_A_LATENT - 1) + list(range(film.frames))
    given = torch.tensor([float(frame in film.pictures) for frame in frames])
    given = given.view(1, -1, PICTURES_A_LATENT, 1, 1).transpose(1, 2)
    return given.to(latents).expand(-1, -1, -1, *latents.shape[3:])
