"""The conditions of a take along a camera's move (Fun Camera): the camera of each frame, and a first picture or none.

Equal to those of the published pipelines: of Wan 2.1, the picture's latent alone is joined to the input, and an image
encoder sees it; of Wan 2.2, the film that has the picture alone and its mask. Without a picture, all of that is 0.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ..catalogue.architecture import MASK_CHANNELS, WANTS_CAMERA
from ..frames.schedule import Schedule
from ..loading.residency import PlacedModel
from ..protocol.errors import Refusal
from ..protocol.messages import CAMERA_NUMBERS, CameraMove, Plan, ProblemKind, TakeRequest
from . import image_conditioning, text_to_video
from .conditions import Conditions
from .encode import PICTURES_A_LATENT, Film, encode
from .preparation import Preparation
from .stopping import check

MOVES = slice(3, 12, 4)
"""Of a camera's numbers, those that say where it is; the others of the first twelve say how it is turned."""


def prepare(job: Preparation) -> Conditions:
    """The conditions of a take that follows `request.camera` and may begin on `canvas.kept[0]`, or else `canvas.look`.

    Which of them a picture of the look becomes goes by the catalogue. Raises Refusal, Stopped.
    """
    plan, model, picture = job.plan, job.placement.model, job.canvas.kept.get(0, job.canvas.look)
    if job.request.camera is None or not job.request.camera.numbers:
        raise Refusal.of(ProblemKind.BAD_SOURCE, WANTS_CAMERA)
    conditions = text_to_video.start(job)
    cameras = latent_cameras(cameras_of(job.request, job.request.camera, plan))
    conditions = replace(conditions, cameras=cameras.to(model.device))
    check(job.should_stop)
    sees = model.architecture.looks_at_pictures
    if sees:
        embeds = _unseen(job.placement) if picture is None else image_conditioning.seen(job.placement, [picture])
        conditions = replace(conditions, image_embeds=embeds)
        check(job.should_stop)
    blank = torch.zeros_like(conditions.latents)
    if picture is None:
        return replace(conditions, joined=blank if sees else torch.cat([blank[:, :MASK_CHANNELS], blank], dim=1))
    film = Film(1 if sees else plan.model_frames, plan.width, plan.height, {0: picture})
    with job.placement.use("vae") as vae:
        latents = encode(vae, film, job.should_stop).to(conditions.latents)
    if not sees:
        return replace(conditions, joined=torch.cat([image_conditioning.given_mask(film, latents), latents], dim=1))
    blank[:, :, :1] = latents
    return replace(conditions, joined=blank)


def shown_frames(request: TakeRequest, plan: Plan) -> list[int]:
    """The take's frame whose camera each of the model's frames has."""
    schedule = Schedule.of(plan, request)
    return [min(max(schedule.scene_frame(frame), 0), plan.take_frames - 1) for frame in range(plan.model_frames)]


def cameras_of(request: TakeRequest, move: CameraMove, plan: Plan) -> torch.Tensor:
    """(model frames, 16), float64: the move's cameras, in the model's units and of its picture.

    The model's picture holds the scene's whole frame, as pictures that are read for it do (`frames.resampling.axes`).
    """
    numbers = torch.tensor(move.numbers, dtype=torch.float64).view(-1, CAMERA_NUMBERS)
    cameras = numbers[[min(frame, len(numbers) - 1) for frame in shown_frames(request, plan)]]
    cameras[:, MOVES] *= move.scale
    larger = max(request.width / plan.width, request.height / plan.height)
    for focal, center, frame, own in ((12, 14, request.width, plan.width), (13, 15, request.height, plan.height)):
        share = frame / (larger * own)
        cameras[:, focal] *= share
        cameras[:, center] = (cameras[:, center] - 0.5) * share + 0.5
    return cameras


def latent_cameras(cameras: torch.Tensor) -> torch.Tensor:
    """(1, 16, T, 4), float32, of (4k + 1, 16): four for each latent frame; the first one's stands four times.

    Places are counted from the first camera, for far from the scene's origin 32 bit would be too coarse.
    """
    near = cameras.clone()
    near[:, MOVES] -= cameras[0, MOVES]
    every = torch.cat([near[:1].expand(PICTURES_A_LATENT - 1, -1), near])
    return every.view(-1, PICTURES_A_LATENT, CAMERA_NUMBERS).permute(2, 0, 1).unsqueeze(0).float()


def _unseen(placement: PlacedModel) -> torch.Tensor:
    """(1, tokens, width) of zeros: what the image encoder gives where there is no picture."""
    model = placement.model
    config = model.config("image_encoder")
    tokens = (int(config.get("image_size", 224)) // int(config.get("patch_size", 32))) ** 2 + 1
    return torch.zeros(1, tokens, int(config.get("hidden_size", 768)), device=model.device).to(
        model.precision.transformer
    )
