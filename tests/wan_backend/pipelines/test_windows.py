"""Windows cover everything, overlap enough, and agree."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.conditions import Conditions
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.pipelines.windows import Window, blended, plan_windows, section
from wan_backend.planning.lengths import WINDOW_OVERLAP


@given(st.integers(1, 800), st.integers(6, 40))
def test_a_plan_covers_everything_and_its_weights_add_up(frames, most):
    windows = plan_windows(frames, most)
    total = [0.0] * frames
    for window in windows:
        assert window.end_exclusive - window.start == len(window.weights) == min(frames, most)
        for place, weight in enumerate(window.weights, window.start):
            assert weight > 0
            total[place] += weight
    assert total == pytest.approx([1.0] * frames)
    for before, after in itertools.pairwise(windows):
        assert before.start < after.start <= before.end_exclusive - WINDOW_OVERLAP
    assert (
        len(windows) == 1 or len(windows) <= (frames - WINDOW_OVERLAP - 1) // (most - WINDOW_OVERLAP) + 1
    )  # none to spare


def test_two_windows_ramp_linearly_over_their_overlap():
    one, two = plan_windows(11, 8)
    assert (one.start, one.end_exclusive, two.start, two.end_exclusive) == (0, 8, 3, 11)
    assert one.weights == pytest.approx([1, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert two.weights == pytest.approx(one.weights[::-1])


@pytest.mark.parametrize("frames", [3, 8])
def test_what_fits_is_one_window(frames):
    assert plan_windows(frames, 8) == plan_windows(frames, 0) == [Window(0, frames, (1.0,) * frames)]


def test_windows_of_very_few_frames_still_end():
    windows = plan_windows(9, 3)
    assert windows[-1].end_exclusive == 9 and all(len(window.weights) == 3 for window in windows)


@pytest.mark.parametrize("references", [0, 1])
def test_a_model_that_looks_at_each_frame_alone_gives_the_same_in_windows(references):
    latents = torch.randn(1, 4, references + 30, 2, 2, generator=torch.Generator().manual_seed(1))
    windows = plan_windows(30, 12)
    assert len(windows) > 2
    whole = blended(latents, references, windows, lambda _n, part: 3 * part - 0.5)
    assert torch.allclose(whole, 3 * latents - 0.5, atol=1e-5)


def test_every_window_sees_the_references_and_its_own_frames():
    whole = torch.arange(12.0).view(1, 1, 12, 1, 1)
    assert section(whole, 2, Window(3, 6, (1.0,) * 3)).flatten().tolist() == [0, 1, 5, 6, 7]


class Linear(torch.nn.Module):
    """A transformer of which each frame depends on itself and its own control alone."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList()
        self.dtype = torch.float32
        self.frames: list[int] = []

    def forward(self, hidden_states, timestep, encoder_hidden_states, control_hidden_states, return_dict):
        self.frames.append(hidden_states.shape[2])
        ahead = encoder_hidden_states.mean()
        return (hidden_states * (0.3 + timestep.view(-1, 1, 1, 1, 1) / 2000) + ahead * control_hidden_states[:, :4],)


@pytest.mark.parametrize("sampler", ["unipc", "euler"])
@pytest.mark.parametrize("references", [0, 1])
def test_a_long_take_in_windows_equals_the_unwindowed_one(sampler, references):
    generator = torch.Generator().manual_seed(0)
    noise, control = (torch.randn(1, n, references + 40, 2, 2, generator=generator) for n in (4, 96))
    embeds, other = (torch.randn(1, 512, 8, generator=generator) for _ in range(2))
    conditions = Conditions(
        embeds, other, noise, control, released=control.flip(2), held_steps=2.5, references=references
    )

    def run(window: int) -> torch.Tensor:
        return denoise(model, make_scheduler({}, sampler, 3.0), conditions, steps=6, guidance_scale=4.0, window=window)

    model = Linear()
    whole = run(0)
    assert set(model.frames) == {references + 40} and whole.shape[2] == 40
    model.frames.clear()
    assert torch.allclose(run(17), whole, rtol=0, atol=1e-4)
    assert set(model.frames) == {references + 17} and len(model.frames) == 2 * 6 * 3


def test_a_take_of_one_window_is_made_as_if_there_were_none(vace_folder):
    """Bit for bit what the plain loop gives."""
    transformer = WanModel(vace_folder, torch.device("cpu")).transformer
    generator = torch.Generator().manual_seed(0)
    noise, control = (torch.randn(1, n, 5, 8, 8, generator=generator) for n in (16, 96))
    embeds, other = (torch.randn(1, 512, 32, generator=generator) for _ in range(2))
    latents, scheduler = noise, make_scheduler({}, "unipc", 3.0)
    scheduler.set_timesteps(4)
    with torch.no_grad():
        for t in scheduler.timesteps:
            towards, away = (transformer(latents, t.expand(1), each, None, control)[0] for each in (embeds, other))
            latents = scheduler.step(away + 4.0 * (towards - away), t, latents, return_dict=False)[0]
    for window in (0, 5, 17):
        made = denoise(
            transformer, make_scheduler({}, "unipc", 3.0), Conditions(embeds, other, noise, control),
            steps=4, guidance_scale=4.0, window=window,
        )  # fmt: skip
        assert torch.equal(made, latents)


def test_a_real_transformer_agrees_with_itself_where_windows_meet(vace_folder):
    """No step at the seams: neighboring frames of a windowed take differ as those of an unwindowed one do."""
    transformer = WanModel(vace_folder, torch.device("cpu")).transformer
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 16, 1, 8, 8, generator=generator).expand(1, 16, 29, 8, 8).contiguous()
    conditions = Conditions(torch.randn(1, 512, 32, generator=generator), None, noise, torch.zeros(1, 96, 29, 8, 8))

    def largest_step(window: int) -> float:
        latents = denoise(
            transformer, make_scheduler({}, "unipc", 3.0), conditions, steps=4, guidance_scale=1.0, window=window
        )
        return float(latents.diff(dim=2).square().mean(dim=(0, 1, 3, 4)).sqrt().max())

    assert largest_step(17) < 2 * largest_step(0) + 1e-3
