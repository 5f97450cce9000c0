"""What latents look like without the autoencoder: near enough to what it would make of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan

from tools.embedded_model import latent_colors
from tools.embedded_model.evaluate import WEIGHTS
from wan_backend.pipelines.preview import FILE, SIDE, LatentColors


def embedded_vae():
    return AutoencoderKLWan.from_pretrained(WEIGHTS / "vae", torch_dtype=torch.float32).eval()


@pytest.mark.long
def test_the_embedded_model_s_colors_are_those_that_its_autoencoder_makes():
    """Clips other than those of the fit: where this fails after a training, run the fit again (its module says how)."""
    vae = embedded_vae()
    colors = LatentColors.of(vae.config)
    latents, true = latent_colors.samples(vae, seed=77, count=8)
    guessed = latents @ colors.weights + colors.bias
    unexplained = float(((guessed - true) ** 2).sum() / ((true - true.mean(0)) ** 2).sum())
    assert unexplained < 0.15
    assert float((guessed - true).abs().mean()) < 0.15  # of 2


def test_the_embedded_model_has_its_own():
    config = json.loads((WEIGHTS / "vae" / "config.json").read_text())
    assert LatentColors.of(config).weights.shape == (16, 3)


def test_the_published_ones_are_found_by_the_autoencoder_s_means():
    wan21 = LatentColors.of(AutoencoderKLWan().config)
    assert (
        wan21.weights.shape == (16, 3) and wan21.weights[2].tolist() == torch.tensor([0.3568, 0.2548, 0.1747]).tolist()
    )
    known = {each["name"]: each for each in json.loads(FILE.read_text())["autoencoders"]}
    wan22 = LatentColors.of({"latents_mean": known["Wan 2.2 TI2V"]["latents_mean"]})
    assert wan22.weights.shape == (48, 3)
    assert len(known) == 3


def test_an_unknown_autoencoder_has_none():
    assert LatentColors.of({"latents_mean": [0.5] * 16}) is None
    assert LatentColors.of({}) is None


def test_the_picture_has_the_take_s_shape_and_its_colors():
    colors = LatentColors(torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 0]]), torch.tensor([0.0, 0.0, -1.0]))
    latents = torch.zeros(3, 60, 104)
    latents[0], latents[1, :, 52:] = 0.5, -1.0
    picture = colors.picture(latents)
    assert picture.shape == (222, SIDE, 3) and picture.dtype == np.uint8
    assert picture[100, 50].tolist() == [191, 128, 0] and picture[100, 350].tolist() == [191, 0, 0]
    assert colors.picture(torch.full((3, 104, 60), 9.0)).shape == (SIDE, 222, 3)
