"""Pictures made larger: tiles whose seams can't be seen, any size, and memory that runs out on the way."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from tests.wan_backend import upscaling_models
from wan_backend.loading import upscaling_model
from wan_backend.loading.upscaling_model import UpscalingModel
from wan_backend.pipelines import upscaling
from wan_backend.pipelines.stopping import Stopped
from wan_backend.pipelines.upscaling import Upscaler, tile_for, upscaled
from wan_backend.protocol.errors import Refusal

CPU = torch.device("cpu")


def blurring(scale: int = 2, reach: int = 8) -> UpscalingModel:
    """Sees `reach` pixels around each, and no further."""

    def call(picture: torch.Tensor) -> torch.Tensor:
        side = 2 * reach + 1
        padded = torch.nn.functional.pad(picture, (reach,) * 4, mode="replicate")
        soft = torch.nn.functional.avg_pool2d(torch.nn.functional.avg_pool2d(padded, (1, side), 1), (side, 1), 1)
        return torch.nn.functional.interpolate((picture + soft) / 2, scale_factor=scale, mode="nearest")

    return UpscalingModel(call, scale, CPU, torch.float32, "blurring", 1)


@pytest.mark.parametrize(("scale", "tile"), [(2, 64), (4, 64), (3, 77)])
def test_tiles_give_what_the_whole_gives_where_the_model_looks_no_further_than_their_margin(scale, tile):
    model, picture = blurring(scale, upscaling.MARGIN), upscaling_models.picture(203, 151)
    whole, tiled = upscaled(model, picture), upscaled(model, picture, tile)
    assert whole.shape == tiled.shape == (151 * scale, 203 * scale, 3)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_tiles_of_a_model_that_looks_further_have_no_seam(tmp_path):
    """One of Real-ESRGAN's kind, whose layers look 45 pixels around each: more than the margin."""
    file = upscaling_models.write(tmp_path / "x.safetensors", scale=2, blocks=2)
    model, picture = upscaling_model.load(file, CPU), upscaling_models.picture(140, 100)
    whole, tiled = upscaled(model, picture).astype(int), upscaled(model, picture, 64).astype(int)
    assert whole.std() > 10 and np.abs(whole - tiled).max() <= 1


def test_without_a_margin_the_seam_would_be_seen(monkeypatch):
    monkeypatch.setattr(upscaling, "MARGIN", 0)
    model, picture = blurring(reach=16), upscaling_models.picture(203, 151)
    assert np.abs(upscaled(model, picture).astype(int) - upscaled(model, picture, 64)).max() > 4


@pytest.mark.parametrize(("width", "height", "passes"), [(96, 64, 1), (192, 128, 2), (120, 80, 2), (90, 60, 1)])
def test_any_size_is_reached_in_as_many_passes_as_it_takes(width, height, passes):
    model, called = blurring(), []
    counted = UpscalingModel(lambda x: called.append(1) or model.call(x), 2, CPU, torch.float32, "", 1)
    source = upscaling_models.picture(48, 32)
    made = Upscaler(counted).enlarge(source, width, height)
    assert made.shape == (height, width, 3) and made.dtype == np.uint8 and len(called) == passes
    simply = cv2.resize(source, (width, height), interpolation=cv2.INTER_CUBIC)
    assert np.abs(made.astype(int) - simply).mean() < 40  # it shows the same


def test_what_is_too_large_for_memory_is_made_in_smaller_tiles():
    model, tried = blurring(), []

    def call(picture: torch.Tensor) -> torch.Tensor:
        tried.append(picture.shape[-1] * picture.shape[-2])
        if tried[-1] > 200 * 200:
            raise RuntimeError("CUDA out of memory")
        return model.call(picture)

    upscaler = Upscaler(UpscalingModel(call, 2, CPU, torch.float32, "", 1), tile=512)
    picture = upscaling_models.picture(400, 300)
    made = upscaler.enlarge(picture, 800, 600)
    assert upscaler.tile < 512 and np.abs(made.astype(int) - upscaled(model, picture)).max() <= 1
    tried.clear()
    upscaler.enlarge(picture, 800, 600)
    assert max(tried) <= 200 * 200  # it has learned


def test_memory_that_suffices_for_no_tile_is_said():
    def call(_picture: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(Refusal, match="too little memory"):
        Upscaler(UpscalingModel(call, 2, CPU, torch.float32, "", 1)).enlarge(upscaling_models.picture(96, 96), 192, 192)


def test_a_model_that_makes_no_numbers_is_refused():
    model = UpscalingModel(lambda x: x.repeat(1, 1, 2, 2) * float("nan"), 2, CPU, torch.float32, "", 1)
    with pytest.raises(Refusal, match="its numbers overflowed"):
        upscaled(model, upscaling_models.picture(48, 32))


def test_tiles_are_as_large_as_memory_allows():
    model = blurring(4)
    assert tile_for(model, 0) == upscaling.LEAST_TILE and tile_for(model, 1 << 50) == upscaling.FIRST_TILE
    assert upscaling.LEAST_TILE < tile_for(model, 8 << 30) < upscaling.FIRST_TILE


def test_it_stops_between_tiles():
    with pytest.raises(Stopped):
        upscaled(blurring(), upscaling_models.picture(203, 151), 64, lambda: True)
