"""A forward in chunks gives what diffusers' own gives, for every kind of transformer, and holds less at once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel, WanVACETransformer3DModel

from wan_backend.loading import chunked_forward

SIZE: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 16,
    "freq_dim": 16,
    "ffn_dim": 48,
    "num_layers": 3,
    "rope_max_seq_len": 32,
}
KINDS = {
    "text": (WanTransformer3DModel, {}),
    "pictures": (WanTransformer3DModel, {"image_dim": 8, "added_kv_proj_dim": 24}),
    "control": (WanVACETransformer3DModel, {"vace_layers": [0, 2], "vace_in_channels": 6}),
}
SEVEN_TOKENS = 7 * 48 * 4
"""Bytes of the feed-forward's middle: 48 tokens become seven chunks."""


def made(kind: str) -> Any:
    torch.manual_seed(0)
    of, more = KINDS[kind]
    module = of(**SIZE, **more).eval().requires_grad_(False)
    for weight in module.parameters():
        weight.data.add_(torch.randn_like(weight) * 0.05)
    return module


def asked(kind: str, *, timed: bool = False) -> dict[str, Any]:
    torch.manual_seed(1)
    inputs: dict[str, Any] = {
        "hidden_states": torch.randn(1, 4, 3, 8, 8),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 512, 16),
        "return_dict": False,
    }
    if timed:
        inputs["timestep"] = torch.cat([torch.zeros(1, 16), torch.full((1, 32), 700.0)], dim=1)
    if kind == "pictures":
        inputs["encoder_hidden_states_image"] = torch.randn(1, 5, 8)
    if kind == "control":
        inputs["control_hidden_states"] = torch.randn(1, 6, 3, 8, 8)
    return inputs


@pytest.mark.parametrize("kind", list(KINDS))
def test_in_one_chunk_it_is_diffusers_own_to_the_bit(kind):
    own = made(kind)
    lean = copy.deepcopy(own)
    chunked_forward.make_chunked(lean)
    assert torch.equal(lean(**asked(kind))[0], own(**asked(kind))[0])


@pytest.mark.parametrize(
    ("kind", "timed"),
    [("text", False), ("text", True), ("pictures", False), ("pictures", True), ("control", False)],
)
def test_in_several_chunks_it_is_the_same_but_for_rounding(kind, timed):
    own = made(kind)
    lean = copy.deepcopy(own)
    chunked_forward.make_chunked(lean, chunk_bytes=SEVEN_TOKENS)
    expected = own(**asked(kind, timed=timed))[0]
    assert (lean(**asked(kind, timed=timed))[0] - expected).abs().max() < 1e-6 * expected.abs().max()


def test_the_chunks_are_about_alike_and_none_is_larger_than_allowed():
    hidden = torch.empty(1, 48, 24)
    sizes = [chunk.stop - chunk.start for chunk in chunked_forward._chunks(hidden, 48, SEVEN_TOKENS)]
    assert sum(sizes) == 48 and max(sizes) <= 7 and max(sizes) - min(sizes[:-1]) <= 1


def test_the_feed_forward_sees_a_chunk_at_a_time():
    lean = made("text")
    chunked_forward.make_chunked(lean, chunk_bytes=SEVEN_TOKENS)
    seen = []
    lean.blocks[0].ffn.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].shape[1]))
    lean(**asked("text"))
    assert len(seen) == 7 and sum(seen) == 48


def test_the_hints_of_the_control_are_made_as_they_are_wanted():
    lean = made("control")
    chunked_forward.make_chunked(lean)
    order = []
    for name, blocks in (("block", lean.blocks), ("control", lean.vace_blocks)):
        for number, block in enumerate(blocks):
            said = f"{name} {number}"
            block.register_forward_pre_hook(lambda _module, _inputs, said=said: order.append(said))
    lean(**asked("control"))
    assert order == ["block 0", "control 0", "block 1", "block 2", "control 1"]


def test_to_make_it_lean_twice_changes_nothing():
    lean = made("text")
    chunked_forward.make_chunked(lean)
    first = lean(**asked("text"))[0]
    chunked_forward.make_chunked(lean)
    assert torch.equal(lean(**asked("text"))[0], first)


def spans(*shares: tuple[tuple[int, float], ...]) -> list[chunked_forward.PromptSpan]:
    """One for each latent frame."""
    return [chunked_forward.PromptSpan(frame, frame + 1, each) for frame, each in enumerate(shares)]


def of_two_prompts(kind: str, *shares: tuple[tuple[int, float], ...]) -> dict[str, Any]:
    """The inputs of `asked` with a second prompt."""
    inputs = asked(kind)
    words = torch.cat([inputs["encoder_hidden_states"], torch.randn(1, 512, 16)])
    return {**inputs, "encoder_hidden_states": words, "spans": spans(*shares)}


@pytest.mark.parametrize("chunk_bytes", [None, SEVEN_TOKENS])
@pytest.mark.parametrize("kind", list(KINDS))
def test_prompts_that_are_equal_at_all_times_are_one_prompt_but_for_rounding(kind, chunk_bytes):
    lean = made(kind)
    chunked_forward.make_chunked(lean, chunk_bytes=chunk_bytes)
    expected = lean(**asked(kind))[0]
    inputs = of_two_prompts(kind, ((0, 1.0),), ((0, 0.25), (1, 0.75)), ((1, 1.0),))
    inputs["encoder_hidden_states"] = asked(kind)["encoder_hidden_states"].expand(2, -1, -1)
    assert (lean(**inputs)[0] - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_latent_frame_reads_its_own_prompt(kind):
    """A block without self-attention shows it: frame by frame, it gives what one prompt for all gives there."""
    lean = made(kind)
    for block in [*lean.blocks, *getattr(lean, "vace_blocks", ())]:
        block.attn1.to_out[0].weight.zero_()
    chunked_forward.make_chunked(lean, chunk_bytes=SEVEN_TOKENS)
    inputs = of_two_prompts(kind, ((0, 1.0),), ((0, 0.5), (1, 0.5)), ((1, 1.0),))
    words = inputs["encoder_hidden_states"]
    relayed = lean(**inputs)[0]
    first, second = (
        lean(**{**asked(kind), "encoder_hidden_states": words[number : number + 1]})[0] for number in (0, 1)
    )
    assert (relayed[:, :, 0] - first[:, :, 0]).abs().max() < 1e-5
    assert (relayed[:, :, 2] - second[:, :, 2]).abs().max() < 1e-5
    assert (relayed[:, :, 1] - first[:, :, 1]).abs().max() > 1e-3 < (relayed[:, :, 1] - second[:, :, 1]).abs().max()
