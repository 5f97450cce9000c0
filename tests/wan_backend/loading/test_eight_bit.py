"""Weights in 8 bit: what they are in memory, how far they are from their source, and what must not spoil them."""

from __future__ import annotations

import copy
import json
import math
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.wan_backend.library import file_forms as forms
from tests.wan_backend.loading.test_applying_loras import differences
from tests.wan_backend.loading.test_single_files import far, load, run_transformer
from tests.wan_backend.lora import written_loras
from wan_backend.catalogue.transformer_shapes import shapes
from wan_backend.library import recognize, weights_head
from wan_backend.loading import applying_loras, eight_bit, single_files
from wan_backend.loading.eight_bit import EightBitLinear
from wan_backend.loading.residency import PlacedModel, room_for
from wan_backend.loading.wan_model import Precision, WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines.conditions import Conditions
from wan_backend.pipelines.denoise import denoise
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import LoraUse

CPU, HALF, FULL = torch.device("cpu"), torch.bfloat16, torch.float32
ON_A_CARD = Precision(HALF, HALF, FULL, quantized=True)
FP8 = {
    "plain": forms.plain_fp8,
    "one scale": forms.scaled_fp8,
    "weight_scale": lambda w: forms.scaled_fp8(w, "weight_scale"),
    "a scale a row": lambda w: forms.scaled_fp8(w, per_row=True),
    "e5m2": lambda w: {n: x.to(torch.float8_e5m2 if x.ndim == 2 else HALF) for n, x in w.items()},
}


def written(place: Path, architecture: str = "text", form: str = "one scale", **settings: Any) -> Path:
    weights = forms.published("transformer", forms.weights_of(forms.transformer(architecture, **settings)))
    return forms.write(place / "t.safetensors", FP8[form](weights))


def eight_bit_layers(module: Any) -> dict[str, EightBitLinear]:
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, EightBitLinear)}


def in_eight(module: Any) -> dict[str, torch.Tensor]:
    """The numbers that must stay, byte by byte."""
    found = {name: layer.weight.view(torch.uint8).clone() for name, layer in eight_bit_layers(module).items()}
    scales = {f"{name} scale": layer.weight_scale.clone() for name, layer in eight_bit_layers(module).items()}
    return {**found, **scales}


def unchanged(module: Any, before: dict[str, torch.Tensor]) -> bool:
    after = in_eight(module)
    return after.keys() == before.keys() and all(torch.equal(after[name].cpu(), before[name]) for name in before)


class TestFiles:
    """fp8 transformers out of ComfyUI's files."""

    @pytest.mark.parametrize("dtype", [HALF, FULL])
    @pytest.mark.parametrize("form", FP8)
    def test_fp8_stays_and_computes_to_the_bit_as_if_it_were_loaded_whole(self, tmp_path, form, dtype):
        file = written(tmp_path, "control", form)
        whole, kept = (load(file, "transformer", dtype, quantized) for quantized in (False, True))
        layers = eight_bit_layers(kept)
        assert len(layers) == 2 * 10 + 2 * 10 + 3  # of two blocks and two that look at the control, with their ends
        for name, layer in layers.items():
            assert layer.weight.dtype == (torch.float8_e5m2 if form == "e5m2" else torch.float8_e4m3fn)
            assert torch.equal(layer.weight_in(dtype), whole.get_submodule(name).weight)
        assert torch.equal(run_transformer(kept), run_transformer(whole))

    def test_the_numbers_are_the_files_own(self, tmp_path):
        file = written(tmp_path, form="a scale a row")
        stored, layer = load_file(file), load(file, "transformer", HALF, True).blocks[1].ffn.net[2]
        assert torch.equal(layer.weight.float(), stored["blocks.1.ffn.2.weight"].float())
        assert torch.equal(layer.weight_scale, stored["blocks.1.ffn.2.scale_weight"])
        assert layer.bias.dtype == HALF

    def test_a_matrix_that_the_file_has_in_bfloat16_stays_so(self, tmp_path):
        weights = forms.scaled_fp8(forms.published("transformer", forms.weights_of(forms.transformer("text"))))
        weights["blocks.0.ffn.0.weight"] = weights["blocks.0.ffn.0.weight"].to(HALF)
        del weights["blocks.0.ffn.0.scale_weight"]
        kept = load(forms.write(tmp_path / "t.safetensors", weights), "transformer", HALF, True)
        assert type(kept.blocks[0].ffn.net[0].proj) is torch.nn.Linear
        assert len(eight_bit_layers(kept)) == 2 * 10 - 1

    def test_a_scale_a_column_is_multiplied_in(self, tmp_path):
        weights = forms.scaled_fp8(forms.published("transformer", forms.weights_of(forms.transformer("text"))))
        weights["blocks.0.ffn.0.scale_weight"] = torch.rand(1, 128) / 100
        file = forms.write(tmp_path / "t.safetensors", weights)
        whole, kept = (load(file, "transformer", HALF, quantized) for quantized in (False, True))
        assert type(kept.blocks[0].ffn.net[0].proj) is torch.nn.Linear
        assert torch.equal(run_transformer(kept), run_transformer(whole))

    def test_a_text_encoder_and_a_transformer_in_full_precision_do_not_stay(self, tmp_path):
        half = forms.cast(forms.published("transformer", forms.weights_of(forms.transformer("text"))), HALF)
        files = [
            forms.write(tmp_path / "te.safetensors", forms.scaled_fp8(forms.weights_of(forms.text_encoder()))),
            forms.write(tmp_path / "half.safetensors", half),
            written(tmp_path),
        ]
        found = [recognize.recognize_components(weights_head.read_head(file))[0] for file in files]
        assert [single_files.stays_quantized(component) for component in found] == [False, False, True]
        assert eight_bit_layers(single_files.load(found[0], HALF, True)) == {}


class TestLayer:
    """What happens to modules in a program's life."""

    @pytest.fixture(params=["fp8", "int8"])
    def transformer(self, request, tmp_path) -> Any:
        if request.param == "fp8":
            return load(written(tmp_path), "transformer", HALF, True)
        module = forms.transformer("text").to(HALF)
        eight_bit.quantize(module)
        return module

    @pytest.mark.parametrize("change", [
        lambda m: m.to(HALF), lambda m: m.bfloat16(), lambda m: m.float(), lambda m: m.half(), lambda m: m.double(),
        lambda m: m.to("cpu"), lambda m: m.to(CPU, FULL), copy.deepcopy,
    ])  # fmt: skip
    def test_no_change_of_the_number_format_reaches_the_weights(self, transformer, change):
        before = in_eight(transformer)
        assert before
        assert unchanged(change(transformer), before)

    def test_the_rest_changes_its_number_format_and_computes(self, transformer):
        one = run_transformer(transformer)
        wide = transformer.float()
        assert {weight.dtype for weight in wide.parameters()} & {HALF} == set()
        assert wide.dtype == FULL and 0 < far(run_transformer(wide), one) < 0.1

    def test_the_model_says_the_format_that_it_computes_in(self, transformer):
        assert transformer.dtype == HALF and transformer.device == CPU
        assert run_transformer(transformer).isfinite().all()

    def test_it_moves(self, transformer):
        shape = transformer.blocks[0].attn1.to_q.weight.shape
        layer = transformer.to("meta").blocks[0].attn1.to_q
        assert {layer.weight.device.type, layer.weight_scale.device.type, layer.bias.device.type} == {"meta"}
        assert layer.weight.dtype in eight_bit.EIGHT_BIT_DTYPES and layer.weight.shape == shape

    def test_its_state_goes_out_and_comes_back(self, transformer):
        other = copy.deepcopy(transformer)
        for layer in eight_bit_layers(other).values():
            layer.weight.data = torch.zeros_like(layer.weight)
        other.load_state_dict(transformer.state_dict())
        assert unchanged(other, in_eight(transformer))

    def test_it_can_be_streamed(self, transformer):
        wanted, before = run_transformer(transformer), in_eight(transformer)
        transformer.enable_group_offload(
            onload_device=CPU, offload_device=CPU, offload_type="block_level", num_blocks_per_group=1, use_stream=False
        )
        assert torch.equal(run_transformer(transformer), wanted)
        assert unchanged(transformer, before) and transformer.dtype == HALF

    def test_what_is_no_such_weight_is_refused(self):
        with pytest.raises(ValueError, match="no 8 bit weight"):
            EightBitLinear(torch.zeros(4, 3), torch.ones(1, 1), None)
        with pytest.raises(ValueError, match="no 8 bit weight"):
            EightBitLinear(torch.zeros(4, 3, dtype=torch.int8), torch.ones(3, 1), None)


class TestLoras:
    """LoRAs on weights in 8 bit."""

    @pytest.fixture(params=["fp8", "int8"])
    def transformer(self, request, vace_folder) -> Any:
        made = WanModel(vace_folder, CPU).transformer
        if request.param == "int8":
            eight_bit.quantize(made)
            return made
        for name in list(eight_bit.layers(made)):
            weight = made.get_submodule(name).weight
            scale = weight.abs().amax(dim=1, keepdim=True) / 448
            eight_bit.put(made, name, (weight / scale).to(torch.float8_e4m3fn), scale)
        return made

    @staticmethod
    def answer(transformer: Any) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        latents, control = (torch.randn(1, n, 2, 8, 8, generator=generator) for n in (16, 96))
        words = torch.randn(1, 12, 32, generator=generator)
        with torch.no_grad():
            return transformer(latents, torch.tensor([500.0]), words, control_hidden_states=control, return_dict=False)[
                0
            ]

    @pytest.mark.parametrize("spelling", ["ComfyUI", "diffusers", "musubi and kohya"])
    def test_they_go_on_as_on_the_same_numbers_in_full_and_come_off_to_the_bit(self, transformer, tmp_path, spelling):
        whole = copy.deepcopy(transformer)
        for name, layer in eight_bit_layers(whole).items():
            plain = torch.nn.Linear(layer.in_features, layer.out_features)
            plain.weight.data, plain.bias.data = layer.weight_in(FULL), layer.bias.data
            whole.set_submodule(name, plain)
        factors = written_loras.factors(shapes(transformer.config), ("blocks.", "vace_blocks."))
        file = written_loras.save(tmp_path / "a.safetensors", written_loras.SPELLINGS[spelling](factors))
        before, plain = in_eight(transformer), self.answer(transformer)
        uses = [LoraUse(str(file), 0.7)]
        for module in (transformer, whole):
            applying_loras.apply(module, uses, FULL)
        changed = self.answer(transformer)
        assert (changed - plain).abs().max() > 0.05
        torch.testing.assert_close(changed, self.answer(whole))
        assert {w.dtype for n, w in transformer.named_parameters() if ".lora_" in n} == {FULL}
        applying_loras.apply(transformer, [LoraUse(str(file), 0.2)], FULL)
        assert not torch.equal(self.answer(transformer), changed)
        applying_loras.remove(transformer)
        assert unchanged(transformer, before)
        assert torch.equal(self.answer(transformer), plain)

    def test_what_is_added_to_biases_and_norms_is_allowed(self, transformer, tmp_path):
        before, plain = in_eight(transformer), self.answer(transformer)
        added = written_loras.save(tmp_path / "added.safetensors", differences(transformer))
        applying_loras.apply(transformer, [LoraUse(str(added))], FULL)
        assert not torch.equal(self.answer(transformer), plain)
        applying_loras.remove(transformer)
        assert torch.equal(self.answer(transformer), plain) and unchanged(transformer, before)

    @pytest.mark.parametrize("beside", [False, True])
    def test_what_is_added_to_a_whole_weight_in_8_bit_is_refused(self, transformer, tmp_path, beside):
        """Also where the layer wears another one's adapter."""
        before, plain = in_eight(transformer), self.answer(transformer)
        extent = shapes(transformer.config)["blocks.0.attn1.to_q.weight"]
        state = {**differences(transformer), "diffusion_model.blocks.0.self_attn.q.diff": torch.ones(extent)}
        files = [written_loras.written(tmp_path / "low_rank.safetensors", shapes(transformer.config))] * beside
        files += [written_loras.save(tmp_path / "added.safetensors", state)]
        with pytest.raises(Refusal, match=r"adds to blocks\.0\.attn1\.to_q\.weight itself, which can't be done"):
            applying_loras.apply(transformer, [LoraUse(str(file)) for file in files], FULL)
        assert torch.equal(self.answer(transformer), plain) and unchanged(transformer, before)


def test_streamed_weights_in_8_bit_take_loras_that_come_and_go(vace_folder, tmp_path):
    model = WanModel(vace_folder, CPU)
    file = written_loras.written(tmp_path / "a.safetensors", shapes(model.config("transformer")))

    def answer(place: Residency, *uses: LoraUse) -> torch.Tensor:
        plan = MemoryPlan(place, place, place, 0, eight_bit=True)
        with PlacedModel(model, plan, loras=uses).use("transformer") as transformer:
            return TestLoras.answer(transformer)

    plain = answer(Residency.RESIDENT)
    before = in_eight(model.transformer)
    changed = answer(Residency.RESIDENT, LoraUse(str(file), 0.7))
    assert not torch.equal(plain, changed)
    for uses, wanted in [((), plain), ((LoraUse(str(file), 0.7),), changed), ((), plain)]:
        assert torch.equal(answer(Residency.BLOCK_OFFLOADED, *uses), wanted)
        assert model.transformer.block_offload
    assert unchanged(model.transformer, before)


class TestRounding:
    """A transformer that is rounded here."""

    @pytest.mark.parametrize(("tail", "most"), [(None, 0.009), (4.0, 0.03)])
    def test_a_row_errs_by_less_than_a_hundredth_and_with_long_tails_by_three(self, tail, most):
        torch.manual_seed(0)
        weight = torch.randn(64, 1536) if tail is None else torch.distributions.StudentT(tail).sample((64, 1536))
        weight = weight * torch.logspace(-4, 1, 64)[:, None]  # rows of every size
        whole, scale = eight_bit.rounded(weight)
        error = (whole * scale - weight).norm(dim=1) / weight.norm(dim=1)
        assert error.median() < most
        assert ((whole * scale - weight).abs() <= scale * 0.501).all()
        assert (whole.abs().amax(dim=1) == 127).all()

    def test_rows_of_zeros_stay_zeros_and_what_is_no_number_shows(self):
        weight = torch.ones(3, 4)
        weight[0], weight[1, 2] = 0.0, math.nan
        layer = EightBitLinear(*eight_bit.rounded(weight), None)
        assert torch.equal(layer(torch.ones(4)).isnan(), torch.tensor([False, True, False]))
        assert layer.weight_in(FULL)[0].eq(0).all()

    @pytest.mark.parametrize("architecture", ["text", "control", "first_and_last"])
    def test_the_blocks_alone_are_rounded_and_the_output_is_near(self, architecture):
        whole = forms.transformer(architecture)
        made = copy.deepcopy(whole)
        eight_bit.quantize(made)
        plain = {name for name, layer in made.named_modules() if type(layer) is torch.nn.Linear}
        assert {name.split(".")[0] for name in plain} == {"condition_embedder", "proj_out"}
        assert {name.split(".")[0] for name in eight_bit_layers(made)} <= {"blocks", "vace_blocks"}
        assert len(plain) + len(eight_bit_layers(made)) == len(
            [0 for layer in whole.modules() if isinstance(layer, torch.nn.Linear)]
        )
        assert 0 < far(run_transformer(whole), run_transformer(made)) < 0.1
        again = in_eight(made)
        eight_bit.quantize(made)
        assert unchanged(made, again)

    def test_the_embedded_models_weights_err_by_about_a_hundredth_at_most(self):
        from tools.embedded_model import evaluate

        transformer = WanModel(evaluate.WEIGHTS, CPU).transformer
        for name in eight_bit.layers(transformer):
            weight = transformer.get_submodule(name).weight
            whole, scale = eight_bit.rounded(weight)
            assert (whole * scale - weight).norm() < 0.015 * weight.norm(), name


class TestModel:
    """`weights_in_8_bit` of a model."""

    @pytest.fixture
    def half(self, text_experts_folder) -> WanModel:
        return WanModel(text_experts_folder, CPU, Precision(HALF, HALF, FULL))

    @staticmethod
    def held(module: Any) -> int:
        """The bytes of what its file would hold, and of the scales."""
        return sum(weight.nbytes for weight in module.state_dict().values())

    def test_both_experts_load_from_their_folders_as_if_rounded_afterwards(self, half):
        wholes = {component: half.component(component) for component in ("transformer", "transformer_2")}
        half.weights_in_8_bit = True
        assert not half.loaded("transformer") and not half.loaded("transformer_2")
        for component, whole in wholes.items():
            eight_bit.quantize(whole)
            made = half.component(component)
            assert type(made) is type(whole) and not made.training
            found, wanted = made.state_dict(), whole.state_dict()
            assert found.keys() == wanted.keys()
            assert all(found[name].dtype == wanted[name].dtype for name in wanted)
            assert all(torch.equal(found[name], wanted[name]) for name in wanted)
            assert not any(weight.requires_grad or weight.is_meta for weight in made.parameters())
            assert made.dtype == HALF
        half.weights_in_8_bit = False
        assert not half.loaded("transformer")
        assert type(half.transformer.blocks[0].attn1.to_q) is torch.nn.Linear

    def test_the_bytes_are_said_before_they_are_taken(self, half):
        count, whole = half.parameter_count("transformer"), half.weight_bytes("transformer")
        half.weights_in_8_bit = True
        told = half.weight_bytes("transformer")
        assert told == self.held(half.transformer) < whole
        buffers = sum(buffer.nbytes for name, buffer in half.transformer.named_buffers() if "scale" not in name)
        assert half.weight_bytes("transformer") == told + buffers
        assert half.parameter_count("transformer") == count

    def test_what_is_held_counts_as_room(self, half):
        half.weights_in_8_bit = True
        empty = room_for(half, 64, 64, 5, budget_bytes=None)
        held = self.held(half.transformer)
        from wan_backend.loading import residency

        assert residency._held_bytes(half, "cpu") >= held
        assert empty.needs.transformer > held  # what it would need whole: the plan is made anew each time

    @pytest.mark.parametrize("form", FP8)
    def test_the_bytes_of_an_fp8_file_are_said_and_true(self, tmp_path, form):
        components = {**forms.files(tmp_path, "text"), "transformer": written(tmp_path / "fp8", "text", form)}
        model = WanModel(tmp_path, CPU, ON_A_CARD, components)
        told = model.weight_bytes("transformer")
        held = self.held(model.transformer)
        assert held <= told < held * 1.02
        assert told < 0.75 * 2 * model.parameter_count("transformer")

    @pytest.mark.parametrize("architecture", ["camera", "camera_and_picture"])
    def test_the_bytes_of_one_that_a_camera_steers_are_said_and_true(self, tmp_path, architecture):
        files, folder = forms.files(tmp_path / "files", architecture), forms.folder(tmp_path / "folder", architecture)
        files["transformer"] = written(tmp_path / "fp8", architecture)
        kept, rounded = WanModel(tmp_path, CPU, ON_A_CARD, files), WanModel(folder, CPU, ON_A_CARD)
        rounded.weights_in_8_bit = True
        for model in (kept, rounded):
            told = model.weight_bytes("transformer")
            assert told <= room_for(model, 64, 64, 5).needs.transformer
            held = self.held(model.transformer)
            assert held <= told < held * 1.02
            assert run_transformer(model.transformer).isfinite().all()

    def test_the_rest_of_the_model_stays_in_memory(self, half):
        encoder, transformer = half.text_encoder, half.transformer
        half.weights_in_8_bit = False
        assert half.transformer is transformer
        half.weights_in_8_bit = True
        assert half.text_encoder is encoder and half.transformer is not transformer

    def test_a_file_that_is_in_8_bit_already_is_left_as_it_is(self, tmp_path):
        components = {**forms.files(tmp_path, "text"), "transformer": written(tmp_path / "fp8", "text")}
        model = WanModel(tmp_path, CPU, ON_A_CARD, components)
        before, transformer = model.fingerprint(), model.transformer
        model.weights_in_8_bit = True
        assert model.transformer is transformer and model.fingerprint() == before

    def test_on_the_cpu_an_fp8_file_is_whole_until_8_bit_are_asked_for(self, tmp_path):
        components = {**forms.files(tmp_path, "text"), "transformer": written(tmp_path / "fp8", "text")}
        model = WanModel(tmp_path, CPU, components=components)
        one = run_transformer(model.transformer)
        assert eight_bit_layers(model.transformer) == {}
        model.weights_in_8_bit = True
        assert model.transformer.blocks[0].attn1.to_q.weight.dtype == torch.float8_e4m3fn
        assert torch.equal(run_transformer(model.transformer), one)
        told = WanModel(tmp_path, torch.device("mps"), components=components)
        told.weights_in_8_bit = True
        assert told.transformer.blocks[0].attn1.to_q.weight.dtype == torch.int8, "Apple's cards have no fp8"

    @pytest.mark.parametrize("kind", ["bf16", "GGUF in 16 bit"])
    def test_a_file_in_full_precision_is_rounded_as_it_is_read(self, tmp_path, kind):
        weights = forms.published("transformer", forms.weights_of(forms.transformer("text")))
        components = forms.files(tmp_path, "text", transformer=lambda w: forms.cast(w, HALF))
        if kind != "bf16":
            components["transformer"] = forms.write_gguf(tmp_path / "t.gguf", weights, "BF16")
        model = WanModel(tmp_path, CPU, ON_A_CARD, components)
        whole = model.transformer
        eight_bit.quantize(whole)
        model.weights_in_8_bit = True
        told = model.weight_bytes("transformer")
        assert torch.equal(run_transformer(model.transformer), run_transformer(whole))
        assert told == self.held(model.transformer)

    def test_kept_prompts_stay_and_kept_steps_do_not(self, half):
        before = {name: half.fingerprint(name) for name in ("", *half.components)}
        half.weights_in_8_bit = True
        after = {name: half.fingerprint(name) for name in ("", *half.components)}
        assert {name for name in before if before[name] != after[name]} == {"", "transformer", "transformer_2"}
        half.weights_in_8_bit = False
        assert {name: half.fingerprint(name) for name in before} == before

    def test_shards_are_read_and_what_is_missing_is_named(self, t2v_folder, tmp_path):
        folder = Path(shutil.copytree(t2v_folder, tmp_path / "model"))
        whole = WanModel(folder, CPU).transformer
        shutil.rmtree(folder / "transformer")
        whole.save_pretrained(folder / "transformer", max_shard_size="30KB")
        assert len(list((folder / "transformer").glob("*.safetensors"))) > 1
        model = WanModel(folder, CPU)
        model.weights_in_8_bit = True
        eight_bit.quantize(whole)
        assert unchanged(model.transformer, in_eight(whole))
        index = json.loads((folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json").read_text())
        file = folder / "transformer" / index["weight_map"]["blocks.1.ffn.net.2.bias"]
        state = load_file(file)
        save_file({name: w for name, w in state.items() if name != "blocks.1.ffn.net.2.bias"}, file, {"format": "pt"})
        broken = WanModel(folder, CPU)
        broken.weights_in_8_bit = True
        with pytest.raises(Refusal, match=r"1 of its tensors are missing, the first is blocks\.1\.ffn\.net\.2\.bias"):
            _ = broken.transformer
        save_file({**state, "blocks.1.ffn.net.2.bias": torch.zeros(7)}, file, {"format": "pt"})
        with pytest.raises(Refusal, match=r"its tensor blocks\.1\.ffn\.net\.2\.bias has the shape \(7,\)"):
            _ = broken.transformer
        file.unlink()
        with pytest.raises(Refusal, match="transformer") as caught:
            _ = broken.transformer
        assert caught.value.problem.kind == "model_broken"

    @pytest.mark.parametrize("place", [Residency.RESIDENT, Residency.BLOCK_OFFLOADED, Residency.RELOADED])
    def test_a_take_is_denoised_wherever_the_weights_lie(self, t2v_folder, place):
        """With and without; in bfloat16, as on a card."""
        takes = []
        for eight in (False, True):
            model = WanModel(t2v_folder, CPU, Precision(FULL, HALF, FULL))
            placement = PlacedModel(model, MemoryPlan(place, place, place, 0, eight_bit=eight))
            torch.manual_seed(0)
            given = Conditions(torch.randn(1, 12, 32).to(HALF), None, torch.randn(1, 16, 2, 8, 8))
            scheduler = diffusers.UniPCMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
            )
            with placement.use("transformer") as transformer:
                assert bool(eight_bit_layers(transformer)) == eight
                takes.append(denoise(transformer, scheduler, given, steps=3, guidance_scale=1.0))
        assert 0 < far(*takes) < 0.2
