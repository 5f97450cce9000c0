"""The whole-clip pass that trains the autoencoder equals diffusers' own chunked one."""

import pytest
import torch
from diffusers import AutoencoderKLWan

from tools.embedded_model import autoencoder


@pytest.mark.parametrize("frames", [1, 5, 13])
def test_whole_clip_equals_chunks(frames: int) -> None:
    torch.manual_seed(0)
    config = {**autoencoder.CONFIG, "base_dim": 8, "decoder_base_dim": 8}
    vae = AutoencoderKLWan(**config).eval()
    clip = torch.rand(1, 3, frames, 32, 48) * 2 - 1
    whole = autoencoder.WholeClip(vae)
    with torch.no_grad():
        latents = vae.encode(clip).latent_dist.mode()
        mean, _ = whole.encode(clip)
        assert torch.allclose(mean, latents, atol=1e-5)
        decoded = vae.decode(latents).sample
        assert torch.allclose(whole.decode(latents).clamp(-1, 1), decoded, atol=1e-5)
