"""A small checkpoint of every family makes every task of its entries, as the catalogue and the planner have them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.catalogue import entries
from wan_backend.catalogue.architecture import Architecture
from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import task_conditions
from wan_backend.pipelines.conditions import Canvas
from wan_backend.pipelines.decode import decode
from wan_backend.pipelines.denoise import denoise_in_turn
from wan_backend.pipelines.experts import experts_of
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.planning import plan_steps
from wan_backend.protocol.messages import CameraMove, Quality, Task

ENTRIES = entries.load().models.values()
FOLDERS = {
    ("WanVACEPipeline", Architecture.CONTROL, 1): "vace_folder",
    ("WanVACEPipeline", Architecture.CONTROL, 2): "control_experts_folder",
    ("WanPipeline", Architecture.TEXT, 1): "t2v_folder",
    ("WanPipeline", Architecture.TEXT, 2): "text_experts_folder",
    ("WanPipeline", Architecture.FIRST_LATENT, 1): "first_latent_folder",
    ("bernini_renderer", Architecture.EDIT, 1): "renderer_folder",
    ("bernini_renderer", Architecture.EDIT, 2): "renderer_experts_folder",
    ("WanPipeline", Architecture.CAMERA, 1): "camera_folder",
    ("WanPipeline", Architecture.CAMERA_AND_PICTURE, 2): "camera_experts_folder",
    ("WanImageToVideoPipeline", Architecture.FIRST_PICTURE, 1): "first_picture_folder",
    ("WanImageToVideoPipeline", Architecture.FIRST_AND_LAST, 1): "first_and_last_folder",
    ("WanImageToVideoPipeline", Architecture.PICTURES, 2): "pictures_experts_folder",
}
FAST = {16: "fast_text_folder", 32: "fast_latent_folder"}
WIDTH, HEIGHT, FRAMES = 96, 64, 9
CASES = [(entry, task) for entry in ENTRIES for task in entry.tasks]


def kind(entry) -> tuple:
    return tuple(entry.pipelines[:1]), entry.architecture, entry.weights.experts, entry.multiple


FIRST = {(kind(entry), task): entry.id for entry, task in reversed(CASES)}
"""Of entries that are made alike, one does each task in every run; all of them in the long one."""
RANDOM = np.random.default_rng(3)
FILM = RANDOM.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)


def folder_of(entry, request):
    if entry.pipelines == ["WanDMDPipeline"]:
        return request.getfixturevalue(FAST[entry.multiple])
    return request.getfixturevalue(FOLDERS[entry.pipelines[0], entry.architecture, entry.weights.experts])


def canvas_of(entry, task: str) -> Canvas:
    if task == Task.IMAGE_TO_VIDEO:
        two = entry.architecture is Architecture.FIRST_AND_LAST
        return Canvas({0: FILM[0], FRAMES - 1: FILM[-1]} if two else {0: FILM[0]})
    return {
        Task.TEXT_TO_VIDEO: Canvas(),
        Task.RESTYLE: Canvas(footage=FILM, guide=FILM if entry.is_control else None),
        Task.FILL_GAP: Canvas({0: FILM[0], FRAMES - 1: FILM[-1]}),
        Task.EXTEND: Canvas({0: FILM[0]}),
        Task.PREVIS: Canvas({0: FILM[0]}) if entry.follows_camera else Canvas(guide=FILM),
        Task.EDIT: Canvas(footage=FILM, references=(FILM[0, :48, :32],)),
    }[Task(task)]


@pytest.mark.parametrize(
    ("entry", "task"),
    [
        pytest.param(entry, task, marks=[] if FIRST[kind(entry), task] == entry.id else pytest.mark.long)
        for entry, task in CASES
    ],
    ids=[f"{entry.id}-{task}" for entry, task in CASES],
)
def test_every_task_of_every_model(request, entry, task):
    model = WanModel(folder_of(entry, request), torch.device("cpu"))
    assert model.architecture is entry.architecture and (model.boundary is not None) == (entry.weights.experts == 2)
    asked = take_request("/tmp", model=entry.id, task=task, quality=Quality.STANDARD, width=WIDTH, height=HEIGHT)
    if entry.follows_camera:
        asked = dataclasses.replace(asked, camera=CameraMove([1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 1.5, 0.5, 0.5]))
    planned = plan_steps.plan(asked, entry)
    steps = planned.steps if planned.timesteps else 3  # the rest of the settings are the catalogue's
    plan = dataclasses.replace(planned, width=WIDTH, height=HEIGHT, model_frames=FRAMES, steps=steps)
    placement = PlacedModel(model, MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0))
    conditions = task_conditions.prepare(Preparation(placement, asked, plan, canvas_of(entry, task)))
    scheduler = make_scheduler(model.config("scheduler"), plan.sampler, plan.flow_shift, plan.timesteps, asked.seed)
    experts = experts_of(placement, plan, scheduler.config.num_train_timesteps)
    latents = denoise_in_turn(experts, scheduler, conditions, steps=plan.steps)
    frames = np.concatenate(list(decode(model.vae, latents)))
    assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3) and frames.std() > 2
