"""What a model that a camera steers is given: the camera of each frame, and a first picture or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.wan_backend.library import file_forms as forms
from wan_backend.loading import camera_transformer
from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import camera_conditioning, task_conditions
from wan_backend.pipelines.conditions import Canvas, Conditions
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.encode import Film, encode
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import CameraMove, FrameRate, Plan, Role, Source, TakeRequest, Task

WIDTH, HEIGHT, FRAMES = 64, 32, 9
PLAN = Plan("any", WIDTH, HEIGHT, FRAMES, FrameRate(16), 13, 2, 4.0, 3.0, "unipc")
PICTURE = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)


def camera(frame: int) -> list[float]:
    return [1.0, 0, 0, 100 + frame, 0, 1, 0, -5, 0, 0, 1, 2, 0.8 + 0.01 * frame, 1.2, 0.5, 0.4]


MOVE = CameraMove([number for frame in range(13) for number in camera(frame)], 0.25)
REQUEST = TakeRequest("fog", "any", 128, 64, 13, FrameRate(24), 1, "", task=Task.PREVIS, camera=MOVE)


def at(request: TakeRequest = REQUEST, plan: Plan = PLAN) -> torch.Tensor:
    assert request.camera is not None
    return camera_conditioning.cameras_of(request, request.camera, plan)


def test_each_of_the_models_frames_has_the_camera_of_the_scenes_frame_nearest_in_time() -> None:
    assert camera_conditioning.shown_frames(REQUEST, PLAN) == [0, 2, 3, 5, 6, 8, 9, 11, 12]
    assert (at()[:, 3] / 0.25 - 100).round().tolist() == [0, 2, 3, 5, 6, 8, 9, 11, 12]
    assert torch.allclose(at()[:, 12], torch.tensor([0.8 + 0.01 * n for n in (0, 2, 3, 5, 6, 8, 9, 11, 12)]).double())


def test_the_last_frames_of_the_model_hold_the_last_camera() -> None:
    longer = replace(PLAN, model_frames=13)
    assert camera_conditioning.shown_frames(REQUEST, longer)[-4:] == [12, 12, 12, 12]


def test_the_lens_is_that_of_the_models_picture_which_holds_the_whole_frame() -> None:
    wide = replace(REQUEST, width=256)  # four to one, in a picture of two to one
    (first,) = at(wide)[:1].tolist()
    assert first[12:] == pytest.approx([0.8, 0.6, 0.5, 0.45])


def test_places_far_away_lose_nothing() -> None:
    far = at()
    far[:, 3] += 1e6
    here, there = camera_conditioning.latent_cameras(at()), camera_conditioning.latent_cameras(far)
    assert here.shape == (1, 16, 3, 4) and torch.allclose(here, there, atol=1e-6)
    assert here[0, 3].tolist() == [[0, 0, 0, 0], [0.5, 0.75, 1.25, 1.5], [2.0, 2.25, 2.75, 3.0]]


def prepared(folder: Path, canvas: Canvas, request: TakeRequest = REQUEST) -> tuple[Conditions, PlacedModel]:
    where = Residency.RESIDENT
    placement = PlacedModel(WanModel(folder, torch.device("cpu")), MemoryPlan(where, where, where, 0))
    return task_conditions.prepare(Preparation(placement, request, PLAN, canvas)), placement


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("camera")
    return {name: forms.folder(place / name, name) for name in ("camera", "camera_and_picture")}


def test_a_picture_is_joined_as_the_published_pipelines_join_it(folders) -> None:
    one, placement = prepared(folders["camera"], Canvas({0: PICTURE}))
    alone = encode(placement.model.vae, Film(1, WIDTH, HEIGHT, {0: PICTURE})).float()
    assert one.joined.shape == (1, 16, 3, 4, 8) and torch.equal(one.joined[:, :, :1], alone)
    assert not one.joined[:, :, 1:].any() and one.image_embeds.shape == (1, forms.TOKENS, forms.IMAGE_WIDTH)
    assert one.image_embeds.any()
    two, placement = prepared(folders["camera_and_picture"], Canvas({0: PICTURE}))
    film = encode(placement.model.vae, Film(FRAMES, WIDTH, HEIGHT, {0: PICTURE})).float()
    assert torch.equal(two.joined[:, 4:], film) and two.image_embeds is None
    assert two.joined[0, :4, :, 0, 0].T.tolist() == [[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_a_picture_of_the_look_is_never_dropped(folders) -> None:
    """Of a model that this catalogue doesn't know, nothing says that the look is its first frame."""
    for folder in folders.values():
        kept, look = (prepared(folder, canvas)[0] for canvas in (Canvas({0: PICTURE}), Canvas(look=PICTURE)))
        assert torch.equal(look.joined, kept.joined) and look.joined.any()


def test_without_a_picture_all_of_that_is_zero(folders) -> None:
    one, two = (prepared(folders[name], Canvas())[0] for name in ("camera", "camera_and_picture"))
    assert one.joined.shape == (1, 16, 3, 4, 8) and two.joined.shape == (1, 20, 3, 4, 8)
    assert not one.joined.any() and not two.joined.any() and not one.image_embeds.any()
    assert torch.equal(one.cameras, camera_conditioning.latent_cameras(at()))


def test_a_take_computes_once_what_the_camera_adds(folders, monkeypatch) -> None:
    conditions, placement = prepared(folders["camera_and_picture"], Canvas())
    assert conditions.negative_prompt_embeds is not None
    asked, rays = [], camera_transformer.plucker_rays
    monkeypatch.setattr(camera_transformer, "plucker_rays", lambda *what: asked.append(1) or rays(*what))
    with placement.use("transformer") as transformer:
        scheduler = make_scheduler(placement.model.config("scheduler"), "unipc", 3.0)
        denoise(transformer, scheduler, conditions, steps=2, guidance_scale=4.0)
        assert len(asked) == conditions.latents.shape[2], "once for each latent frame, of two passes in two steps"
        assert transformer.control_adapter.kept is None


@pytest.mark.parametrize("move", [None, CameraMove()])
def test_a_take_without_a_camera_is_refused(folders, move) -> None:
    depth = Source(Role.DEPTH, "/x", ["0001.png"])
    with pytest.raises(Refusal, match="follows a camera's move, and the take has none"):
        prepared(folders["camera"], Canvas(), replace(REQUEST, camera=move, sources=[depth]))


def test_another_task_is_refused(folders) -> None:
    with pytest.raises(Refusal, match="can't do restyle"):
        prepared(folders["camera"], Canvas(), replace(REQUEST, task=Task.RESTYLE))
