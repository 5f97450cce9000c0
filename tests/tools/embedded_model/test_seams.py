"""Fill gap and extend by the worker's own job on the shipped model: the take meets its neighbours."""

from __future__ import annotations

from pathlib import Path

import cv2
import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from tools.embedded_model import evaluate, prompts, world
from tools.embedded_model.scenes import Scene
from wan_backend.catalogue import entries
from wan_backend.loading.wan_model import WanModel
from wan_backend.planning import plan_steps
from wan_backend.protocol.messages import FrameRate, Role, RunParams, Source, TakeRequest, Task
from wan_backend.worker import take_job, take_pictures, warm_model

WIDTH, HEIGHT = 256, 144
SCENES = {
    "a moon at 24 a second": (("yellow", "circle", "night", "flat", "right", "static"), 24),
    "a pan at 16 a second": (("blue", "circle", "sand", "flat", "still", "pan right"), 16),
}
KEPT_DB, BRIGHTNESS_LEVELS, STEPS = 30, 1, 4


@pytest.fixture(scope="module")
def warm():
    return warm_model.WarmModel(WanModel(evaluate.WEIGHTS, torch.device("cpu")))


@pytest.fixture
def make(warm, tmp_path, monkeypatch):
    """Makes a take: its pictures, the scene's true frames, and the kept frames as decoded and as given."""

    def make(name: str, task: Task, roles: tuple[Role, ...]):
        words, rate = SCENES[name]
        scene = Scene(*words, 0.0, 0.05, 0.5, 0.19, 1.6, 0.1, 3.0, 0.3, 1.5, 0.9, 21)
        clip = pictures_of(scene, 3 * rate)
        sources = [
            source(tmp_path / role.value, role, clip[:rate] if role is Role.BEFORE else clip[-rate:]) for role in roles
        ]
        request = TakeRequest(
            prompts.plain(scene), "embedded", WIDTH, HEIGHT, rate, FrameRate(rate), 11, str(tmp_path / "media"),
            task=task, sources=sources, steps=STEPS,
        )  # fmt: skip
        plan = plan_steps.plan(request, entries.entry("embedded"))
        kept = record_kept(monkeypatch)
        params = RunParams("a" * 32, request, plan, str(evaluate.WEIGHTS), device="cpu")
        take = take_job.make_take(params, warm, lambda report: None, lambda: False).take
        return [imageio.imread(file) for file in sorted(Path(take.folder).glob("*.png"))], clip, kept

    return make


def record_kept(monkeypatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of a kept frame as the model gives it back and as it was given."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    original = take_pictures.finished

    def finished(made, frames, kept, *more):
        def noted():
            for number, picture in enumerate(made):
                if number in kept:
                    found.append((picture, kept[number]))
                yield picture

        return original(noted(), frames, kept, *more)

    monkeypatch.setattr(take_pictures, "finished", finished)
    return found


def pictures_of(scene: Scene, frames: int) -> np.ndarray:
    drawn = world.draw([scene], frames=frames, height=HEIGHT, width=WIDTH).frames[0]
    return (drawn.permute(1, 2, 3, 0) * 255).round().byte().numpy()


def source(folder: Path, role: Role, pictures: np.ndarray) -> Source:
    folder.mkdir()
    names = [f"{number:04}.png" for number in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        cv2.imwrite(str(folder / name), picture[:, :, ::-1])
    return Source(role, str(folder), names, frames=len(pictures))


def assert_met(beside: np.ndarray, near: np.ndarray, far: np.ndarray) -> None:
    """The frame beside the seam is no further from a linear continuation than the neighbour's last two frames are."""
    beside, near, far = (picture.astype(float) for picture in (beside, near, far))
    own = np.abs(near - far).mean()
    assert np.abs(beside - (2 * near - far).clip(0, 255)).mean() <= own
    assert abs(beside.mean() - near.mean()) <= BRIGHTNESS_LEVELS


@pytest.mark.long
@pytest.mark.parametrize("name", SCENES)
def test_a_filled_gap_meets_both_its_neighbours_and_keeps_their_frames(make, name):
    take, clip, kept = make(name, Task.FILL_GAP, (Role.BEFORE, Role.AFTER))
    length = len(clip) // 3
    assert len(take) == length
    assert_met(take[0], clip[length - 1], clip[length - 2])
    assert_met(take[-1], clip[2 * length], clip[2 * length + 1])
    error = np.mean([np.square(back.astype(float) - given).mean() for back, given in kept])
    assert 10 * np.log10(255**2 / error) >= KEPT_DB and len(kept) >= 10


@pytest.mark.long
@pytest.mark.parametrize("role", [Role.BEFORE, Role.AFTER])
def test_an_extension_meets_its_strip(make, role):
    take, clip, kept = make("a moon at 24 a second", Task.EXTEND, (role,))
    if role is Role.BEFORE:
        assert_met(take[0], clip[23], clip[22])
    else:
        assert_met(take[-1], clip[48], clip[49])
    assert kept
