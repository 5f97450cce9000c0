"""LoRAs of a request, settled when it is planned: files, experts, order, refusals with a fix. Loads nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.wan_backend.job_queue.written_jobs import take_request
from tests.wan_backend.library import file_forms
from tests.wan_backend.lora import written_loras
from wan_backend.catalogue import entries
from wan_backend.catalogue.transformer_shapes import shapes
from wan_backend.lora import resolve
from wan_backend.planning import plan_steps
from wan_backend.protocol.messages import Expert, LoraUse, Quality
from wan_backend.server.planner import Planner

EMBEDDED = entries.entry("embedded")
WEIGHTS = entries.PACKAGE / EMBEDDED.package_folder
STYLE = str(WEIGHTS.parent / "loras" / "style.safetensors")
DRAFT = str(WEIGHTS.parent / "loras" / "draft.safetensors")
NARROW = {"num_attention_heads": 2, "attention_head_dim": 8, "ffn_dim": 24, "num_layers": 2}


@pytest.fixture
def two_experts(tmp_path) -> Path:
    """A folder as Wan 2.2 A14B's is, of which only the configurations are looked at."""
    for component in ("transformer", "transformer_2"):
        (tmp_path / "model" / component).mkdir(parents=True)
        (tmp_path / "model" / component / "config.json").write_text(json.dumps(NARROW))
    return tmp_path / "model"


@pytest.fixture
def one_transformer(tmp_path) -> Path:
    """The same with one."""
    (tmp_path / "one" / "transformer").mkdir(parents=True)
    (tmp_path / "one" / "transformer" / "config.json").write_text(json.dumps(NARROW))
    return tmp_path / "one"


def settled(folder: Path, *uses: LoraUse, basis: str = ""):
    request = take_request("/tmp", model="embedded", loras=list(uses))
    first = resolve.trained_uses([basis] if basis else [])
    return resolve.resolve_loras(plan_steps.plan(request, EMBEDDED), request, first, folder)


def narrow(file: Path) -> str:
    return str(written_loras.written(file, shapes(NARROW)))


def test_the_servers_plan_has_them_with_their_strengths():
    request = take_request("/tmp", model="embedded", loras=[LoraUse(STYLE, 0.5), LoraUse(STYLE, 0.0)])
    made = Planner([], None).plan(request)
    assert made.problem is None
    assert made.loras == [LoraUse(STYLE, 0.5, Expert.BOTH)], "one of no strength is left out"
    assert Planner([], None).plan(take_request("/tmp", model="embedded")).loras == []


def test_the_one_that_a_quality_stands_on_comes_first_and_its_steps_and_guidance_stay():
    plain = settled(WEIGHTS)
    made = settled(WEIGHTS, LoraUse(STYLE, -1.5), basis=DRAFT)
    assert [(use.path, use.strength) for use in made.loras] == [(DRAFT, 1.0), (STYLE, -1.5)]
    assert (made.steps, made.guidance_scale, made.sampler) == (plain.steps, plain.guidance_scale, plain.sampler)


def test_every_one_that_the_catalogue_names_is_here_and_fits():
    draft = Planner([], None).plan(take_request("/tmp", model="embedded", quality=Quality.DRAFT))
    assert draft.problem is None and draft.guidance_scale == 1.0
    assert draft.loras == [LoraUse(DRAFT, 1.0, Expert.BOTH)]
    unread = take_request("/tmp", model="embedded", quality=Quality.DRAFT, negative_prompt="blur")
    assert "so the negative prompt is ignored" in Planner([], None).plan(unread).notes[-1]


def test_one_that_does_not_fit_is_named_with_a_button_that_leaves_it_out(tmp_path):
    path = narrow(tmp_path / "other.safetensors")
    problem = settled(WEIGHTS, LoraUse(STYLE), LoraUse(path)).problem
    assert problem.kind == "bad_lora"
    assert problem.sentence.startswith('The LoRA "other.safetensors" was made for a model of 16 channels, and this')
    (fix,) = problem.fixes
    assert (fix.setting, fix.value) == ("without_lora", path)
    assert "is not there any more" in settled(WEIGHTS, LoraUse(str(tmp_path / "gone.safetensors"))).problem.sentence


@pytest.mark.parametrize(
    ("uses", "why"),
    [
        ([LoraUse(STYLE)] * 33, "33 LoRAs are too many; use at most 32."),
        ([LoraUse("style.safetensors")], "is not at its path"),
        ([LoraUse("")], "is not at its path"),
        ([LoraUse("/a\0b")], "is not at its path"),
        ([LoraUse(STYLE, 4.5)], "can't have a strength of 4.5; give -4 to 4"),
    ],
)
def test_what_can_not_be_meant_is_refused_without_looking_at_a_file(uses, why):
    problem = plan_steps.plan(take_request("/tmp", model="embedded", loras=uses), EMBEDDED).problem
    assert problem.kind == "bad_lora" and why in problem.sentence


def test_a_pair_goes_to_the_two_experts_by_its_names(two_experts, tmp_path):
    pair = tmp_path / "pair"
    names = ["lora_high_noise.safetensors", "lora_low_noise.safetensors"]
    for name in names:
        narrow(pair / name)
    made = settled(two_experts, LoraUse(str(pair), 0.9))
    assert made.loras == [
        LoraUse(str(pair / names[0]), 0.9, Expert.HIGH),
        LoraUse(str(pair / names[1]), 0.9, Expert.LOW),
    ]
    said = 'The LoRA "lora_low_noise.safetensors" works on the low-noise expert, as its name says.'
    assert said in made.notes
    assert resolve.trained_uses([pair / name for name in names]) == [
        LoraUse(str(pair / names[0]), 1.0, Expert.HIGH),
        LoraUse(str(pair / names[1]), 1.0, Expert.LOW),
    ]
    assert "is a pair for the two experts" in settled(WEIGHTS, LoraUse(str(pair))).problem.sentence
    chosen = settled(two_experts, LoraUse(str(pair / names[0]), 1.0, Expert.BOTH))
    assert chosen.loras[0].expert is Expert.BOTH and chosen.notes == settled(two_experts).notes


def test_which_expert_is_meant_is_said_or_asked(two_experts, tmp_path):
    plain = settled(two_experts, LoraUse(narrow(tmp_path / "plain.safetensors")))
    assert [use.expert for use in plain.loras] == [Expert.BOTH]
    assert 'The LoRA "plain.safetensors" works on both experts, since its name mentions neither' in plain.notes[-1]
    open_name = narrow(tmp_path / "style_high.safetensors")
    asked = settled(two_experts, LoraUse(open_name)).problem
    assert "may be for one of the two experts or for both" in asked.sentence and "Expert" in asked.sentence
    assert [fix.setting for fix in asked.fixes] == ["lora_high", "lora_low", "lora_both", "without_lora"]
    assert {fix.value for fix in asked.fixes} == {open_name}
    for expert in (Expert.HIGH, Expert.LOW, Expert.BOTH):
        assert settled(two_experts, LoraUse(open_name, 1.0, expert)).loras == [LoraUse(open_name, 1.0, expert)]
    narrow(tmp_path / "style_low.safetensors")
    assert settled(two_experts, LoraUse(open_name)).loras == [LoraUse(open_name, 1.0, Expert.HIGH)]


def test_a_file_for_both_experts_works_on_each_with_its_own_layers(two_experts, one_transformer, tmp_path):
    made = written_loras.factors(shapes(NARROW))
    made_for = (written_loras.SPELLINGS[f"of the {number} transformer"](made) for number in ("first", "second"))
    first, second = made_for
    second = {key.replace("transformer_2.", "diffusion_model.transformer_2."): value for key, value in second.items()}
    file = str(written_loras.save(tmp_path / "both.safetensors", {**first, **second}))
    plan = settled(two_experts, LoraUse(file, 0.5))
    assert plan.loras == [LoraUse(file, 0.5, Expert.HIGH), LoraUse(file, 0.5, Expert.LOW)]
    assert "holds layers for each of the two experts, and works on both" in plan.notes[-1]
    one = settled(two_experts, LoraUse(file, 0.5, Expert.LOW))
    assert one.loras == [LoraUse(file, 0.5, Expert.LOW)] and "works on the low-noise expert only" in one.notes[-1]
    problem = settled(one_transformer, LoraUse(file)).problem
    assert "choose High Noise or Low Noise as its Expert" in problem.sentence
    assert [fix.setting for fix in problem.fixes] == ["lora_high", "lora_low", "without_lora"]
    assert settled(one_transformer, LoraUse(file, 1.0, Expert.LOW)).problem is None
    low = str(written_loras.save(tmp_path / "style_high.safetensors", second))
    told = settled(two_experts, LoraUse(low))
    assert [use.expert for use in told.loras] == [Expert.LOW] and "as its layers say" in told.notes[-1]
    assert "was made for the low-noise expert" in settled(one_transformer, LoraUse(low)).notes[-1]


def test_what_is_passed_over_is_noted_on_the_plan(two_experts, tmp_path):
    seeing = {**NARROW, "image_dim": 16, "added_kv_proj_dim": 16}
    file = written_loras.written(tmp_path / "seeing_high_noise.safetensors", shapes(seeing))
    plan = settled(two_experts, LoraUse(str(file)))
    assert plan.problem is None
    assert 'The LoRA "seeing_high_noise.safetensors" works, but 4 of its 24 layers have no place' in plan.notes[-1]


def test_a_model_that_does_not_say_what_it_is_takes_none_and_says_so(tmp_path):
    """Rather than make the take without them."""
    assert settled(tmp_path).problem is None
    problem = settled(tmp_path, LoraUse(STYLE)).problem
    assert problem.kind == "bad_lora" and str(tmp_path) in problem.sentence


def test_which_transformers_a_lora_works_on():
    two = {"transformer": 0, "transformer_2": 0}
    assert resolve.transformers_of(Expert.HIGH, two) == ["transformer"]
    assert resolve.transformers_of(Expert.LOW, two) == ["transformer_2"]
    assert resolve.transformers_of(Expert.BOTH, two) == resolve.transformers_of(Expert.AUTO, two) == list(two)
    assert resolve.transformers_of(Expert.LOW, ["transformer"]) == ["transformer"]


@pytest.mark.parametrize(("form", "packed"), [(file_forms.scaled_fp8, True), (dict, False)], ids=["fp8", "plain"])
def test_what_adds_to_whole_weights_is_refused_before_the_job_where_those_stay_packed(tmp_path, form, packed):
    components = file_forms.files(tmp_path, "text", transformer=form)
    extent = shapes(file_forms.transformer("text").config)["blocks.0.attn1.to_q.weight"]
    low_rank = written_loras.written(tmp_path / "beside.safetensors", shapes(file_forms.transformer("text").config))
    whole = written_loras.save(
        tmp_path / "whole.safetensors", {"diffusion_model.blocks.0.self_attn.q.diff": torch.ones(extent)}
    )
    request = take_request("/tmp", model="embedded", loras=[LoraUse(str(low_rank)), LoraUse(str(whole))])

    def problem(**how):
        return resolve.resolve_loras(
            plan_steps.plan(request, EMBEDDED), request, [], tmp_path, components, **how
        ).problem

    assert problem(stays_quantized=False) is None
    if packed:
        assert "adds to blocks.0.attn1.to_q itself" in problem().sentence
        assert [fix.value for fix in problem().fixes] == [str(whole)]
    else:
        assert problem() is None


def test_what_adds_to_whole_weights_is_refused_with_fast_matrices_and_exact_ones_are_offered(tmp_path):
    components = file_forms.files(tmp_path, "text")
    extents = shapes(file_forms.transformer("text").config)
    keys = {"blocks.0.self_attn.q": "blocks.0.attn1.to_q.weight", "head.head": "proj_out.weight"}

    def problem(key: str, **how):
        name = keys[key]
        state = {f"diffusion_model.{key}.diff": torch.ones(extents[name])}
        file = written_loras.save(tmp_path / "whole.safetensors", state)
        request = take_request("/tmp", model="embedded", loras=[LoraUse(str(file))])
        plan = plan_steps.plan(request, EMBEDDED)
        return resolve.resolve_loras(plan, request, [], tmp_path, components, **how).problem

    assert problem("blocks.0.self_attn.q") is None and problem("head.head", in_8_bit=True) is None
    refused = problem("blocks.0.self_attn.q", in_8_bit=True)
    assert "adds to blocks.0.attn1.to_q itself, which can't be done with fast 8-bit matrices" in refused.sentence
    assert next((fix.setting, fix.value) for fix in refused.fixes) == ("matrix_precision", "exact")
    low_rank = written_loras.written(tmp_path / "beside.safetensors", extents)
    request = take_request("/tmp", model="embedded", loras=[LoraUse(str(low_rank))])
    plan = resolve.resolve_loras(plan_steps.plan(request, EMBEDDED), request, [], tmp_path, components, in_8_bit=True)
    assert plan.problem is None and plan.loras


def test_of_a_gguf_the_matrices_outside_the_blocks_can_be_added_to(tmp_path):
    """As the job does: it unpacks the few that are there."""
    components = file_forms.files(tmp_path, "text")
    whole = file_forms.published("transformer", file_forms.weights_of(file_forms.transformer("text")))
    components["transformer"] = file_forms.write_gguf(tmp_path / "transformer.gguf", whole, "Q8_0")
    extents = shapes(file_forms.transformer("text").config)

    def problem(key: str, name: str):
        file = written_loras.save(
            tmp_path / "whole.safetensors", {f"diffusion_model.{key}.diff": torch.ones(extents[name])}
        )
        request = take_request("/tmp", model="embedded", loras=[LoraUse(str(file))])
        return resolve.resolve_loras(plan_steps.plan(request, EMBEDDED), request, [], tmp_path, components).problem

    assert problem("head.head", "proj_out.weight") is None
    assert (
        "adds to blocks.0.attn1.to_q itself" in problem("blocks.0.self_attn.q", "blocks.0.attn1.to_q.weight").sentence
    )
