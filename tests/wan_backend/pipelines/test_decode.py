"""Streaming decode: equal to the autoencoder's own, small steps, stoppable, no trace left."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.decode import decode, denormalize
from wan_backend.pipelines.stopping import Stopped


@pytest.fixture(scope="module")
def vae(t2v_folder):
    return WanModel(t2v_folder, torch.device("cpu")).vae


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn(1, 16, 4, 6, 8, generator=torch.Generator().manual_seed(3))


def whole(vae, latents) -> np.ndarray:
    with torch.no_grad():
        pictures = vae.decode(denormalize(vae, latents)).sample[0]
    return ((pictures + 1) * 127.5).permute(1, 2, 3, 0).numpy()


def test_it_equals_the_decode_of_the_whole(vae, latents):
    pieces = list(decode(vae, latents))
    assert [piece.shape for piece in pieces] == [(1, 48, 64, 3)] + 3 * [(4, 48, 64, 3)]
    assert all(piece.dtype == np.uint8 for piece in pieces)
    frames, expected = np.concatenate(pieces), whole(vae, latents)
    assert expected.std() > 20
    assert np.abs(frames - expected).max() <= 0.5 + 1e-2


def test_two_decodes_give_the_same_bits_also_after_one_was_left_in_the_middle(vae, latents):
    first = np.concatenate(list(decode(vae, latents)))
    left = decode(vae, latents)
    next(left)
    next(left)
    left.close()
    assert vae._feat_map == [None] * len(vae._feat_map)
    assert np.array_equal(np.concatenate(list(decode(vae, latents))), first)


def test_it_stops_within_a_latent_frame_and_leaves_no_hooks(vae, latents):
    checks = []

    def should_stop() -> bool:
        checks.append(1)
        return len(checks) > 4

    with pytest.raises(Stopped):
        list(decode(vae, latents, should_stop))
    assert len(checks) == 5
    assert not any(module._forward_pre_hooks for module in vae.modules())
    assert vae._feat_map == [None] * len(vae._feat_map)


def test_gradients_are_as_they_were_between_the_pieces(vae, latents):
    for _piece in decode(vae, latents):
        assert torch.is_grad_enabled()
