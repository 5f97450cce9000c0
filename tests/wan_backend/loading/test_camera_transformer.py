"""The transformer that a camera steers computes what the published one does, from the same weights and camera.

`camera_numbers.json` has what VideoX-Fun's WanTransformer3DModel gave (aigc-apps/VideoX-Fun, commit 804a4258) with the
weights and inputs that are made here by a formula, in float32 on a processor; of the rays, what its process_pose_params
gave for the same cameras. Of each, every few numbers.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import pytest
import torch

from wan_backend.loading import block_offload, camera_transformer, chunked_forward, devices
from wan_backend.loading.camera_transformer import WanCameraTransformer3DModel

KNOWN = json.loads((Path(__file__).parent / "camera_numbers.json").read_text("utf-8"))
HEADS, HEAD, TEXT, FRAMES, WIDTH, HEIGHT = 2, 12, 16, 9, 64, 48
EVERY = 11
SEEING = {"image_dim": 1280, "added_kv_proj_dim": HEADS * HEAD}
KINDS = {"wan2.1": {"in_channels": 32, **SEEING}, "wan2.2": {"in_channels": 36}}


def made(name: str, shape: tuple[int, ...], scale: float = 1.0) -> torch.Tensor:
    """Numbers from -scale to scale that depend on the name and their place alone."""
    count = torch.arange(math.prod(shape), dtype=torch.int64)
    mixed = (count * 2_654_435_761 + zlib.crc32(name.encode())) % (1 << 32)
    mixed = (mixed ^ (mixed >> 13)) * 1_597_334_677 % (1 << 32)
    return ((mixed.double() / (1 << 31) - 1) * scale).float().view(shape)


def weight(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    if "norm" in name and name.endswith("weight"):
        return 1 + made(name, shape, 0.2)
    inputs = math.prod(shape[1:])
    return made(name, shape, 0.2 if len(shape) == 1 else 1.5 / inputs**0.5)


def cameras() -> list[list[float]]:
    """A camera that turns, moves and zooms, far from the origin."""
    found = []
    for frame in range(FRAMES):
        turn, tilt = 0.4 + 0.05 * frame, 0.1 - 0.02 * frame
        c, s, ct, st = math.cos(turn), math.sin(turn), math.cos(tilt), math.sin(tilt)
        rows = [[c, s * st, s * ct], [0.0, ct, -st], [-s, c * st, c * ct]]
        place = (5.0 + 0.2 * frame, -3.0 + 0.1 * frame**1.5, 2.0 - 0.15 * frame)
        numbers = [number for row, at in zip(rows, place, strict=True) for number in (*row, at)]
        focal = 0.7 + 0.03 * frame
        found.append([*numbers, focal, focal * WIDTH / HEIGHT, 0.5 + 0.01 * frame, 0.5 - 0.02 * frame])
    return found


def grouped(frames: list[list[float]]) -> torch.Tensor:
    """(1, 16, T, 4): the first camera four times."""
    every = torch.tensor([frames[0]] * 3 + frames, dtype=torch.float32)
    return every.view(-1, 4, 16).permute(2, 0, 1).unsqueeze(0)


def inputs(kind: str) -> dict[str, torch.Tensor]:
    config, latents = KINDS[kind], ((FRAMES - 1) // 4 + 1, HEIGHT // 8, WIDTH // 8)
    found = {
        "hidden_states": made("latents", (1, config["in_channels"], *latents)),
        "timestep": torch.tensor([637.0]),
        "encoder_hidden_states": made("text", (1, 512, TEXT)),
    }
    return found | ({"encoder_hidden_states_image": made("seen", (1, 257, 1280))} if "image_dim" in config else {})


def transformer(kind: str) -> WanCameraTransformer3DModel:
    model = WanCameraTransformer3DModel(
        num_attention_heads=HEADS,
        attention_head_dim=HEAD,
        text_dim=TEXT,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        **KINDS[kind],
    )
    state = {name: weight(name, tuple(value.shape)) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    chunked_forward.make_chunked(model.eval())
    return model


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_its_flow_is_the_published_ones(kind) -> None:
    model, given = transformer(kind), inputs(kind)

    flow = model(**given, cameras=grouped(cameras()))[0]

    known = torch.tensor(KNOWN[kind])
    assert known.abs().max() > 0.5
    torch.testing.assert_close(flow.flatten()[::EVERY], known, atol=1e-4, rtol=0)
    without = model(**given)[0].flatten()[::EVERY]
    assert (without - known).abs().max() > 0.1, "the camera changes nothing"


def test_the_rays_are_the_published_ones() -> None:
    poses, lenses = camera_transformer.relative(grouped(cameras())[0].permute(1, 2, 0))

    rays = camera_transformer.plucker_rays(poses.flatten(0, 1)[3:], lenses.flatten(0, 1)[3:], WIDTH, HEIGHT)

    known = torch.tensor(KNOWN["rays"])
    torch.testing.assert_close(rays.permute(0, 2, 3, 1).flatten()[::1009], known, atol=2e-6, rtol=0)


def test_on_apples_cards_32_bit_do(monkeypatch) -> None:
    given = grouped(cameras())[0].permute(1, 2, 0)
    given[..., 3:12:4] -= given[0, 0, 3:12:4].clone()  # as the conditions are
    wide, _ = camera_transformer.relative(given)
    narrow = devices.widest_format(torch.device("mps"))
    monkeypatch.setattr(devices, "widest_format", lambda _: narrow)
    assert narrow is torch.float32
    torch.testing.assert_close(camera_transformer.relative(given)[0], wide, atol=1e-6, rtol=0)


@torch.no_grad()
def test_only_the_way_from_the_first_camera_counts() -> None:
    model, given = transformer("wan2.2"), inputs("wan2.2")
    here = model(**given, cameras=grouped(cameras()))[0]
    turned = [_seen_from_elsewhere(camera) for camera in cameras()]

    there = model(**given, cameras=grouped(turned))[0]

    torch.testing.assert_close(there, here, atol=1e-4, rtol=0)


def _seen_from_elsewhere(camera: list[float]) -> list[float]:
    """The same camera in a scene that is turned by 90 degrees and moved."""
    rows = [camera[start : start + 4] for start in (0, 4, 8)]
    x, y, z = rows
    turned = [[-number for number in y], x, z]
    for row, by in zip(turned, (3.0, -7.0, 11.0), strict=True):
        row[3] += by
    return [*(number for row in turned for number in row), *camera[12:]]


@torch.no_grad()
@pytest.mark.parametrize("chunk_bytes", [600, 1 << 20])
def test_shares_of_the_tokens_give_the_same(chunk_bytes) -> None:
    model, given = transformer("wan2.1"), inputs("wan2.1")
    whole = model(**given, cameras=grouped(cameras()))[0]
    chunked_forward.make_chunked(model, chunk_bytes=chunk_bytes)

    torch.testing.assert_close(model(**given, cameras=grouped(cameras()))[0], whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_its_adapter_is_on_the_card_while_blocks_visit_it() -> None:
    model, given = transformer("wan2.2"), inputs("wan2.2")
    whole = model(**given, cameras=grouped(cameras()))[0]

    offload = block_offload.BlockOffload(model, list(model.blocks), torch.device("cpu"), ())
    offload.enter()

    assert {id(weight) for weight in model.control_adapter.parameters()} <= {id(each) for each in offload.outside()}
    assert torch.equal(model(**given, cameras=grouped(cameras()))[0], whole)


@torch.no_grad()
def test_what_a_camera_adds_is_computed_once_in_a_take(monkeypatch) -> None:
    model, given, shown = transformer("wan2.1"), inputs("wan2.1"), grouped(cameras())
    later = {**given, "timestep": torch.tensor([311.0])}
    known = [model(**each, cameras=shown)[0] for each in (given, later)]
    asked = []
    rays = camera_transformer.plucker_rays
    monkeypatch.setattr(camera_transformer, "plucker_rays", lambda *what: asked.append(1) or rays(*what))

    with camera_transformer.computed_once(model):
        made = [model(**each, cameras=shown)[0] for each in (given, later)]
        elsewhere = model(**later, cameras=shown.clone())[0]  # as the other branch of guidance has it on another card
        assert len(asked) == 3, "one for each latent frame"
        others = shown.flip(2)
        turned = model(**given, cameras=others)[0]
        assert len(asked) == 6

    assert all(map(torch.equal, [*made, elsewhere], [*known, known[1]]))
    assert model.control_adapter.kept is None, "no memory is held after the take"
    assert torch.equal(model(**given, cameras=others)[0], turned) and not torch.equal(turned, known[0])
    assert len(asked) == 9 and model.control_adapter.kept is None
