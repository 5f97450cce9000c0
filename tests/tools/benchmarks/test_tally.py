"""What holds on any card, of the full-size autoencoders: kernels, copies, waits and memory, counted without a weight.

On torch's device "meta", which has shapes and no numbers: a full-size film takes a second. A rise here is a slower or
larger decode on every card; the bounds are what there is today and a little more.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from diffusers import AutoencoderKLWan

from tools.benchmarks.tally import Tally, tallied
from wan_backend.bench.random_weights import VAE_2_2
from wan_backend.memory.needs import FIXED_BYTES, HiddenStates, VideoShape, calculate
from wan_backend.pipelines import channels_last_autoencoder
from wan_backend.pipelines.channels_last_autoencoder import FilmPass

FORMS = {"2.1": ({}, 832, 480, 96, 16), "2.2": (VAE_2_2, 1280, 704, 64, 32)}
LATENT_FRAMES = 9


@cache  # the same film is counted in several ways
def course(way: str, form: str, at_once: int) -> tuple[Tally, float]:
    """What a film of 33 pictures takes, `at_once` latent frames at once, and the bytes of four full-size frames."""
    config, width, height, channels, _token = FORMS[form]
    with torch.device("meta"):
        vae = AutoencoderKLWan(**config).bfloat16().eval().requires_grad_(False)
        side = vae.config.scale_factor_spatial
        hidden = torch.empty(1, vae.config.z_dim, LATENT_FRAMES, height // side, width // side, dtype=torch.bfloat16)
        pixels = torch.empty(4 * LATENT_FRAMES - 3, height, width, 3, dtype=torch.bfloat16)
    channels_last_autoencoder.use_channels_last(vae)
    with tallied() as tally:
        film = FilmPass(vae)
        if way == "decode":
            film.decode(hidden[:, :, :1])
            film.compact()
            for start in range(1, LATENT_FRAMES, at_once):
                film.decode(hidden[:, :, start : start + at_once])
        else:
            film.encode(pixels[:1])
            film.compact()
            for start in range(1, len(pixels), 4 * at_once):
                film.encode(pixels[start : start + 4 * at_once])
    return tally, 4 * width * height * channels * 2


@pytest.mark.parametrize("at_once", [1, 2, 4])
@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("way", ["decode", "encode"])
def test_the_memory_that_is_alive_fits_the_estimate_with_room_for_what_an_allocator_wastes(way, form, at_once):
    _config, width, height, channels, token = FORMS[form]
    video, states = VideoShape(width, height, 17, token), HiddenStates(64, channels, 2, 2, vae_channels_last=True)
    estimated = calculate({}, states, video).decode_in(0, at_once) - FIXED_BYTES
    alive = course(way, form, at_once)[0].peak_bytes
    assert 1.15 * alive < estimated
    assert way == "encode" or estimated < 1.4 * alive


@pytest.mark.parametrize("form", list(FORMS))
def test_nothing_waits_for_the_device(form):
    assert course("decode", form, 4)[0].waits == course("encode", form, 4)[0].waits == 0


@pytest.mark.parametrize(
    ("way", "form", "convolutions", "passes"),
    [
        ("decode", "2.1", 313, 315),
        ("decode", "2.2", 313, 315),
        ("encode", "2.1", 241, 243),
        ("encode", "2.2", 241, 250),
    ],
)
def test_each_convolution_is_one_kernel_and_what_stands_between_another(way, form, convolutions, passes):
    kernels = course(way, form, 4)[0].kernels
    assert kernels["convolution"] <= convolutions and kernels["add_and_normalize"] <= passes
    # Beside them: what convolutions remember, put in its place and kept, and what is joined of pieces.
    assert kernels["constant_pad_nd"] + kernels["cat"] < 60


def test_more_at_once_copies_less_of_what_is_remembered():
    copied = [course("decode", "2.1", at_once)[0].kernels["copy_"] for at_once in (1, 4)]
    assert copied[1] < 0.4 * copied[0]
