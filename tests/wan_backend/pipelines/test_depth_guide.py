"""Depth of footage, by a model that lies beside the video model's; without one, a sentence and a button."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.wan_backend.frames.asked import asked
from wan_backend.library import extras, hub_cache
from wan_backend.pipelines import depth_guide
from wan_backend.pipelines.stopping import Stopped
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import FrameRate, Guide

FILM = np.random.default_rng(0).integers(0, 256, (3, 40, 64, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def small_and_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(depth_guide, "SHORT_SIDE", 42)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def models(tmp_path):
    """A models folder with a video model's folder and a tiny random depth model."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    stages = [f"stage{n}" for n in range(1, 5)]
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=42, patch_size=14,
        out_features=stages, reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[4] * 4, fusion_hidden_size=4,
        head_hidden_size=4, patch_size=14,
    )  # fmt: skip
    torch.manual_seed(0)
    model = DepthAnythingForDepthEstimation(config)
    with torch.no_grad():  # so large that something comes out at the end
        for weights in model.parameters():
            weights.normal_(0.1, 0.3)
    model.save_pretrained(tmp_path / "models" / "depth")
    (tmp_path / "models" / "video").mkdir()
    return tmp_path / "models"


def test_depth_has_the_films_shape_and_the_whole_range(models):
    assert extras.find_depth_model(models / "video") == models / "depth"
    found = depth_guide.estimate_depth(FILM, models / "video", "cpu")
    assert found.shape == FILM.shape and found.dtype == np.uint8
    assert (found[..., 0] == found[..., 1]).all() and (found.min(), found.max()) == (0, 255)


def test_the_same_picture_has_the_same_depth_all_along(models):
    found = depth_guide.estimate_depth(np.stack([FILM[0], FILM[1], FILM[0]]), models / "video", "cpu")
    assert np.array_equal(found[0], found[2]) and not np.array_equal(found[0], found[1])


def test_larger_numbers_are_brighter(models, monkeypatch):
    slope = np.tile(np.linspace(3, 9, 64, dtype=np.float32), (40, 1))
    monkeypatch.setattr(depth_guide, "_nearness", lambda model, picture, should_stop: slope)
    found = depth_guide.estimate_depth(FILM, models / "video", "cpu")
    assert (np.diff(found[0, 0, :, 0].astype(int)) >= 0).all()


def test_without_a_model_edges_are_offered(tmp_path):
    (tmp_path / "video").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(Refusal) as refused:
        depth_guide.estimate_depth(FILM, tmp_path / "video", "cpu")
    assert "choose edges" in refused.value.problem.sentence
    assert (refused.value.problem.fixes[0].setting, refused.value.problem.fixes[0].value) == ("guide", "edges")


def test_it_is_missed_when_the_take_is_planned(models, tmp_path):
    request = asked("restyle", 24, FrameRate(24), guide=Guide.DEPTH)
    assert extras.missing_depth_model(request, models / "video") is None
    problem = extras.missing_depth_model(request, tmp_path / "elsewhere" / "video")
    assert extras.DEPTH_MODEL_REPO in problem.sentence and problem.fixes[0].value == "edges"
    assert (
        extras.missing_depth_model(asked("restyle", 24, FrameRate(24), guide=Guide.EDGES), tmp_path / "video") is None
    )
    assert extras.missing_depth_model(asked("previs", 24, FrameRate(24)), tmp_path / "video") is None


def test_one_in_the_cache_is_found(models, tmp_path):
    place = hub_cache.repo_folder(tmp_path / "cache", extras.DEPTH_MODEL_REPO) / "snapshots" / "abc"
    place.parent.mkdir(parents=True)
    (models / "depth").rename(place)
    assert extras.find_depth_model(models / "video") == place


def test_it_stops_between_pictures(models):
    asked = []

    def should_stop():
        asked.append(0)
        return len(asked) > 2

    with pytest.raises(Stopped):
        depth_guide.estimate_depth(FILM, models / "video", "cpu", should_stop)
    assert len(asked) == 3
