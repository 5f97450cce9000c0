"""The steps of a training beside torch's and PEFT's own: the same numbers, whatever the weights lie in."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from diffusers import WanTransformer3DModel, WanVACETransformer3DModel
from peft import LoraConfig
from torch import nn

from wan_backend.bench import tiny_checkpoint
from wan_backend.loading import eight_bit
from wan_backend.loading.wan_model import Precision
from wan_backend.memory.training_needs import TrainingMemory
from wan_backend.pipelines.stopping import Stopped, never
from wan_backend.protocol.messages import TrainingPlan
from wan_backend.training import lora_layers
from wan_backend.training.kept_clips import EncodedClip
from wan_backend.training.noising import NOISY_FROM, NoisedClip, Times, clip_of, is_empty
from wan_backend.training.optimizer import AdapterOptimizer
from wan_backend.training.trained_model import TrainedModel, trunk_of

CPU = torch.device("cpu")
PLAN = TrainingPlan(4, 4, 3, 1e-2, 1, 1, 3.0)
WHOLE = TrainingMemory(0)


class OneTransformer:
    """As much of a WanModel as a training asks for."""

    controlled, device, precision, weights_in_8_bit = False, CPU, Precision.for_device(CPU), False

    def __init__(self, transformer) -> None:
        self.transformer = transformer

    def component(self, name):
        return self.transformer

    def drop(self, name):
        pass


def transformer(kind=WanTransformer3DModel, **more):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(**{**tiny_checkpoint.TRANSFORMER, "num_layers": 4, **more}).eval().requires_grad_(False)


def clip() -> EncodedClip:
    return EncodedClip(torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(3)))


def embeds(seed: int = 4) -> torch.Tensor:
    return torch.randn(1, 8, tiny_checkpoint.TEXT_WIDTH, generator=torch.Generator().manual_seed(seed))


def trained(module, memory=WHOLE, steps=3, kept=None) -> tuple[dict, list]:
    """What the optimizer has after some steps, and their outcomes."""
    outcomes = []
    with TrainedModel(OneTransformer(module), PLAN, memory, 5, trunk_alone=False) as model:
        model.bring("transformer")
        for step in range(steps):
            noised = NoisedClip.of(clip().latents, Times(3.0), 5, step)
            outcomes.append(model.learn(clip(), noised, embeds(), None, never, kept))
            model.apply(step)
        return model.state()["transformer"], outcomes


def test_a_step_is_that_of_a_plain_loop_of_peft():
    ours, outcomes = trained(transformer(), steps=2)
    plain = transformer()
    plain.add_adapter(LoraConfig(r=3, lora_alpha=3, target_modules=lora_layers.TARGETS), adapter_name="trained")
    factors = {}
    for name, layer in lora_layers.layers(plain):
        down, up = layer.lora_A["trained"].weight, layer.lora_B["trained"].weight
        down.data = lora_layers._drawn(down.shape, 5, len(factors))
        factors[f"{name}.lora_A.weight"], factors[f"{name}.lora_B.weight"] = down, up
    assert len(factors) == 4 * 10 * 2
    adam = AdapterOptimizer(factors, PLAN.learning_rate, PLAN.warm_up_steps, PLAN.steps)
    for step, outcome in enumerate(outcomes):
        noised = NoisedClip.of(clip().latents, Times(3.0), 5, step)
        said = plain(noised.noised, torch.tensor([1000 * noised.share]), embeds(), return_dict=False)[0]
        loss = nn.functional.mse_loss(said, noised.velocity)
        loss.backward()
        assert outcome.loss == pytest.approx(loss.item(), rel=1e-5)
        assert outcome.gradient_norm == pytest.approx(adam.gradient_norm().item(), rel=1e-4)
        adam.step(step)
    theirs = adam.state()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in factors)


@pytest.mark.parametrize(
    "memory",
    [replace(WHOLE, stay_bytes=0), replace(WHOLE, stay_bytes=30_000)],
)
def test_blocks_that_visit_change_nothing(memory):
    state, outcomes = trained(transformer())
    other, others = trained(transformer(), memory)
    assert outcomes == others
    assert all(torch.equal(state[name], other[name]) for name in state)


def test_what_is_kept_is_what_would_be_computed_again():
    state, outcomes = trained(transformer(), kept=embeds(9))
    other, others = trained(transformer(), replace(WHOLE, keeps_all=True), kept=embeds(9))
    assert outcomes == others
    assert all(torch.equal(state[name], other[name]) for name in state)


def test_the_feed_forward_in_shares_is_that_of_all_tokens_at_once(monkeypatch):
    state, outcomes = trained(transformer())
    monkeypatch.setattr(lora_layers, "CHUNK_BYTES", 3 * 4 * tiny_checkpoint.TRANSFORMER["ffn_dim"])
    other, others = trained(transformer())
    assert [each.loss for each in outcomes] == pytest.approx([each.loss for each in others], rel=1e-5)
    assert all(torch.allclose(state[name], other[name], atol=1e-4) for name in state if ":" not in name)


def test_weights_in_8_bit_are_those_that_they_stand_for():
    rounded, wide = transformer(), transformer()
    eight_bit.quantize(rounded)
    for name, layer in rounded.named_modules():
        if isinstance(layer, eight_bit.EightBitLinear):
            wide.get_submodule(name).weight.data = layer.weight_in(torch.float32)
    for memory in (WHOLE, replace(WHOLE, stay_bytes=0)):
        state, outcomes = trained(copy.deepcopy(rounded), memory)
        other, others = trained(copy.deepcopy(wide), memory)
        assert [each.loss for each in outcomes] == pytest.approx([each.loss for each in others], rel=1e-5)
        assert all(torch.allclose(state[name], other[name], atol=1e-4) for name in state if ":" not in name)


def test_words_that_keep_the_model_as_it_was_have_nothing_to_learn_at_first():
    """Their target is what the transformer says without adapters, whose second factors are 0."""
    state, (first, *_) = trained(transformer(), steps=1)
    other, (paired, *_) = trained(transformer(), steps=1, kept=embeds(9))
    assert paired == first
    assert all(torch.equal(state[name], other[name]) for name in state)


def test_a_paired_step_is_the_sum_of_both_on_the_same_noised_clip():
    """As plain torch has it, with the target that the transformer gives without its adapters."""
    ours, outcomes = trained(transformer(), steps=3, kept=embeds(9))
    bare, plain = transformer(), transformer()
    factors = lora_layers.attach(plain, PLAN.rank, 5, torch.float32)
    adam = AdapterOptimizer(factors, PLAN.learning_rate, PLAN.warm_up_steps, PLAN.steps)
    for step, outcome in enumerate(outcomes):
        noised = NoisedClip.of(clip().latents, Times(3.0), 5, step)
        given = noised.noised, torch.tensor([1000 * noised.share])
        with torch.no_grad():
            own = bare(*given, embeds(9), return_dict=False)[0]
        loss = nn.functional.mse_loss(plain(*given, embeds(), return_dict=False)[0], noised.velocity)
        strayed = nn.functional.mse_loss(plain(*given, embeds(9), return_dict=False)[0], own)
        (loss + strayed).backward()
        assert outcome.loss == pytest.approx(loss.item(), rel=1e-5)
        assert outcome.gradient_norm == pytest.approx(adam.gradient_norm().item(), rel=1e-4)
        adam.step(step)
    theirs = adam.state()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in factors)


def test_a_paired_step_strays_less_where_the_words_are_the_kept_ones():
    """What is learned with some words shows less with others than where only those are learned."""

    def strayed(kept) -> float:
        """How far the transformer is, after some steps, from what it was, of the words that are to be kept."""
        noised = NoisedClip.of(clip().latents, Times(3.0), 5, 0)
        plan = replace(PLAN, steps=20)
        with TrainedModel(OneTransformer(transformer()), plan, WHOLE, 5, trunk_alone=False) as model:
            model.bring("transformer")
            for step in range(20):
                model.learn(clip(), noised, embeds(), None, never, kept)
                model.apply(step)
            given = noised.noised, torch.tensor([1000 * noised.share]), embeds(9)
            said = []
            for on in (False, True):
                with model.asked("transformer", on) as asked, torch.no_grad():
                    said.append(asked(*given, return_dict=False)[0])
        return nn.functional.mse_loss(*said).item()

    assert strayed(embeds(9)) < 0.5 * strayed(None)


def test_what_is_stopped_changes_nothing():
    asked = itertools.count()
    with TrainedModel(OneTransformer(transformer()), PLAN, WHOLE, 5, trunk_alone=False) as model:
        model.bring("transformer")
        before = model.state()["transformer"]
        noised = NoisedClip.of(clip().latents, Times(3.0), 5, 0)
        with pytest.raises(Stopped):  # on the way back, after the four blocks of the way forward
            model.learn(clip(), noised, embeds(), None, lambda: next(asked) >= 5)
        after = model.state()["transformer"]
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_adapter_that_waits_is_as_it_was():
    """What the optimizer has goes to the CPU and comes back, to the bit."""
    states = []
    for puts_away in (False, True):
        with TrainedModel(OneTransformer(transformer()), PLAN, WHOLE, 5, trunk_alone=False) as model:
            for step in range(4):
                model.bring("transformer")
                model.learn(clip(), NoisedClip.of(clip().latents, Times(3.0), 5, step), embeds(), None, never)
                model.apply(step)
                if puts_away:
                    model.put_away()
                    model._model.transformer = transformer()
            states.append(model.state()["transformer"])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_trunk_of_a_control_model_is_the_text_model():
    control = transformer(WanVACETransformer3DModel, vace_layers=[0, 2], vace_in_channels=96)
    trunk = trunk_of(control)
    text = transformer()
    text.load_state_dict({name: weight for name, weight in control.state_dict().items() if "vace_" not in name})
    inputs = clip().latents, torch.tensor([500.0]), embeds()
    with torch.no_grad():
        assert torch.equal(trunk(*inputs, return_dict=False)[0], text(*inputs, return_dict=False)[0])
    assert not hasattr(trunk, "vace_blocks")


def test_sixteen_bit_adapters_learn_what_would_be_rounded_away():
    factor = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    adam = AdapterOptimizer({"a": factor}, 1e-4, 0, 4000)
    for step in range(40):
        factor.grad = torch.ones(1, dtype=torch.bfloat16)
        adam.gradient_norm()
        adam.step(step)
    assert float(factor.detach()) < 1 and float(adam.state()["a"]) == pytest.approx(1 - 40e-4 * 1e0 / 1e0, abs=1e-3)


def test_each_clip_comes_once_before_any_comes_again():
    for epoch in range(3):
        assert sorted(clip_of(step, 5, 1) for step in range(5 * epoch, 5 * epoch + 5)) == [0, 1, 2, 3, 4]
    assert [clip_of(step, 5, 1) for step in range(5)] != [clip_of(step, 5, 2) for step in range(5)]
    assert sum(map(is_empty, range(100))) == 10


def test_times_are_of_each_experts_part_and_noisier_where_they_are_shifted():
    draws = [Times(shift).draw(torch.Generator().manual_seed(n)) for shift in (1.0, 5.0) for n in range(300)]
    plain, shifted = draws[:300], draws[300:]
    assert sum(plain) / 300 == pytest.approx(0.5, abs=0.05) and sum(shifted) / 300 > 0.7
    high = [Times(5.0, least=0.875).draw(torch.Generator().manual_seed(n)) for n in range(50)]
    low = [Times(5.0, most=0.01).draw(torch.Generator().manual_seed(n)) for n in range(3)]
    assert min(high) >= 0.875 and max(low) <= 0.01


def test_a_share_of_the_times_is_drawn_evenly_from_the_noisiest():
    noisy = Times(1.0, noisy_share=0.8)
    draws = [noisy.draw(torch.Generator().manual_seed(n)) for n in range(300)]
    assert 0.75 < sum(share >= NOISY_FROM for share in draws) / 300 < 0.9
    assert sum(share >= 0.95 for share in draws) / 300 == pytest.approx(0.4, abs=0.1)
    high = [replace(noisy, least=0.96).draw(torch.Generator().manual_seed(n)) for n in range(50)]
    assert min(high) >= 0.96 and max(high) <= 1
    low = Times(5.0, most=0.875)  # an expert that never sees the noisiest
    assert [each.draw(torch.Generator().manual_seed(3)) for each in (low, replace(low, noisy_share=0.8))] == 2 * [
        low.draw(torch.Generator().manual_seed(3))
    ]


def test_the_learning_rate_rises_and_falls():
    factor = nn.Parameter(torch.zeros(1))
    adam = AdapterOptimizer({"a": factor}, 1e-2, 9, 100)
    rates = [adam._rate_of(step) for step in range(100)]
    assert rates[0] == pytest.approx(1e-3) and max(rates) == pytest.approx(1e-2, rel=0.05)
    assert rates.index(max(rates)) == 9 and rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(5e-4, rel=0.01)
