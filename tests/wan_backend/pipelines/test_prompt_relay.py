"""Words over time: which latent frames read which prompt, in one window and in several, and what that leaves alone."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_backend.job_queue.written_jobs import take_plan, take_request
from wan_backend.loading import chunked_forward
from wan_backend.loading.chunked_forward import PromptSpan
from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines import prompt_relay
from wan_backend.pipelines.conditions import Conditions
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.pipelines.windows import Window
from wan_backend.protocol.messages import FrameRate, Words


def relay(*words: Words, frames: int = 33, scene: str = "", rate: int = 16, references: int = 0, **planned):
    """The relay of a take of so many of the model's frames, at 16 a second."""
    length = planned.pop("length", frames)
    request = take_request(prompt=scene, length_frames=length, frame_rate=FrameRate(rate), words=list(words))
    plan = replace(take_plan(), model_frames=frames, take_frames=length, words=list(words), **planned)
    return prompt_relay.relay_of(request, plan, references)


def read(found: prompt_relay.Relay) -> list[str]:
    """What each latent frame mostly reads."""
    return [
        found.prompts[max(span.shares, key=lambda each: each[1])[0]]
        for span in found.spans
        for _ in range(span.start, span.end_exclusive)
    ]


def test_each_half_reads_its_own_words_and_the_frame_between_reads_both():
    found = relay(Words(0, 15, "rain"), Words(16, 32, "sun"))
    assert found.prompts == ["rain", "sun"]
    assert found.spans == (
        PromptSpan(0, 4, ((0, 1.0),)),
        PromptSpan(4, 5, ((0, 0.75), (1, 0.25))),
        PromptSpan(5, 9, ((1, 1.0),)),
    )


def test_between_words_the_scenes_prompt_holds_and_begins_them_all():
    found = relay(Words(8, 15, "it rains"), scene="a street")
    assert found.prompts == ["a street", "a street, it rains"]
    assert read(found) == ["a street"] * 3 + ["a street, it rains"] * 2 + ["a street"] * 4
    assert relay(Words(0, 32, "It rains."), scene="A street.").prompts == ["A street. It rains."]


def test_without_a_scenes_prompt_words_go_on_until_the_next_ones():
    found = relay(Words(4, 7, "rain"), Words(20, 23, "sun"))
    assert read(found) == ["rain"] * 6 + ["sun"] * 3


def test_frames_are_counted_at_the_scenes_rate_and_from_the_takes_first():
    found = relay(Words(0, 23, "rain"), Words(24, 48, "sun"), rate=24, frames=33, length=49)
    assert read(found) == ["rain"] * 4 + ["rain"] + ["sun"] * 4
    behind = relay(Words(0, 7, "rain"), Words(8, 15, "sun"), frames=21, length=16, kept_before=5)
    assert read(behind) == ["rain"] * 4 + ["sun"] * 2, "what is kept before the take reads its first words"


@pytest.mark.parametrize("references", [0, 1])
def test_words_that_are_the_same_at_all_times_are_one_prompt(references):
    assert relay(Words(0, 15, "fog"), Words(16, 32, "fog")) == prompt_relay.Relay(["fog"])
    found = relay(Words(0, 32, "fog"), references=references)
    assert len(found.prompts) == 1 + references and bool(found.spans) == bool(references)


def test_a_look_reads_the_scenes_prompt():
    found = relay(Words(0, 32, "rain"), scene="a street", references=1)
    assert read(found) == ["a street"] + ["a street, rain"] * 9


@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from("abc")), max_size=20, unique_by=lambda each: each[0]),
    st.integers(1, 60),
    st.sampled_from(["", "scene"]),
    st.sampled_from([12, 16, 24, 30]),
)
def test_every_latent_frame_reads_something(starts, latents, scene, rate):
    frames = 4 * (latents - 1) + 1
    length = max(1, (frames - 1) * rate // 16 + 1)
    firsts = sorted(each for each in starts if each[0] < length)
    ends = [*(first for first, _ in firsts[1:]), length]
    words = [Words(first, max(first, end - 2), text) for (first, text), end in zip(firsts, ends, strict=bool(firsts))]
    found = relay(*words, frames=frames, scene=scene or ("" if words else "fog"), rate=rate, length=length)
    if not found.spans:
        assert len(found.prompts) >= 1
        return
    assert [span.start for span in found.spans] == [0, *(span.end_exclusive for span in found.spans[:-1])]
    assert found.spans[-1].end_exclusive == latents
    for span in found.spans:
        assert sum(share for _, share in span.shares) == pytest.approx(1)
        assert all(0 <= prompt < len(found.prompts) and share > 0 for prompt, share in span.shares)


def test_a_window_has_the_prompts_that_it_reads_and_no_others():
    spans = (PromptSpan(0, 1, ((2, 1.0),)), PromptSpan(1, 6, ((0, 1.0),)), PromptSpan(6, 9, ((1, 0.5), (3, 0.5))))
    assert prompt_relay.cut(spans, 1, Window(4, 8, (1.0,) * 4)) == (
        [0, 1, 2, 3],
        (PromptSpan(0, 1, ((2, 1.0),)), PromptSpan(1, 2, ((0, 1.0),)), PromptSpan(2, 5, ((1, 0.5), (3, 0.5)))),
    )
    assert prompt_relay.cut(spans[1:], 0, Window(0, 4, (1.0,) * 4)) == ([0], ())
    assert prompt_relay.cut((), 0, Window(0, 4, (1.0,) * 4)) == ([], ())


class FrameByFrame(torch.nn.Module):
    """A transformer of which each frame depends on itself and what it reads alone."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList()
        self.dtype = torch.float32

    def forward(self, hidden_states, timestep, encoder_hidden_states, return_dict, spans=()):
        means = encoder_hidden_states.mean(dim=(1, 2))
        every = [
            sum(share * means[prompt] for prompt, share in span.shares)
            for span in spans
            for _ in range(span.start, span.end_exclusive)
        ]
        told = torch.stack(every) if every else means[:1].expand(hidden_states.shape[2])
        assert len(told) == hidden_states.shape[2] and (spans or len(means) == 1)
        return (hidden_states * 0.5 + 10 * told.view(1, 1, -1, 1, 1) + timestep.view(-1, 1, 1, 1, 1) / 1000,)


@pytest.mark.parametrize("references", [0, 1])
def test_a_long_take_in_windows_reads_the_same_words(references):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 4, references + 40, 2, 2, generator=generator)
    embeds = torch.randn(4, 512, 8, generator=generator)
    frames = 4 * 39 + 1
    words = [Words(0, 19, "a"), Words(20, 99, "b"), Words(100, 156, "c")]
    spans = relay(*words, frames=frames, scene="s", references=references).spans
    conditions = Conditions(embeds[: 3 + references], embeds[:1], noise, references=references, spans=spans)

    def run(window: int) -> torch.Tensor:
        scheduler = make_scheduler({}, "unipc", 3.0)
        return denoise(FrameByFrame(), scheduler, conditions, steps=6, guidance_scale=4.0, window=window)

    whole = run(0)
    assert torch.allclose(run(17), whole, rtol=0, atol=1e-4)
    plain = denoise(
        FrameByFrame(), make_scheduler({}, "unipc", 3.0), replace(conditions, prompt_embeds=embeds[:1], spans=()),
        steps=6, guidance_scale=4.0,
    )  # fmt: skip
    assert (whole - plain).abs().max() > 0.1


def test_a_take_of_equal_words_is_the_plain_one_but_for_rounding(vace_folder):
    transformer = copy.deepcopy(WanModel(vace_folder, torch.device("cpu")).transformer)
    chunked_forward.make_chunked(transformer)
    generator = torch.Generator().manual_seed(0)
    noise, control = (torch.randn(1, n, 5, 8, 8, generator=generator) for n in (16, 96))
    embeds, other = (torch.randn(1, 512, 32, generator=generator) for _ in range(2))
    plain = Conditions(embeds, other, noise, control)
    spans = (PromptSpan(0, 2, ((0, 1.0),)), PromptSpan(2, 3, ((0, 0.4), (1, 0.6))), PromptSpan(3, 5, ((1, 1.0),)))
    twice = replace(plain, prompt_embeds=embeds.expand(2, -1, -1), spans=spans)
    one, two = (
        denoise(transformer, make_scheduler({}, "unipc", 3.0), each, steps=4, guidance_scale=3.0)
        for each in (plain, twice)
    )
    assert torch.allclose(one, two, rtol=0, atol=1e-4)
