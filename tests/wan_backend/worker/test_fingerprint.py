"""What makes kept steps useless, and what does not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.conditions import Canvas
from wan_backend.protocol.messages import (
    Decoder,
    Fix,
    FrameRate,
    LoraUse,
    MediaFormat,
    Origin,
    Plan,
    RunParams,
    TakeRequest,
)
from wan_backend.worker import fingerprint as module
from wan_backend.worker.fingerprint import fingerprint

RATE = FrameRate(16)
REQUEST = TakeRequest("fog", "any", 48, 32, 9, RATE, 1, "/media")
PLAN = Plan("any", 48, 32, 9, RATE, 9, 6, 3.0, 3.0, "unipc")


def picture(level: int) -> np.ndarray:
    return np.full((32, 48, 3), level, np.uint8)


@pytest.fixture(scope="module")
def model(vace_folder) -> WanModel:
    return WanModel(vace_folder, torch.device("cpu"))


@pytest.fixture
def of(model):
    def make(canvas: Canvas | None = None, plan: dict | None = None, **request) -> str:
        asked = RunParams("job", dataclasses.replace(REQUEST, **request), dataclasses.replace(PLAN, **(plan or {})), "")
        return fingerprint(asked, canvas or Canvas(), model)

    return make


def test_where_the_take_goes_and_what_is_only_said_change_nothing(of):
    assert of() == of(media_folder="/elsewhere", media_format=MediaFormat.H264, origin=Origin(scene="Other"))
    assert of() == of(plan={"memory_bytes": 9, "disk_bytes": 9, "notes": ["Snapped."], "decoder": Decoder.TINY})
    assert of() == of(plan={"fixes": [Fix("Download...")], "memory": "All of it stays on the card."})


def test_every_field_of_a_plan_either_makes_another_job_or_is_known_to_be_said_only(of):
    only_said = {"memory_bytes", "memory", "disk_bytes", "notes", "fixes", "problem", "decoder"}
    others = {
        int: 7, float: 0.125, str: "other", list: [1000.0], FrameRate: FrameRate(12), type(None): 0.5,
    }  # fmt: skip
    for field in dataclasses.fields(PLAN):
        value = getattr(PLAN, field.name)
        if field.name not in only_said | {"loras"}:
            assert of() != of(plan={field.name: others[type(value)]}), field.name


@pytest.mark.parametrize(
    "request_changes", [{"prompt": "rain"}, {"negative_prompt": "blur"}, {"seed": 2}, {"strength": 0.5}]
)
def test_another_request_is_another_job(of, request_changes):
    assert of() != of(**request_changes)


@pytest.mark.parametrize("plan", [{"steps": 7}, {"sampler": "euler"}, {"window_frames": 5}, {"guidance_scale": 1.0}])
def test_another_plan_is_another_job(of, plan):
    assert of() != of(plan=plan)


def test_what_the_sources_show_counts_and_where(of):
    canvases = [
        Canvas(),
        Canvas(kept={0: picture(1)}),
        Canvas(kept={0: picture(2)}),
        Canvas(kept={1: picture(1)}),
        Canvas(look=picture(1)),
        Canvas(guide=picture(1)[None]),
        Canvas(footage=picture(1)[None]),
    ]
    assert len({of(canvas) for canvas in canvases}) == len(canvases)
    assert of(Canvas(kept={0: picture(1)})) == of(Canvas(kept={0: picture(1)}))


def test_another_lora_under_the_same_name_is_another_job(of, tmp_path):
    file = tmp_path / "style.safetensors"
    plan = {"loras": [LoraUse(str(file), 0.5)]}
    found = [of(), of(plan=plan)]
    for content in (b"one", b"another"):
        file.write_bytes(content)
        found.append(of(plan=plan))
    assert len(set(found)) == 4 and of(plan=plan) == found[-1]


def test_another_version_or_model_is_another_job(of, model, t2v_folder, monkeypatch):
    before = of()
    other = WanModel(t2v_folder, torch.device("cpu"))
    assert fingerprint(RunParams("job", REQUEST, PLAN, ""), Canvas(), other) != before
    monkeypatch.setattr(module, "__version__", "99")
    assert of() != before
