"""The tiny autoencoder: the published files' keys and shapes, the arithmetic by hand, streamed as the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from tests.wan_backend.pipelines import tiny_files
from wan_backend.pipelines.stopping import Stopped
from wan_backend.pipelines.tiny_decoder import TinyDecoder, decode, load
from wan_backend.protocol.errors import Refusal

CPU = torch.device("cpu")
KINDS = [(16, 1), (48, 2)]


def latents(channels: int, frames: int = 4) -> torch.Tensor:
    return torch.randn(1, channels, frames, 4, 6, generator=torch.Generator().manual_seed(5)) * 2


def by_hand(weights: dict[str, torch.Tensor], film: torch.Tensor, patch: int) -> torch.Tensor:
    """The published layers, one picture after another: (4 T - 3, 3, H, W)."""

    def conv(name: str, picture: torch.Tensor) -> torch.Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv2d(picture, weight, weights.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    memory: dict[int, torch.Tensor] = {}

    def walk(layer: int, picture: torch.Tensor) -> list[torch.Tensor]:
        if layer > 22:
            return [picture]
        if layer == 0:
            return walk(1, torch.tanh(picture / 3) * 3)
        if layer in (2, 21):
            return walk(layer + 1, picture.relu())
        if layer in (6, 12, 18):
            return walk(layer + 1, picture.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
        if layer in (7, 13, 19):
            spread = conv(f"decoder.{layer}.conv", picture).split(picture.shape[1], dim=1)
            return [made for each in spread for made in walk(layer + 1, each)]
        if f"decoder.{layer}.conv.0.weight" in weights:
            joined = torch.cat([picture, memory.get(layer, torch.zeros_like(picture))], dim=1)
            memory[layer] = picture
            hidden = conv(f"decoder.{layer}.conv.2", conv(f"decoder.{layer}.conv.0", joined).relu()).relu()
            return walk(layer + 1, (conv(f"decoder.{layer}.conv.4", hidden) + picture).relu())
        return walk(layer + 1, conv(f"decoder.{layer}", picture))

    pictures = [made for frame in film[0].unbind(1) for made in walk(0, frame[None])]
    return F.pixel_shuffle(torch.cat(pictures), patch).clamp(0, 1)[3:]


@pytest.mark.parametrize(("channels", "patch"), KINDS)
def test_it_has_the_published_files_keys_and_shapes(channels, patch):
    own = TinyDecoder(channels, tiny_files.WIDTHS, patch).state_dict()
    assert {key: tuple(value.shape) for key, value in own.items()} == tiny_files.shapes(channels, patch)
    if (
        channels == 16
    ):  # the published file: 11,315,539 numbers of 16 bit in 128 tensors, an encoder of 1,470,928 beside
        assert len(own) == 64 and sum(value.numel() for value in own.values()) == 11_315_539 - 1_470_928


@pytest.mark.parametrize(("channels", "patch"), KINDS)
def test_it_equals_the_layers_one_by_one(tmp_path, channels, patch):
    file = tmp_path / "tiny.safetensors"
    weights = tiny_files.weights(channels, patch)
    save_file(weights, file)
    film = latents(channels)
    pieces = list(decode(load(file, channels, CPU, torch.float32), film))
    side = 8 * patch
    assert [piece.shape for piece in pieces] == [(n, 4 * side, 6 * side, 3) for n in (1, 4, 4, 4)]
    expected = by_hand(weights, film, patch).permute(0, 2, 3, 1).numpy() * 255
    assert expected.std() > 20
    assert np.abs(np.concatenate(pieces) - expected).max() <= 0.5 + 1e-2


@pytest.mark.parametrize(("channels", "patch"), KINDS)
def test_streamed_equals_the_whole(tmp_path, channels, patch):
    decoder = load(tiny_files.write(tmp_path / "a.safetensors", channels, patch), channels, CPU, torch.float32)
    film = latents(channels, frames=6)
    whole = decoder(film[0].transpose(0, 1), [None] * 9)[3:]
    streamed = np.concatenate(list(decode(decoder, film)))
    assert np.abs(streamed - whole.permute(0, 2, 3, 1).numpy() * 255).max() <= 0.5 + 1e-2
    again = np.concatenate(list(decode(decoder, film[:, :, :3])))
    assert np.array_equal(
        again, streamed[: len(again)]
    )  # nothing is left of the film before, nothing needs what follows


def test_a_layer_that_spreads_more_than_is_wanted_gives_its_last_pictures(tmp_path):
    plain, wide = tiny_files.weights(), tiny_files.weights()
    wide["decoder.7.conv.weight"] = torch.cat([torch.randn(8, 8, 1, 1), plain["decoder.7.conv.weight"]])
    made = []
    for name, weights in (("plain", plain), ("wide", wide)):
        save_file(weights, tmp_path / name)
        made.append(np.concatenate(list(decode(load(tmp_path / name, 16, CPU, torch.float32), latents(16)))))
    assert np.array_equal(*made)


def test_it_stops_within_a_latent_frame_and_leaves_no_hooks(tmp_path):
    decoder = load(tiny_files.write(tmp_path / "a.safetensors"), 16, CPU, torch.float32)
    checks = []

    def should_stop() -> bool:
        checks.append(1)
        return len(checks) > 4

    with pytest.raises(Stopped):
        list(decode(decoder, latents(16), should_stop))
    assert len(checks) == 5
    assert not any(module._forward_pre_hooks for module in decoder.modules())


@pytest.mark.parametrize("wrong", ["absent", "cut", "other latents", "missing", "shape", "huge"])
def test_a_file_that_is_none_is_said(tmp_path, wrong):
    file = tiny_files.write(tmp_path / "a.safetensors")
    weights = tiny_files.weights()
    if wrong == "absent":
        file.unlink()
    elif wrong == "cut":
        file.write_bytes(file.read_bytes()[:-10])
    elif wrong == "missing":
        del weights["decoder.9.conv.2.bias"]
        save_file(weights, file)
    elif wrong == "shape":
        weights["decoder.14.weight"] = torch.zeros(5, 6, 3, 3)
        save_file(weights, file)
    elif wrong == "huge":  # the first layer alone says how wide the others are
        weights["decoder.3.conv.0.weight"] = torch.zeros(60_000, 1)
        save_file(weights, file)
    with pytest.raises(Refusal, match=r"a\.safetensors can't be loaded .*; download it again, or remove it\."):
        load(file, 48 if wrong == "other latents" else 16, CPU, torch.float32)
