"""Edits compute what Bernini-R's own program computes: the numbers here were made by that, with these very weights.

Its program (github.com/bytedance/Bernini, June 2026) ran on a processor in float32, on a transformer of the sizes of
`SIZES`; weights and latents are sines, so that nothing but numbers is needed to make them again. The largest difference
between the two, over all numbers, was 4e-6.
"""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import WanTransformer3DModel

from wan_backend.loading import chunked_forward, devices
from wan_backend.loading.source_tokens import MOST_SOURCES, rotary_with
from wan_backend.pipelines import source_guidance
from wan_backend.pipelines.conditions import Conditions
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.pipelines.windows import plan_windows

SIZES = {
    "num_attention_heads": 2, "attention_head_dim": 24, "text_dim": 32, "freq_dim": 32, "ffn_dim": 96, "num_layers": 2,
    "rope_max_seq_len": 64,
}  # fmt: skip
PLACES = [(0, 0, 0, 0, 0), (0, 3, 1, 5, 7), (0, 15, 2, 7, 11), (0, 8, 0, 2, 9)]
FLOWS = {
    0: [-0.08481, -4.760219, -4.177177, 0.883644],
    1: [-0.08562, -4.766148, -4.186783, 0.884817],
    2: [-0.08662, -4.785467, -4.29793, 0.885488],
    3: [-0.08861, -4.819081, -4.428198, 0.88756],
}
"""A forward pass at the time 731, by the number of sources: none, the footage, and one or two pictures too."""
TAKES = {
    1: [0.386751, 4.382156, 4.471046, -1.235355],
    2: [0.391804, 4.513558, 4.848388, -1.240577],
    3: [0.400182, 4.726387, 5.332076, -1.254124],
}
"""Four steps of UniPC at the shift 5 with the scale 4: by APG with footage alone, by the chain with pictures."""


def sines(shape: tuple[int, ...], number: int) -> torch.Tensor:
    places = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(places * 0.7310585 + number * 1.6180339).float().reshape(shape)


@pytest.fixture(scope="module")
def transformer():
    made = WanTransformer3DModel(**SIZES).eval().requires_grad_(False)
    for number, (name, weight) in enumerate(sorted(made.named_parameters())):
        values = sines(tuple(weight.shape), number)
        if weight.ndim > 1 and "attn1.to_" in name:
            values = values * 5  # so that it matters which tokens are near
        if name.endswith("weight") and weight.ndim == 1:
            weight.copy_(1 + 0.1 * values)
        elif weight.ndim > 1 and "table" not in name:
            weight.copy_(values * (1.4 / weight[0].numel() ** 0.5))
        else:
            weight.copy_(values * 0.3)
    chunked_forward.make_chunked(made, chunk_bytes=20_000)
    return made


SOURCES = [sines((1, 16, 3, 8, 12), 1), sines((1, 16, 1, 10, 6), 2), sines((1, 16, 1, 8, 14), 3)]
LATENTS = sines((1, 16, 3, 8, 12), 4) * 1.3
WORDS, NEGATIVE = sines((1, 512, 32), 5), sines((1, 512, 32), 6)


def at_places(made: torch.Tensor) -> list[float]:
    return [float(made[place]) for place in PLACES]


@pytest.mark.parametrize("count", FLOWS)
def test_a_forward_pass_is_that_of_the_makers(transformer, count):
    made = transformer(LATENTS, torch.tensor([731.0]), WORDS, sources=SOURCES[:count])[0]
    assert made.shape == LATENTS.shape
    assert at_places(made) == pytest.approx(FLOWS[count], abs=1e-4)


def conditions(count: int, latents: torch.Tensor = LATENTS) -> Conditions:
    return Conditions(WORDS, NEGATIVE, latents, sources=tuple(SOURCES[:count]))


@pytest.mark.parametrize("count", TAKES)
def test_steps_with_guidance_are_those_of_the_makers(transformer, count):
    made = denoise(transformer, make_scheduler({}, "unipc", 5.0), conditions(count), steps=4, guidance_scale=4.0)
    assert at_places(made) == pytest.approx(TAKES[count], abs=1e-4)


@pytest.mark.parametrize(("count", "scale", "calls"), [(1, 4.0, 2), (2, 4.0, 4), (3, 4.0, 4), (3, 1.0, 1)])
def test_each_step_runs_as_often_as_the_plan_counts(transformer, count, scale, calls):
    seen = []
    handle = transformer.register_forward_pre_hook(lambda _, __, named: seen.append(named), with_kwargs=True)
    try:
        denoise(transformer, make_scheduler({}, "unipc", 5.0), conditions(count), steps=2, guidance_scale=scale)
    finally:
        handle.remove()
    assert len(seen) == 2 * calls


def test_a_turn_of_positions_tells_the_sources_apart(transformer):
    rope = transformer.rope
    cos, sin = rotary_with(SOURCES, LATENTS, rope)
    own = rope(LATENTS)
    tokens = own[0].shape[1]
    assert torch.equal(cos[:, -tokens:], own[0]) and torch.equal(sin[:, -tokens:], own[1]), "the take isn't turned"
    angle = torch.atan2(sin[0, 0, 0, 0::2], cos[0, 0, 0, 0::2])  # the footage's first token, at the origin
    wanted = torch.tensor([10_000 ** (-2 * pair / 24) for pair in range(12)])
    assert torch.allclose(angle, wanted, atol=1e-6)
    second = SOURCES[0].shape[2] * 4 * 6
    angle = torch.atan2(sin[0, second, 0, 0::2], cos[0, second, 0, 0::2])
    assert torch.allclose(angle, 2 * wanted, atol=1e-6)
    with pytest.raises(ValueError, match="6 sources"):
        rotary_with([LATENTS] * (MOST_SOURCES + 1), LATENTS, rope)


def test_a_difference_is_limited_in_each_latent_frame_and_half_of_what_lies_along_is_used():
    latents, sigma = torch.zeros(1, 2, 2, 10, 10), 0.5
    towards = torch.zeros_like(latents)
    towards[:, 0] = -2.0  # estimates of 1 in the first channel
    away = towards.clone()
    away[:, 0, 0] = -1.8  # a small difference along the estimate, in the first frame alone
    away[:, 1, 1] = 100.0  # a large one across it, in the second
    made = source_guidance.projected(latents, sigma, away, towards, 4.0)
    along = 0.5 * (-0.2)
    assert torch.allclose(made[:, 0, 0], away[:, 0, 0] + 4 * along)
    norm = sigma * 100 * 10  # of a hundred places
    assert torch.allclose(made[:, 1, 1], away[:, 1, 1] - 4 * 100 * source_guidance.LIMIT / norm)


def test_on_apples_cards_the_projection_is_computed_in_32_bit(monkeypatch):
    latents, away, towards = (torch.randn(1, 4, 2, 3, 3, generator=torch.manual_seed(n)) for n in range(3))
    wide = source_guidance.projected(latents, 0.7, away, towards, 4.0)
    monkeypatch.setattr(devices, "widest_format", lambda _: torch.float32)
    torch.testing.assert_close(source_guidance.projected(latents, 0.7, away, towards, 4.0), wide, atol=1e-5, rtol=1e-5)


def test_a_long_edit_sees_the_footage_of_each_window(transformer):
    long = torch.cat([LATENTS, LATENTS * 0.7, LATENTS * 0.4], dim=2)
    footage = torch.cat([SOURCES[0], SOURCES[0] * 0.5, SOURCES[0] * 0.2], dim=2)
    whole = Conditions(WORDS, NEGATIVE, long, sources=(footage, SOURCES[1]))
    windows = plan_windows(long.shape[2], 7)
    assert len(windows) > 1
    for window in windows:
        cut = whole.cut(window)
        assert torch.equal(cut.sources[0], footage[:, :, window.start : window.end_exclusive])
        assert torch.equal(cut.sources[1], SOURCES[1])
    made = denoise(transformer, make_scheduler({}, "unipc", 5.0), whole, steps=2, guidance_scale=4.0, window=7)
    assert made.shape == long.shape and torch.isfinite(made).all()
