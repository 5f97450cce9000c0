"""LoRAs on a transformer: every spelling means the same, files add up, and all of it comes off again."""

from __future__ import annotations

import copy
import json

import gguf
import peft
import pytest
import torch
from safetensors.torch import save_file

from tests.wan_backend.library import file_forms
from tests.wan_backend.lora import written_loras
from wan_backend.catalogue.transformer_shapes import shapes
from wan_backend.library.survey import inspect_file
from wan_backend.loading import applying_loras, single_files
from wan_backend.loading.residency import PlacedModel, room_for
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import Expert, LoraUse

CPU = torch.device("cpu")
AB = ("lora_A", "lora_B")
EVERYWHERE = ("blocks.", "vace_blocks.", "condition_embedder.", "proj_out", "patch_embedding")


@pytest.fixture(scope="module", params=["vace", "t2v"])
def transformer(request, vace_folder, t2v_folder):
    return WanModel(vace_folder if request.param == "vace" else t2v_folder, CPU).transformer


@pytest.fixture(autouse=True)
def bare(transformer):
    """Each test finds the transformer without any, and leaves it as it found it, to the bit."""
    before = {name: weight.clone() for name, weight in transformer.state_dict().items()}
    yield
    applying_loras.remove(transformer)
    after = transformer.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@torch.no_grad()
def answer(transformer) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "hidden_states": torch.randn(1, 16, 2, 8, 8, generator=generator),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 12, 32, generator=generator),
    }
    control = torch.randn(1, 96, 2, 8, 8, generator=generator)
    if "vace_patch_embedding" in dict(transformer.named_children()):
        inputs["control_hidden_states"] = control
    return transformer(**inputs, return_dict=False)[0]


def apply(transformer, *uses, **named) -> torch.Tensor:
    applying_loras.apply(transformer, [LoraUse(str(file), strength) for file, strength in uses], torch.float32)
    return answer(transformer)


@torch.no_grad()
def merged(transformer, made: written_loras.Factors, strength: float = 1.0) -> torch.Tensor:
    """The answer with the products added to the weights: what a LoRA means."""
    kept = {}
    for name, (down, up) in made.items():
        weight = transformer.get_submodule(name).weight
        kept[name] = weight.clone()
        weight += strength * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    try:
        return answer(transformer)
    finally:
        for name, weight in kept.items():
            transformer.get_submodule(name).weight.copy_(weight)


@pytest.mark.parametrize("spelling", written_loras.SPELLINGS)
def test_every_spelling_gives_what_adding_the_product_to_the_weights_gives(transformer, tmp_path, spelling):
    made = written_loras.factors(shapes(transformer.config))
    if spelling != "diffusers":
        made |= written_loras.factors(shapes(transformer.config), ("condition_embedder.", "proj_out"), seed=1)
    file = written_loras.save(tmp_path / "a.safetensors", written_loras.SPELLINGS[spelling](made))
    plain = answer(transformer)
    changed = apply(transformer, (file, 0.7))
    assert (changed - plain).abs().max() > 0.05
    torch.testing.assert_close(changed, merged_without(transformer, made, 0.7), atol=2e-5, rtol=1e-4)


def merged_without(transformer, made, strength):
    applying_loras.remove(transformer)
    return merged(transformer, made, strength)


def test_layers_outside_the_blocks_and_those_of_the_control_take_part(transformer, tmp_path):
    made = written_loras.factors(shapes(transformer.config), EVERYWHERE, rank=2)
    small = written_loras.factors(shapes(transformer.config), ("proj_out",), rank=5, seed=3)
    made |= small  # of another rank, and of a name that layers of the control blocks end in
    file = written_loras.save(tmp_path / "a.safetensors", written_loras.SPELLINGS["diffusers"](made))
    changed = apply(transformer, (file, 1.0))
    assert not any(weight.is_meta for weight in transformer.parameters())
    torch.testing.assert_close(changed, merged_without(transformer, made, 1.0), atol=2e-5, rtol=1e-4)


def test_a_trainers_settings_beside_the_file_scale_it(transformer, tmp_path):
    made = written_loras.factors(shapes(transformer.config), ("blocks.0",), rank=4)
    state = written_loras.SPELLINGS["PEFT"](made)
    file = written_loras.save(tmp_path / "adapter_model.safetensors", state)
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 2, "alpha_pattern": {"self_attn.q": 8}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    changed = apply(transformer, (file, 1.0))
    scaled = {name: (down, up * (2.0 if name.endswith("attn1.to_q") else 0.5)) for name, (down, up) in made.items()}
    torch.testing.assert_close(changed, merged_without(transformer, scaled, 1.0), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("of_a", [False, True], ids=["as PEFT has them", "also of the first factor"])
def test_biases_of_its_own_are_scaled_as_peft_does_it(transformer, tmp_path, of_a):
    settings = peft.LoraConfig(r=4, lora_alpha=2, target_modules=["to_q", "net.2", "proj_in"], lora_bias=True)
    transformer.add_adapter(settings, "own")
    layers = {name: layer for name, layer in transformer.named_modules() if isinstance(layer, peft.tuners.lora.Linear)}
    generator = torch.Generator().manual_seed(0)
    for layer in layers.values():
        if of_a:
            layer.lora_A["own"].bias = torch.nn.Parameter(torch.zeros(4))
        for number in (*layer.lora_A["own"].parameters(), *layer.lora_B["own"].parameters()):
            number.data = torch.randn(number.shape, generator=generator) * 0.2
    wanted = answer(transformer)
    state = {
        f"{name}.{kind}.weight": getattr(layer, kind)["own"].weight for name, layer in layers.items() for kind in AB
    }
    state |= {
        f"{name}.{kind}.bias": getattr(layer, kind)["own"].bias
        for name, layer in layers.items() for kind in AB if getattr(layer, kind)["own"].bias is not None
    }  # fmt: skip
    transformer.unload_lora()
    notes = {"lora_adapter_metadata": json.dumps({"transformer.r": 4, "transformer.lora_alpha": 2})}
    state = {f"transformer.{key}": number.detach().clone() for key, number in state.items()}
    save_file(state, tmp_path / "a.safetensors", metadata=notes)
    less = {key: number for key, number in state.items() if not key.endswith(".bias")}
    save_file(less, tmp_path / "less.safetensors", metadata=notes)
    torch.testing.assert_close(apply(transformer, (tmp_path / "a.safetensors", 1.0)), wanted, atol=2e-5, rtol=1e-4)
    assert (apply(transformer, (tmp_path / "less.safetensors", 1.0)) - wanted).abs().max() > 0.01


def test_settings_in_the_head_as_diffusers_writes_them_scale_it(transformer, tmp_path):
    made = written_loras.factors(shapes(transformer.config), ("blocks.0",), rank=4)
    state = {key: value.contiguous() for key, value in written_loras.SPELLINGS["diffusers"](made).items()}
    settings = {"transformer.r": 4, "transformer.lora_alpha": 16, "transformer.use_rslora": True}
    save_file(state, tmp_path / "a.safetensors", metadata={"lora_adapter_metadata": json.dumps(settings)})
    changed = apply(transformer, (tmp_path / "a.safetensors", 1.0))
    scaled = {name: (down, up * 8) for name, (down, up) in made.items()}  # alpha / sqrt(rank)
    torch.testing.assert_close(changed, merged_without(transformer, scaled, 1.0), atol=2e-5, rtol=1e-4)


def test_several_add_up_each_with_its_strength_and_are_changed_in_place(transformer, tmp_path):
    made = [written_loras.factors(shapes(transformer.config), ("blocks.1",), seed=seed) for seed in (1, 2)]
    files = [
        written_loras.save(tmp_path / f"{number}.safetensors", written_loras.SPELLINGS["ComfyUI"](each))
        for number, each in enumerate(made)
    ]
    plain = answer(transformer)
    both = apply(transformer, (files[0], 1.0), (files[1], -0.5))
    layer = transformer.get_submodule("blocks.1.attn1.to_q")
    other = apply(transformer, (files[0], 1.0), (files[1], 0.5))
    assert transformer.get_submodule("blocks.1.attn1.to_q") is layer, "only the strengths were set"
    assert not torch.equal(both, other)
    assert torch.equal(apply(transformer, (files[0], 1.0), (files[1], -0.5)), both)
    one = apply(transformer, (files[0], 1.0))
    torch.testing.assert_close(one, merged_without(transformer, made[0], 1.0), atol=2e-5, rtol=1e-4)
    assert torch.equal(apply(transformer), plain)


def differences(transformer, seed: int = 5) -> dict[str, torch.Tensor]:
    """What LoRAs that shorten the sampling add to whole parameters, spelt as they do."""
    generator = torch.Generator().manual_seed(seed)
    spelt = {
        "patch_embedding.diff": "patch_embedding.weight",
        "patch_embedding.diff_b": "patch_embedding.bias",
        "blocks.0.self_attn.norm_q.diff": "blocks.0.attn1.norm_q.weight",
        "blocks.0.norm3.diff": "blocks.0.norm2.weight",
        "blocks.0.norm3.diff_b": "blocks.0.norm2.bias",
        "blocks.1.self_attn.q.diff_b": "blocks.1.attn1.to_q.bias",
        "blocks.1.diff_m": "blocks.1.scale_shift_table",
        "head.head.diff_b": "proj_out.bias",
    }
    extents = shapes(transformer.config)
    return {
        f"diffusion_model.{key}": 0.2 * torch.randn(extents[name], generator=generator) for key, name in spelt.items()
    }


def test_what_is_added_to_whole_parameters_comes_off_to_the_bit(transformer, tmp_path):
    added = differences(transformer)
    made = written_loras.SPELLINGS["ComfyUI, down and up, alpha"](written_loras.factors(shapes(transformer.config)))
    both = written_loras.save(tmp_path / "both.safetensors", {**made, **added})
    low_rank = written_loras.save(tmp_path / "low_rank.safetensors", made)
    alone = written_loras.save(tmp_path / "alone.safetensors", added)
    plain = answer(transformer)
    whole = apply(transformer, (both, 1.0))
    assert not torch.equal(whole, apply(transformer, (low_rank, 1.0)))
    bias = transformer.get_submodule("proj_out").bias.clone()
    apply(transformer, (low_rank, 1.0), (alone, 1.0))
    torch.testing.assert_close(answer(transformer), whole)
    torch.testing.assert_close(
        transformer.get_submodule("proj_out").bias, bias + added["diffusion_model.head.head.diff_b"]
    )
    assert not torch.equal(apply(transformer, (alone, 0.5)), plain)
    assert torch.equal(apply(transformer), plain)


def test_a_file_that_was_exchanged_is_read_again_and_one_that_is_gone_is_named(transformer, tmp_path):
    extents = shapes(transformer.config)
    file = written_loras.written(tmp_path / "a.safetensors", extents)
    one = apply(transformer, (file, 1.0))
    written_loras.written(file, extents, rank=2, seed=9)
    assert not torch.equal(apply(transformer, (file, 1.0)), one)
    file.unlink()
    with pytest.raises(Refusal, match=r'The LoRA "a\.safetensors" is not there any more\.'):
        apply(transformer, (file, 1.0))


def test_one_that_does_not_fit_leaves_none_on(transformer, tmp_path):
    extents = shapes(transformer.config)
    good = written_loras.written(tmp_path / "good.safetensors", extents)
    wide = {name: tuple(4 * extent for extent in shape) for name, shape in extents.items()}
    bad = written_loras.written(tmp_path / "bad.safetensors", wide)
    plain = answer(transformer)
    with pytest.raises(Refusal, match=r'"bad\.safetensors" was made for a model of 96 channels'):
        apply(transformer, (good, 1.0), (bad, 1.0))
    assert torch.equal(answer(transformer), plain)
    assert applying_loras.applied_loras(transformer) == []


def test_a_fault_of_the_library_is_no_silent_half(transformer, tmp_path, monkeypatch):
    """Whatever the library makes of the keys: each must be there afterwards."""
    file = written_loras.written(tmp_path / "a.safetensors", shapes(transformer.config))
    plain, real = answer(transformer), type(transformer).load_lora_adapter

    def forgetful(self, state, **named):
        kept = {key: value for key, value in state.items() if "attn2.to_v" not in key}
        real(self, kept, **named)

    monkeypatch.setattr(type(transformer), "load_lora_adapter", forgetful)
    with pytest.raises(Refusal, match="did not load completely"):
        apply(transformer, (file, 1.0))
    assert torch.equal(answer(transformer), plain)


class TestPlaced:
    """A model under a memory plan."""

    @pytest.fixture
    def model(self, vace_folder):
        return WanModel(vace_folder, CPU)

    @pytest.fixture
    def uses(self, model, tmp_path):
        extents = shapes(model.config("transformer"))
        files = [written_loras.written(tmp_path / f"{n}.safetensors", extents, seed=n) for n in range(2)]
        return [LoraUse(str(file), 0.8) for file in files]

    @staticmethod
    def answer(model, place: Residency, loras=()) -> torch.Tensor:
        placement = PlacedModel(model, MemoryPlan(place, place, place, 0), loras=loras)
        with placement.use("transformer") as transformer:
            return answer(transformer)

    def test_streamed_weights_give_the_same_with_loras_that_come_and_go(self, model, uses):
        plain = self.answer(model, Residency.RESIDENT)
        one, two = (self.answer(model, Residency.RESIDENT, asked) for asked in (uses[:1], uses))
        assert not torch.equal(one, two) and not torch.equal(one, plain)
        for asked, wanted in [((), plain), (uses[:1], one), (uses, two), (uses[:1], one), ((), plain)]:
            assert torch.equal(self.answer(model, Residency.BLOCK_OFFLOADED, asked), wanted)
            assert model.transformer.block_offload
        assert torch.equal(self.answer(model, Residency.BLOCK_OFFLOADED, uses), two)
        assert torch.equal(self.answer(model, Residency.RESIDENT, uses), two)

    def test_a_transformer_that_is_read_again_has_them_again(self, model, uses):
        first = self.answer(model, Residency.RELOADED, uses)
        assert not model.loaded("transformer")
        assert torch.equal(self.answer(model, Residency.RELOADED, uses), first)

    def test_with_one_transformer_whatever_expert_is_asked_for_works(self, model, uses):
        low = [LoraUse(uses[0].path, 0.8, Expert.LOW)]
        assert torch.equal(
            self.answer(model, Residency.RESIDENT, low), self.answer(model, Residency.RESIDENT, uses[:1])
        )

    def test_their_size_counts_in_the_memory_plan(self, model, uses):
        with PlacedModel(model, room_for(model, 64, 64, 5).plan(), loras=uses).use("transformer"):
            pass
        counted = model.parameter_count("transformer")
        model.drop("transformer")
        assert model.parameter_count("transformer") == counted
        assert applying_loras.file_bytes(uses) > 1000


def test_weights_in_eight_bits_take_loras_and_are_the_same_afterwards(transformer, tmp_path):
    casted = copy.deepcopy(transformer)
    casted.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    file = written_loras.written(tmp_path / "a.safetensors", shapes(transformer.config))
    plain = answer(casted)
    changed = apply(casted, (file, 1.0))
    assert (changed - plain).abs().max() > 0.05
    assert torch.isfinite(changed).all()
    assert (changed - apply(transformer, (file, 1.0))).abs().max() < 0.3 * (changed - plain).abs().max()
    applying_loras.remove(casted)
    assert torch.equal(answer(casted), plain)
    added = written_loras.save(tmp_path / "added.safetensors", differences(transformer))
    assert not torch.equal(apply(casted, (added, 1.0)), plain)
    applying_loras.remove(casted)
    assert torch.equal(answer(casted), plain)


def test_nothing_is_added_to_weights_that_are_no_numbers_to_compute_with(transformer, tmp_path):
    """As those of GGUF files: packed bytes, here of one parameter."""
    packed = copy.deepcopy(transformer)
    packed.patch_embedding.weight = torch.nn.Parameter(packed.patch_embedding.weight.to(torch.uint8), False)
    added = written_loras.save(tmp_path / "added.safetensors", differences(transformer))
    with pytest.raises(Refusal, match="itself, which can't be done if the model's weights"):
        applying_loras.apply(packed, [LoraUse(str(added))], torch.float32)
    assert applying_loras.applied_loras(packed) == []


def test_a_gguf_whose_ends_are_packed_is_added_to_and_has_them_back(tmp_path):
    """4-step LoRAs add to the last matrix; some converters pack that, too."""
    whole = file_forms.transformer("text", seed=4)
    weights = file_forms.published("transformer", file_forms.weights_of(whole))
    file = write_packed(tmp_path / "a.gguf", weights)
    packed = single_files.load(inspect_file(file).components[0], torch.float32, quantized=True)
    lively = packed.proj_out.weight
    assert lively.quant_type is not None, "packed it is"
    added = {"diffusion_model.head.head.diff": torch.full(tuple(whole.proj_out.weight.shape), 0.1)}
    state = {**added, **written_loras.SPELLINGS["ComfyUI"](written_loras.factors(shapes(whole.config)))}
    lora = written_loras.save(tmp_path / "lora.safetensors", state)
    x = torch.randn(3, whole.proj_out.in_features)
    plain = packed.proj_out(x)
    applying_loras.apply(packed, [LoraUse(str(lora), 0.5)], torch.float32)
    torch.testing.assert_close(packed.proj_out(x), plain + 0.05 * x.sum(-1, keepdim=True), atol=1e-4, rtol=1e-4)
    applying_loras.apply(packed, [LoraUse(str(lora), 1.0)], torch.float32)
    torch.testing.assert_close(packed.proj_out(x), plain + 0.1 * x.sum(-1, keepdim=True), atol=1e-4, rtol=1e-4)
    applying_loras.remove(packed)
    assert torch.equal(packed.proj_out(x), plain) and packed.proj_out.weight is lively


def write_packed(file, weights):
    """As stable-diffusion.cpp's converter writes it: every matrix in blocks, also outside of the blocks."""
    out = gguf.GGUFWriter(str(file), "wan")
    for name, weight in weights.items():
        value = weight.numpy().astype("float32")
        if weight.ndim == 2 and weight.shape[1] % 32 == 0 and name.endswith("weight"):
            kind = gguf.GGMLQuantizationType.Q8_0
            out.add_tensor(name, gguf.quantize(value, kind), raw_dtype=kind)
        else:
            out.add_tensor(name, value)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return file


def test_numbers_that_lie_flat_or_in_more_sides_mean_the_same(transformer, tmp_path):
    made = written_loras.factors(shapes(transformer.config), ("patch_embedding", "blocks.0.attn1"))
    flat = {name: (down.flatten(1), up.flatten(1)) for name, (down, up) in made.items()}
    for name in ("blocks.0.attn1.to_q", "blocks.0.attn1.to_k"):
        flat[name] = tuple(factor[..., None, None] for factor in flat[name])
    file = written_loras.save(tmp_path / "a.safetensors", written_loras.SPELLINGS["diffusers"](flat))
    changed = apply(transformer, (file, 1.0))
    torch.testing.assert_close(changed, merged_without(transformer, made, 1.0), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("of", "value"),
    [("lora_down", float("nan")), ("lora_up", float("inf")), ("alpha", float("-inf")), ("diff", float("nan"))],
)
def test_one_that_holds_what_is_no_number_is_named_and_leaves_none_on(transformer, tmp_path, of, value):
    state = written_loras.SPELLINGS["musubi and kohya"](written_loras.factors(shapes(transformer.config)))
    state |= differences(transformer)
    key = next(key for key in sorted(state, reverse=True) if of in key)
    state[key] = state[key].clone()
    state[key].view(-1)[-1] = value
    file = written_loras.save(tmp_path / "bad.safetensors", state)
    plain = answer(transformer)
    with pytest.raises(Refusal, match=r'"bad\.safetensors" contains NaN or infinite numbers'):
        apply(transformer, (file, 1.0))
    assert torch.equal(answer(transformer), plain) and applying_loras.applied_loras(transformer) == []


@pytest.mark.parametrize("spelling", ["musubi and kohya", "ComfyUI", "PEFT"])
def test_the_layers_that_look_at_pictures_take_part(first_picture_folder, tmp_path, spelling):
    transformer = WanModel(first_picture_folder, CPU).transformer
    file = written_loras.written(tmp_path / "a.safetensors", shapes(transformer.config), spelling)
    applying_loras.apply(transformer, [LoraUse(str(file), 0.5)], torch.float32)
    layer = transformer.get_submodule("blocks.1.attn2.add_v_proj")
    made = written_loras.factors(shapes(transformer.config))["blocks.1.attn2.add_v_proj"]
    x = torch.randn(3, layer.in_features)
    change = layer(x) - layer.get_base_layer()(x)
    torch.testing.assert_close(change, 0.5 * x @ made[0].T @ made[1].T, atol=1e-5, rtol=1e-4)


class TwoExperts:
    """Stands for a model with two transformers, as Wan 2.2 A14B has."""

    device, classes = CPU, {"transformer": "WanTransformer3DModel", "transformer_2": "WanTransformer3DModel"}
    components = ("transformer", "transformer_2")

    def __init__(self, model: WanModel) -> None:
        self.precision, self.config, self.matrix_product = model.precision, model.config, None
        self.held = {component: copy.deepcopy(model.transformer) for component in self.components}

    def loaded(self, _component: str) -> bool:
        return True

    def component(self, name: str):
        return self.held[name]


class AllResident:
    """A memory plan that leaves everything where it is."""

    one_expert = eight_bit = forget_encoder = False
    tile_pixels = token_chunk_bytes = 0
    shares = 1

    def residency_of(self, _component: str) -> Residency:
        return Residency.RESIDENT


def test_of_a_pair_each_file_works_on_its_own_expert(t2v_folder, tmp_path):
    model = TwoExperts(WanModel(t2v_folder, CPU))
    extents = shapes(model.component("transformer").config)
    high, low, both = (
        LoraUse(str(written_loras.written(tmp_path / f"{name}.safetensors", extents, seed=seed)), 1.0, Expert(name))
        for seed, name in enumerate(("high", "low", "both"))
    )
    placement = PlacedModel(model, AllResident(), loras=[high, both, low])
    on = {}
    for component in model.components:
        with placement.use(component) as transformer:
            on[component] = [one.path for one in applying_loras.applied_loras(transformer)]
    assert on == {"transformer": [high.path, both.path], "transformer_2": [both.path, low.path]}


def test_of_a_file_for_both_each_expert_wears_its_own_layers(t2v_folder, tmp_path):
    model = TwoExperts(WanModel(t2v_folder, CPU))
    extents = shapes(model.component("transformer").config)
    made = [written_loras.factors(extents, seed=seed) for seed in (1, 2)]
    state = written_loras.SPELLINGS["of the first transformer"](made[0])
    second = written_loras.SPELLINGS["of the second transformer"](made[1])
    state |= {f"diffusion_model.{key}": value for key, value in second.items()}
    file = written_loras.save(tmp_path / "both.safetensors", state)
    answers = {
        component: merged(model.component(component), factors)
        for component, factors in zip(model.components, made, strict=True)
    }
    uses = [LoraUse(str(file), 1.0, expert) for expert in (Expert.HIGH, Expert.LOW)]
    for loras in (uses, [LoraUse(str(file))]):
        placement = PlacedModel(model, AllResident(), loras=loras)
        for component in model.components:
            with placement.use(component) as transformer:
                torch.testing.assert_close(answer(transformer), answers[component], atol=2e-5, rtol=1e-4)
                assert len(applying_loras.applied_loras(transformer)) == 1
