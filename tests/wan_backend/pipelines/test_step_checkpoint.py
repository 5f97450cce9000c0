"""A denoising that goes on from any of its steps makes the very bits of one that was never stopped."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch

from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.conditions import Conditions
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.sampling import SAMPLERS, make_scheduler
from wan_backend.pipelines.step_checkpoint import Checkpoint, SamplerState

STEPS = 5
TIMES = [1000, 937.5, 833.3, 625, 250]
"""Of a distilled model's steps."""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def transformer(t2v_folder):
    return WanModel(t2v_folder, CPU).transformer


@pytest.fixture
def conditions() -> Conditions:
    generator = torch.Generator().manual_seed(0)
    embeds, other = (torch.randn(1, 512, 32, generator=generator) for _ in range(2))
    return Conditions(embeds, other, torch.randn(1, 16, 4, 8, 8, generator=generator))


def run(transformer, conditions, sampler="unipc", **more):
    scheduler = make_scheduler({}, sampler, 3.0, TIMES, seed=4)
    return denoise(transformer, scheduler, conditions, steps=STEPS, guidance_scale=4.0, **more)


def steps_of(transformer, conditions, **more):
    """What it makes, and the checkpoint after each step."""
    kept = []
    return run(transformer, conditions, after_step=lambda step: kept.append(step.copy().checkpoint), **more), kept


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("window", [0, 3])
def test_it_goes_on_from_every_step_through_the_disk_bit_for_bit(transformer, conditions, tmp_path, sampler, window):
    whole, kept = steps_of(transformer, conditions, sampler=sampler, window=window)
    assert [each.done for each in kept] == list(range(1, STEPS + 1))
    for checkpoint in kept:
        checkpoint.write(tmp_path / "steps.safetensors", "job")
        read = Checkpoint.read(tmp_path / "steps.safetensors", "job")
        steps = []
        resumed = run(transformer, conditions, sampler, window=window, resumed=read, after_step=steps.append)
        assert torch.equal(resumed, whole)
        assert [step.done for step in steps] == list(range(checkpoint.done + 1, STEPS + 1))


def test_a_sampler_that_starts_anew_in_the_middle_would_be_seen(transformer, conditions):
    """UniPC remembers the steps before: without its state the bits differ."""
    whole, kept = steps_of(transformer, conditions)
    fresh = make_scheduler({}, "unipc", 3.0)
    fresh.set_timesteps(STEPS)
    fresh.set_begin_index(2)
    without = replace(kept[1], sampler=SamplerState.of(fresh))
    assert not torch.equal(run(transformer, conditions, resumed=without), whole)


def test_it_goes_on_with_footage_references_and_given_frames(transformer, conditions):
    generator = torch.Generator().manual_seed(3)
    source = torch.randn(conditions.latents.shape, generator=generator)
    for special in (
        replace(conditions, source=source, first_step=2),
        replace(conditions, references=1),
        replace(conditions, given=source[:, :, :1]),
    ):
        whole, kept = steps_of(transformer, special)
        for checkpoint in kept:
            assert torch.equal(run(transformer, special, resumed=checkpoint), whole)


def test_the_clean_estimate_nears_what_is_made(transformer, conditions):
    estimates = []
    whole = run(transformer, conditions, "euler", after_step=lambda step: estimates.append(step.clean(2)))
    errors = [float((each - whole[0, :, 2]).abs().mean()) for each in estimates]
    assert errors[-1] < 1e-5 and errors == sorted(errors, reverse=True)
    again = []
    run(transformer, replace(conditions, references=1), after_step=lambda step: again.append(step.clean(2)))
    assert again[-1].shape == (16, 8, 8)


def test_a_sampler_that_draws_noise_goes_on_with_the_same_noise():
    class Drawing:
        def __init__(self):
            self.generator = torch.Generator().manual_seed(4)
            self.history, self.sizes, self.nothing = [torch.ones(2), None], (1, 2.5), None

        def draw(self):
            return torch.randn(4, generator=self.generator)

    first, second = Drawing(), Drawing()
    first.draw()
    SamplerState.of(first).restore(second, CPU)
    assert torch.equal(first.draw(), second.draw())
    assert torch.equal(second.history[0], torch.ones(2)) and second.history[1] is None
    assert second.sizes == (1, 2.5) and second.nothing is None


def test_what_can_not_be_kept_is_said(caplog):
    class Odd:
        def __init__(self):
            self.function = print

    assert SamplerState.of(Odd()) is None and "builtin" in caplog.text
    assert Checkpoint.after(1, torch.ones(1), Odd()) is None


def test_a_later_step_does_not_reach_into_a_kept_one():
    latents, sampler = torch.ones(1, 1, 1, 2, 2), make_scheduler({}, "euler", 3.0)
    sampler.set_timesteps(3)
    kept = Checkpoint.after(1, latents, sampler)
    latents.zero_()
    sampler.sigmas.zero_()
    assert kept.latents.sum() == 4
    other = make_scheduler({}, "euler", 3.0)
    kept.restore(other, CPU)
    assert other.sigmas.sum() > 0


def test_a_checkpoint_of_something_else_or_a_damaged_one_is_not_used(tmp_path, caplog):
    caplog.set_level("INFO")
    file = tmp_path / "steps.safetensors"
    assert Checkpoint.read(file, "job") is None
    Checkpoint.at_the_end(4, torch.ones(1, 16, 2, 4, 4)).write(file, "job")
    read = Checkpoint.read(file, "job")
    assert read.finished and read.done == 4 and read.latents.shape == (1, 16, 2, 4, 4)
    assert Checkpoint.read(file, "another job") is None and "of another request" in caplog.text
    content = file.read_bytes()
    zeros = content[: len(content) // 2] + bytes(len(content) // 2 - 32) + content[-32:]
    one_bit = content[:-60] + bytes([content[-60] ^ 1]) + content[-59:]
    cut = content[: len(content) // 2]
    for damaged in (cut, b"", b"nonsense" * 100, bytes(len(content)), zeros, one_bit, content[:-32]):
        file.write_bytes(damaged)
        assert Checkpoint.read(file, "job") is None


def test_a_write_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    file = tmp_path / "steps.safetensors"
    Checkpoint.at_the_end(1, torch.zeros(1, 1, 1, 2, 2)).write(file, "job")
    monkeypatch.setattr(os, "fsync", lambda _handle: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError):
        Checkpoint.at_the_end(2, torch.zeros(1, 1, 1, 2, 2)).write(file, "job")
    assert Checkpoint.read(file, "job").done == 1
