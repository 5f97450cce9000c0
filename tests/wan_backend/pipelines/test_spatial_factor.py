"""Streaming encode: equal to the autoencoder's own, stoppable, no trace left; the spatial factor of any config."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan

from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.decode import decode, denormalize
from wan_backend.pipelines.encode import Film, encode, spatial_factor
from wan_backend.pipelines.stopping import Stopped
from wan_backend.planning.lengths import latent_frames

PATCHED = {
    "base_dim": 2, "num_res_blocks": 1, "dim_mult": [1, 2, 4], "temperal_downsample": [True, True],
    "patch_size": 2, "in_channels": 12, "out_channels": 12, "scale_factor_spatial": 8,
}  # fmt: skip


@pytest.fixture(scope="module", params=["plain", "patched"])
def vae(request, t2v_folder):
    if request.param == "plain":
        return WanModel(t2v_folder, torch.device("cpu")).vae
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoencoderKLWan(**PATCHED).eval()


def pictures(frames: int) -> dict[int, np.ndarray]:
    generator = np.random.default_rng(0)
    return {n: generator.integers(0, 256, (48, 64, 3), np.uint8) for n in range(frames)}


@pytest.mark.parametrize("frames", [1, 5, 13])
def test_it_equals_the_encode_of_the_whole(vae, frames):
    film = Film(frames, 64, 48, pictures(frames))
    with torch.no_grad():
        expected = vae.encode(film.pixels(0, frames)).latent_dist.mode()
    latents = encode(vae, film)
    assert latents.shape == (1, 16, latent_frames(frames), 6, 8)
    assert torch.allclose(denormalize(vae, latents), expected, atol=1e-5)


def test_decode_takes_what_encode_gives(vae):
    pieces = list(decode(vae, encode(vae, Film(9, 64, 48, pictures(9)))))
    assert np.concatenate(pieces).shape == (9, 48, 64, 3)


def test_frames_without_a_picture_are_gray():
    white = np.full((2, 4, 3), 255, np.uint8)
    pixels = Film(5, 4, 2, {1: white, 2: 0 * white}).pixels(1, 4)
    assert pixels.shape == (1, 3, 3, 2, 4)
    assert pixels[0, :, 0].eq(1).all() and pixels[0, :, 1].eq(-1).all() and pixels[0, :, 2].eq(0).all()


def test_it_stops_within_a_latent_frame_and_leaves_no_trace(vae):
    checks = []

    def should_stop() -> bool:
        checks.append(1)
        return len(checks) > 4

    with pytest.raises(Stopped):
        encode(vae, Film(9, 64, 48, {}), should_stop)
    assert len(checks) == 5
    assert not any(module._forward_pre_hooks for module in vae.modules())
    assert vae._enc_feat_map == [None] * len(vae._enc_feat_map)


@pytest.mark.parametrize(
    ("config", "factor"),
    [
        ({"scale_factor_spatial": 16, "temperal_downsample": [False, True, True]}, 16),
        ({"scale_factor_spatial": 8, "temperal_downsample": [True, True], "patch_size": 2}, 8),
        ({"scale_factor_spatial": None, "temperal_downsample": [True, True], "patch_size": 2}, 8),
        ({"temperal_downsample": [False, True, True]}, 8),
        ({}, 8),
    ],
)
def test_the_spatial_factor_is_what_the_config_says(config, factor):
    assert spatial_factor(config) == factor


def test_the_factor_is_that_of_the_pixels(vae):
    assert encode(vae, Film(1, 64, 48, {})).shape[3] * spatial_factor(vae.config) == 48
    assert spatial_factor(SimpleNamespace(**PATCHED).__dict__) == 8
