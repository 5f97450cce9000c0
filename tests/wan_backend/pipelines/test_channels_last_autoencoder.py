"""The autoencoder channels last: diffusers' numbers, the same bits in any chunks, and diffusers' forward if it fails.

It runs on the CPU here, where torch does what Triton's kernels do on a card.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan

from wan_backend.loading.kernel_trials import KernelTrials
from wan_backend.pipelines import (
    channel_norm,
    channels_last_autoencoder,
    channels_last_convolutions,
    channels_last_film,
)
from wan_backend.pipelines.channels_last_autoencoder import FilmPass
from wan_backend.pipelines.decode import decode, denormalize
from wan_backend.pipelines.encode import Film, encode
from wan_backend.pipelines.stopping import Stopped
from wan_backend.pipelines.transfers import NoPictures, ahead

WAN_2_2 = {
    "base_dim": 4, "decoder_base_dim": 8, "num_res_blocks": 1, "z_dim": 48, "is_residual": True, "patch_size": 2,
    "in_channels": 12, "out_channels": 12, "scale_factor_spatial": 16,
    "latents_mean": 48 * [0.0], "latents_std": 48 * [1.0],
}  # fmt: skip
FORMS = {"2.1": {"base_dim": 6, "num_res_blocks": 1}, "2.1, filled up": {"base_dim": 12, "num_res_blocks": 1}}
FORMS["2.2"] = WAN_2_2
LATENT_FRAMES, HEIGHT, WIDTH = 4, 3, 4


@pytest.fixture(scope="module", params=list(FORMS))
def made(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoencoderKLWan(**FORMS[request.param]).eval().requires_grad_(False)


@pytest.fixture
def vae(made, monkeypatch):
    monkeypatch.setattr(channels_last_autoencoder, "is_suitable", lambda vae: not getattr(vae, "runs_plainly", False))
    if made.config.base_dim == 12:
        monkeypatch.setattr(channels_last_convolutions, "CHANNEL_STEP", 16)  # so that 12 and 24 become 16 and 32
    yield made
    for name in ("runs_plainly", "chunk_latents", "tile_pixels"):
        if hasattr(made, name):
            delattr(made, name)
    channels_last_autoencoder.restore_layout(made)


@pytest.fixture
def latents(vae) -> torch.Tensor:
    shape = (1, vae.config.z_dim, LATENT_FRAMES, HEIGHT, WIDTH)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def film(vae) -> Film:
    generator, side = np.random.default_rng(0), vae.config.scale_factor_spatial
    height, width = HEIGHT * side, WIDTH * side
    pictures = {n: generator.integers(0, 256, (height, width, 3), np.uint8) for n in range(11)}
    return Film(4 * LATENT_FRAMES - 3, width, height, pictures)


def in_chunks(vae, latents: torch.Tensor, most: int) -> torch.Tensor:
    channels_last_autoencoder.use_channels_last(vae)
    course, hidden = FilmPass(vae), vae.post_quant_conv(latents)
    pieces = [course.decode(hidden[:, :, :1])]
    course.compact()
    return torch.cat(
        [*pieces, *(course.decode(hidden[:, :, chunk]) for chunk in channels_last_film.chunks(LATENT_FRAMES, most)[1:])]
    )


def plainly(vae, monkeypatch) -> None:
    monkeypatch.setattr(channels_last_autoencoder, "is_suitable", lambda _vae: False)


def test_it_gives_diffusers_pictures_and_the_same_bits_in_any_chunks(vae, latents):
    expected = vae.decode(latents).sample[0].permute(1, 2, 3, 0)
    one_by_one = in_chunks(vae, latents, 1)
    assert (one_by_one.clamp(-1, 1) - expected).abs().max() < 1e-4 and expected.std() > 0.1
    assert all(torch.equal(in_chunks(vae, latents, most), one_by_one) for most in (2, 3))


def test_it_gives_diffusers_latents_and_the_same_bits_in_any_chunks(vae, film):
    expected = vae.encode(film.pixels(0, film.frames)).latent_dist.mode()
    found = []
    for vae.chunk_latents in (1, 2, 3):
        found.append(encode(vae, film))
    assert (denormalize(vae, found[0]) - expected).abs().max() < 1e-4 and expected.std() > 0.1
    assert all(torch.equal(latents, found[0]) for latents in found)


@pytest.mark.parametrize("tiles", [0, 64])
def test_a_film_is_the_plain_ones_to_a_rounding(vae, latents, monkeypatch, tiles):
    vae.tile_pixels, vae.chunk_latents = tiles, 2
    pieces = list(decode(vae, latents))
    assert [len(piece) for piece in pieces] == [1, 4, 4, 4] and pieces[0].dtype == np.uint8
    plainly(vae, monkeypatch)
    error = np.concatenate(pieces).astype(np.int16) - np.concatenate(list(decode(vae, latents)))
    assert np.abs(error).max() <= 1 and (error != 0).mean() < 1e-3


@pytest.mark.parametrize("fails_at", [1, 3])
def test_where_it_fails_diffusers_forward_takes_over_from_the_next_picture(vae, latents, monkeypatch, fails_at):
    calls, real = [], FilmPass.decode

    def failing(course, hidden):
        calls.append(1)
        if len(calls) == fails_at:
            raise RuntimeError("no kernel")
        return real(course, hidden)

    monkeypatch.setattr(FilmPass, "decode", failing)
    pieces = list(decode(vae, latents))
    assert [len(piece) for piece in pieces] == [1, 4, 4, 4] and len(calls) == fails_at
    list(decode(vae, latents))
    assert len(calls) == fails_at  # from then on it isn't tried
    assert all(module.weight.is_contiguous() for module in vae.modules() if isinstance(module, torch.nn.Conv3d))


def test_running_out_of_memory_is_raised(vae, latents, film, monkeypatch):
    def spent(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(FilmPass, "decode", spent)
    monkeypatch.setattr(FilmPass, "encode", spent)
    for work in (lambda: list(decode(vae, latents)), lambda: encode(vae, film)):
        with pytest.raises(torch.OutOfMemoryError):
            work()
    assert not hasattr(vae, "runs_plainly")


def test_infinite_numbers_are_no_pictures(vae, latents):
    latents[:, :, 2] = float("inf")
    pieces = decode(vae, latents)
    assert len(next(pieces)) == 1
    with pytest.raises(NoPictures):
        list(pieces)


@pytest.mark.parametrize("tiles", [0, 64])
def test_it_stops_within_a_chunk_and_leaves_no_thread(vae, latents, tiles):
    vae.tile_pixels, checks = tiles, []

    def should_stop() -> bool:
        checks.append(1)
        return len(checks) > 25

    with pytest.raises(Stopped):
        list(decode(vae, latents, should_stop))
    assert len(checks) == 26
    left = decode(vae, latents)
    next(left)
    left.close()
    assert not any(thread.name == "ahead" for thread in threading.enumerate())


def test_chunks_are_alike_and_the_first_is_one_frame():
    lengths = [
        [chunk.stop - chunk.start for chunk in channels_last_film.chunks(frames, 4)] for frames in (1, 2, 7, 21, 31)
    ]
    assert lengths == [[1], [1, 1], [1, 3, 3], [1, 4, 4, 4, 4, 4], [1, 3, 4, 4, 4, 3, 4, 4, 4]]


def test_what_a_thread_makes_comes_in_its_turn_and_so_does_its_error():
    def items():
        yield from range(3)
        raise ValueError("no fourth")

    found = []
    with pytest.raises(ValueError, match="no fourth"):
        found.extend(ahead(items()))
    assert list(ahead(iter_of(5))) == list(range(5))


def iter_of(count):
    yield from range(count)


def test_a_norm_in_one_pass_is_torchs():
    generator = torch.Generator().manual_seed(0)
    value, more = (torch.randn(2, 3, 4, 6, generator=generator) for _ in range(2))
    bias, gamma = torch.randn(6, generator=generator), torch.rand(6, generator=generator)
    total, normed = torch.empty_like(value), torch.full((2, 3, 4, 8), 7.0)
    channel_norm.add_and_normalize(value, more, bias, total=total, gamma=gamma, normed=normed)
    expected = torch.nn.functional.silu(torch.nn.functional.normalize(value + more + bias, dim=-1) * gamma)
    assert torch.allclose(total, value + more + bias) and torch.allclose(normed[..., :6], expected)
    assert normed[..., 6:].eq(0).all()


def test_frames_are_upsampled_as_diffusers_does_it():
    source, bias = torch.randn(2, 3, 4, 10), torch.randn(10)
    large = channel_norm.upsample(source, bias, 2)
    halves = (source + bias).view(2, 3, 4, 2, 5).permute(0, 3, 4, 1, 2).reshape(4, 5, 3, 4)
    expected = torch.nn.functional.interpolate(halves, scale_factor=2.0, mode="nearest-exact").permute(0, 2, 3, 1)
    assert torch.equal(large, expected)


def test_a_compiler_that_took_processes_down_is_not_started_again(tmp_path, monkeypatch):
    findings, device = tmp_path / "kernels.json", torch.device("cpu", 7)
    compiled, started = [], []

    def started_thread(target, args, **_more):
        started.append(args)
        return SimpleNamespace(start=lambda: target(*args))

    monkeypatch.setattr(channel_norm.threading, "Thread", started_thread)
    monkeypatch.setattr(channel_norm, "_compiled", lambda *given: compiled.append(given) or {"ms": 1.0})
    monkeypatch.setattr(channel_norm, "_given_up", set())
    channel_norm._compile.cache_clear()
    channel_norm.compile_ahead(device, [(96, 128)], findings)
    channel_norm.compile_ahead(device, [(96, 128)], findings)
    assert len(compiled) == 1 and not channel_norm._given_up
    KernelTrials(findings).record_failure(started[0][0], "the process ended while it was tried")
    channel_norm.compile_ahead(device, [(96, 128)], findings)
    assert len(started) == 2 and channel_norm._given_up == {device}
