"""Products of matrices in 8 bit: what they compute, to the bit; where they are used; and that no take fails by them.

The CPU's torch has the products of a card, so that what runs there is computed here; kernels of Triton run in its
interpreter, where there is Triton.
"""

from __future__ import annotations

import copy
import gc
import importlib.util
import math
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.wan_backend.library import file_forms as forms
from tests.wan_backend.loading.test_eight_bit import ON_A_CARD, eight_bit_layers, in_eight, unchanged, written
from tests.wan_backend.loading.test_single_files import run_transformer
from tests.wan_backend.lora import written_loras
from wan_backend.catalogue.transformer_shapes import shapes
from wan_backend.loading import applying_loras, eight_bit, matrix_products, tensors
from wan_backend.loading.eight_bit import EightBitLinear
from wan_backend.loading.kernel_trials import KernelTrials
from wan_backend.loading.matrix_kernels import LEVELS, MATRIX_KERNELS, MatrixKernel, TorchRows, TritonRows
from wan_backend.loading.matrix_products import EightBitProduct, MatrixWidth
from wan_backend.loading.residency import PlacedModel, room_for
from wan_backend.loading.wan_model import Precision, WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.protocol.messages import LoraUse

CPU, HALF, FULL = torch.device("cpu"), torch.bfloat16, torch.float32
FP8, INT8 = torch.float8_e4m3fn, torch.int8
KERNELS = {kernel.name: kernel for kernel in MATRIX_KERNELS}
WIDTH = MatrixWidth(64, 128, FULL)
BY_NAME = pytest.mark.parametrize("name", KERNELS)


def product(name: str, **changes: Any) -> EightBitProduct:
    """That of a kernel, by torch's own operations on rows."""
    return EightBitProduct(replace(KERNELS[name], **changes), TorchRows(), 0.03)


def layer_of(weight: torch.Tensor, name: str, bias: torch.Tensor | None = None) -> EightBitLinear:
    """One in 8 bit, with its product."""
    kept = None if bias is None else torch.nn.Parameter(bias, requires_grad=False)
    made = EightBitLinear(*eight_bit.rounded(weight, KERNELS[name].form), kept)
    made.product = product(name)
    return made


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The difference of two tensors, relative to the second."""
    return float((one - other).norm() / other.norm())


def plainly(layer: EightBitLinear, states: torch.Tensor, gelu: bool = False) -> torch.Tensor:
    """What the layer's product comes to, in float64: all numbers are rounded as they are, and nothing else."""
    form = layer.weight.dtype
    wide = torch.nn.functional.gelu(states, approximate="tanh") if gelu else states
    scale = (wide.float().abs().amax(-1, keepdim=True) / LEVELS[form]).clamp_min(1e-12)
    numbers = wide.float() / scale
    numbers = (numbers.round() if form == INT8 else numbers).to(form).double() * scale
    out = numbers @ (layer.weight.double() * layer.weight_scale).t()
    return out if layer.bias is None else out + layer.bias


class TestArithmetic:
    """What is computed."""

    @BY_NAME
    @pytest.mark.parametrize("biased", [False, True])
    @pytest.mark.parametrize("gelu", [False, True])
    def test_it_is_the_product_of_the_rounded_numbers(self, name, biased, gelu):
        layer = layer_of(drawn(48, 64), name, drawn(48, seed=2) if biased else None)
        states = drawn(2, 19, 64, seed=1) * torch.logspace(-3, 3, 19)[:, None]
        made = layer.after_gelu(states) if gelu else layer(states)
        assert made.shape == (2, 19, 48) and made.dtype == FULL
        wanted = plainly(layer, states, gelu)
        assert ((made - wanted).norm(dim=-1) <= 2e-6 * wanted.norm(dim=-1)).all()

    @BY_NAME
    def test_its_error_is_the_one_that_is_stated(self, name):
        weight, states = drawn(256, 2048), drawn(64, 2048, seed=1)
        exact = states @ weight.t()
        error = float((layer_of(weight, name)(states) - exact).norm() / exact.norm())
        assert KERNELS[name].max_error / 3 < error < KERNELS[name].max_error

    @BY_NAME
    def test_each_row_has_its_own_scale_and_keeps_its_largest_number(self, name):
        form = KERNELS[name].form
        states = drawn(8, 64) * torch.logspace(-6, 6, 8)[:, None]
        numbers, scale = TorchRows().quantize(states, form, False)
        assert numbers.dtype == form and scale.shape == (8, 1)
        assert (numbers.float().abs().amax(1) == LEVELS[form]).all()
        assert ((numbers.float() * scale - states).norm(dim=1) < 0.04 * states.norm(dim=1)).all()

    @BY_NAME
    def test_rows_are_rounded_alike_in_pieces(self, name, monkeypatch):
        layer, states = layer_of(drawn(48, 64), name), drawn(50, 64, seed=1)
        whole = layer(states)
        monkeypatch.setattr("wan_backend.loading.matrix_kernels.PIECE_NUMBERS", 7 * 64)
        assert torch.equal(layer(states.clone()), whole)

    @BY_NAME
    def test_zeros_stay_zeros_and_what_is_no_number_shows(self, name):
        states = drawn(20, 64)
        states[0], states[1, 3], states[2, 5] = 0.0, math.nan, math.inf
        made = layer_of(drawn(16, 64), name)(states)
        assert made[0].eq(0).all() and not made[1:3].isfinite().any() and made[3:].isfinite().all()

    def test_one_scale_for_all_rows_of_a_weight_is_each_ones(self):
        weight, states = drawn(48, 64).to(FP8), drawn(20, 64, seed=1)
        one = EightBitLinear(weight, torch.full((1, 1), 0.25), None)
        each = EightBitLinear(weight, torch.full((48, 1), 0.25), None)
        one.product = each.product = product("fp8")
        assert torch.equal(one(states), each(states))

    @BY_NAME
    def test_bfloat16_comes_out_where_it_comes_in(self, name):
        layer = layer_of(drawn(48, 64), name, drawn(48, seed=2).to(HALF))
        states = drawn(1, 20, 64, seed=1).to(HALF)
        made, wanted = layer(states), plainly(layer, states)
        assert made.dtype == HALF and (made - wanted).norm() < 4e-3 * wanted.norm()


class TestRows:
    """Rows that are quantized once for several products."""

    @pytest.fixture
    def counted(self, monkeypatch) -> list[int]:
        calls: list[int] = []
        quantize = TorchRows.quantize
        monkeypatch.setattr(
            TorchRows, "quantize", lambda rows, *given: calls.append(len(given[0])) or quantize(rows, *given)
        )
        return calls

    def test_queries_keys_and_values_are_made_of_the_same_ones(self, counted):
        shared, states = product("int8"), drawn(1, 20, 64)
        layers = [layer_of(drawn(16, 64, seed=seed), "int8") for seed in range(3)]
        apart = [layer(states) for layer in layers]
        assert len(counted) == 3
        for layer in layers:
            layer.product = shared
        assert all(torch.equal(layer(states), before) for layer, before in zip(layers, apart, strict=True))
        assert len(counted) == 4

    def test_numbers_that_were_changed_are_quantized_anew(self, counted):
        layer, states = layer_of(drawn(16, 64), "int8"), drawn(20, 64)
        before = layer(states)
        states.mul_(-1)
        assert torch.equal(layer(states), -before) and len(counted) == 2

    def test_they_are_let_go_with_what_they_were_made_of(self):
        layer, states = layer_of(drawn(16, 64), "int8"), drawn(20, 64)
        layer(states)
        assert layer.product._last is not None
        del states
        gc.collect()
        assert layer.product._last is None


class TestFailures:
    """A kernel that fails."""

    @staticmethod
    def failing(error: Exception) -> MatrixKernel:
        def fails(*_given: Any) -> torch.Tensor:
            raise error

        return replace(KERNELS["int8"], multiply=fails)

    def test_weights_are_multiplied_in_16_bit_from_then_on_and_the_next_take_knows(self, tmp_path):
        trials, states = KernelTrials(tmp_path / "kernels.json"), drawn(20, 64)
        layer = layer_of(drawn(16, 64), "int8")
        layer.product = None
        wanted = layer(states)
        layer.product = EightBitProduct(self.failing(RuntimeError("no kernel image")), TorchRows(), 0.0, "key", trials)
        assert torch.equal(layer(states), wanted) and layer.product.broken
        assert torch.equal(layer.after_gelu(states), layer(torch.nn.functional.gelu(states, approximate="tanh")))
        again = KernelTrials(tmp_path / "kernels.json")
        assert again.find_or_try("key", lambda: pytest.fail("it is tried again")) is None

    def test_running_out_of_memory_is_no_fault_of_the_kernel(self):
        layer = layer_of(drawn(16, 64), "int8")
        layer.product = EightBitProduct(self.failing(torch.OutOfMemoryError()), TorchRows(), 0.0)
        with pytest.raises(torch.OutOfMemoryError):
            layer(drawn(20, 64))
        assert not layer.product.broken

    def test_too_few_rows_are_multiplied_in_16_bit(self):
        layer = layer_of(drawn(16, 64), "int8")
        states = drawn(16, 64)
        assert layer.product.multiply(layer, states) is None
        assert torch.equal(layer(states), torch.nn.functional.linear(states, layer.weight_in(FULL)))

    @pytest.mark.parametrize(
        ("name", "shape", "fits"),
        [("fp8", (48, 64), True), ("fp8", (24, 64), False), ("int8", (24, 64), True), ("int8", (20, 64), False)],
    )
    def test_a_weight_of_odd_sides_is_left_alone(self, name, shape, fits):
        assert product(name).fits(layer_of(drawn(*shape), name)) == fits
        other = {"fp8": "int8", "int8": "fp8"}[name]
        assert not product(other).fits(layer_of(drawn(48, 64), name))


class TestChoice:
    """The trial of each kernel, with a clock in place of the card's."""

    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch) -> dict[str, float]:
        times = {"fp8": 0.6, "int8": 0.7, "exact": 1.0}

        def told(probe: Any, in_8_bit: bool) -> float:
            return times[probe._product.kernel.name if in_8_bit else "exact"]

        monkeypatch.setattr(matrix_products._Probe, "milliseconds", told)
        monkeypatch.setattr(matrix_products, "PROBED_ROWS", 96)
        monkeypatch.setattr(matrix_products, "ODD_ROWS", 75)
        return times

    @staticmethod
    def chosen(capability: tuple[int, int], trials: KernelTrials | None = None) -> str:
        found = matrix_products.choose(CPU, WIDTH, trials or KernelTrials(), capability)
        return "" if found is None else found.kernel.name

    @pytest.mark.parametrize(
        ("capability", "name"), [((7, 0), ""), ((7, 5), "int8"), ((8, 6), "int8"), ((8, 9), "fp8"), ((12, 0), "fp8")]
    )
    def test_a_card_gets_fp8_where_it_has_it_and_int8_where_not(self, capability, name):
        assert self.chosen(capability) == name

    def test_what_is_not_faster_is_not_taken(self, clock):
        clock["fp8"] = 0.97
        assert self.chosen((9, 0)) == "int8"
        clock["int8"] = 1.2
        assert self.chosen((9, 0)) == ""

    @pytest.mark.parametrize(("int8", "name"), [(1.04, "int8"), (1.06, "fp8"), (0.5, "int8")])
    def test_the_more_exact_of_those_that_are_as_fast_is_taken(self, clock, int8, name):
        clock["int8"] = int8 * clock["fp8"]
        assert self.chosen((9, 0)) == name

    def test_what_is_wrong_or_fails_is_not_taken(self, monkeypatch):
        def wrong(*given: Any) -> torch.Tensor:
            return KERNELS["fp8"].multiply(*given) * 1.1

        def fails(*_given: Any) -> torch.Tensor:
            raise RuntimeError("rowwise scaling is not there on Windows")

        for multiply in (wrong, fails, lambda *given: KERNELS["fp8"].multiply(*given) * math.nan):
            kernels = (replace(KERNELS["fp8"], multiply=multiply), KERNELS["int8"])
            found = matrix_products.choose(CPU, WIDTH, KernelTrials(), (9, 0), kernels)
            assert found.kernel.name == "int8"

    def test_torchs_own_operations_on_rows_are_tried_where_tritons_fail(self, monkeypatch):
        class Failing(TorchRows):
            def quantize(self, *_given: Any) -> Any:
                raise RuntimeError("there is no compiler")

        monkeypatch.setattr(matrix_products, "rows_for", lambda _device: [Failing(), TorchRows()])
        monkeypatch.setattr(matrix_products, "_key", lambda kernel, rows, *_given: f"{kernel.name}, {type(rows)}")
        found = matrix_products.choose(CPU, WIDTH, KernelTrials(), (9, 0))
        assert found.kernel.name == "fp8" and type(found._rows) is TorchRows

    def test_results_are_kept(self, tmp_path, monkeypatch):
        file = tmp_path / "kernels.json"
        assert self.chosen((9, 0), KernelTrials(file)) == "fp8"
        monkeypatch.setattr(matrix_products, "_measured", lambda *_given: pytest.fail("it is tried again"))
        found = matrix_products.choose(CPU, WIDTH, KernelTrials(file), (9, 0))
        assert 0.02 < found.error < 0.05 and f"{found.error:.1e}" in found.description

    def test_where_memory_is_short_it_is_tried_another_time(self, monkeypatch):
        def spent(*_given: Any) -> None:
            raise torch.OutOfMemoryError

        trials = KernelTrials()
        with monkeypatch.context() as short:
            short.setattr(matrix_products._Probe, "__init__", spent)
            assert self.chosen((9, 0), trials) == ""
        assert self.chosen((9, 0), trials) == "fp8"

    def test_a_card_whose_product_broke_gets_none(self, monkeypatch):
        made = product("int8")
        monkeypatch.setattr(matrix_products, "_chosen", lambda *_given: made)
        assert matrix_products.choose_for(CPU, WIDTH) is made
        made.broken = True
        assert matrix_products.choose_for(CPU, WIDTH) is None

    def test_the_cpu_has_none(self):
        assert matrix_products.choose_for(CPU, WIDTH) is None


class TestTransformers:
    """A transformer's blocks with products in 8 bit."""

    @BY_NAME
    def test_all_but_what_sees_the_prompt_multiplies_and_the_rest_stays(self, name):
        whole = forms.transformer("first_and_last")
        made = copy.deepcopy(whole)
        eight_bit.quantize(made, KERNELS[name].form)
        count = eight_bit.multiply_with(made, product(name, min_rows=1))
        layers = eight_bit_layers(made)
        without = {layer for layer, module in layers.items() if module.product is None}
        assert without == {layer for layer in layers if layer.endswith(eight_bit.PROMPT_LAYERS)} and without
        assert count == len(layers) - len(without)
        assert all(layers[layer].weight.dtype == INT8 for layer in without)
        plain = {layer for layer, module in made.named_modules() if type(module) is torch.nn.Linear}
        assert {layer.split(".")[0] for layer in plain} == {"condition_embedder", "proj_out"}
        assert 1e-4 < apart(run_transformer(made), run_transformer(whole)) < 0.1
        eight_bit.multiply_with(made, None)
        assert not any(module.product for module in layers.values())

    @BY_NAME
    def test_loras_go_on_beside_and_come_off_to_the_bit(self, name, tmp_path):
        made = forms.transformer("text")
        whole = copy.deepcopy(made)
        eight_bit.quantize(made, KERNELS[name].form)
        shared = product(name, min_rows=1)
        count = eight_bit.multiply_with(made, shared)
        before, plain, exact = in_eight(made), run_transformer(made), run_transformer(whole)
        file = written_loras.written(tmp_path / "a.safetensors", shapes(made.config))
        for module in (made, whole):
            applying_loras.apply(module, [LoraUse(str(file), 0.7)], FULL)
        assert eight_bit.multiply_with(made, shared) == count, "under an adapter, too"
        changed = run_transformer(made)
        assert apart(changed, plain) > 2 * apart(changed, run_transformer(whole)) > 0, "it is the LoRA's own change"
        assert not torch.equal(exact, run_transformer(whole))
        applying_loras.remove(made)
        assert torch.equal(run_transformer(made), plain) and unchanged(made, before)


class TestModel:
    """`matrix_product` of a model."""

    @pytest.fixture(params=list(KERNELS))
    def wanted(self, request) -> EightBitProduct:
        return product(request.param, min_rows=1)

    @pytest.fixture
    def half(self, text_experts_folder) -> WanModel:
        return WanModel(text_experts_folder, CPU, Precision(HALF, HALF, FULL))

    def test_both_experts_load_from_their_folders_as_if_rounded_afterwards(self, half, wanted):
        wholes = {part: half.component(part) for part in ("transformer", "transformer_2")}
        encoder = half.text_encoder
        half.matrix_product = wanted
        assert half.text_encoder is encoder and not half.loaded("transformer") and not half.loaded("transformer_2")
        for part, whole in wholes.items():
            eight_bit.quantize(whole, wanted.weight_format)
            assert unchanged(half.component(part), in_eight(whole))
        half.matrix_product = None
        assert type(half.transformer.blocks[0].attn1.to_q) is torch.nn.Linear

    def test_the_bytes_are_said_before_they_are_taken(self, half, wanted):
        whole = half.weight_bytes("transformer")
        half.matrix_product = wanted
        told, needs = half.weight_bytes("transformer"), room_for(half, 64, 64, 5).needs
        held = sum(weight.nbytes for weight in half.transformer.state_dict().values())
        assert told == held < whole and half.quantized
        assert needs.transformer == told and needs.quantized

    def test_kept_prompts_stay_and_kept_steps_do_not(self, half, wanted):
        before = {part: half.fingerprint(part) for part in ("", *half.components)}
        failures = half.fingerprint(as_held=False)
        half.matrix_product = wanted
        after = {part: half.fingerprint(part) for part in before}
        assert {part for part in before if before[part] != after[part]} == {"", "transformer", "transformer_2"}
        assert half.fingerprint(as_held=False) != failures, "what ran out of memory in 16 bit need not in 8 bit"
        half.matrix_product = None
        assert {part: half.fingerprint(part) for part in before} == before

    @pytest.mark.parametrize("form", ["one scale", "a scale a row", "plain"])
    def test_fp8_of_a_file_is_multiplied_as_it_lies_there(self, tmp_path, form, monkeypatch):
        parts = {**forms.files(tmp_path, "text"), "transformer": written(tmp_path / "fp8", "text", form)}
        kept = WanModel(tmp_path, CPU, ON_A_CARD, parts).transformer
        read: list[str] = []
        get = tensors.FileTensors.get
        monkeypatch.setattr(tensors.FileTensors, "get", lambda t, name, dtype: read.append(name) or get(t, name, dtype))
        model = WanModel(tmp_path, CPU, ON_A_CARD, parts)
        model.matrix_product = product("fp8", min_rows=1)
        told = model.weight_bytes("transformer")
        made = model.transformer
        layers = eight_bit_layers(made)
        assert unchanged(made, in_eight(kept))
        assert not {f"{name}.weight" for name in layers} & set(read), "no detour through 16 bit"
        held = sum(weight.nbytes for weight in made.state_dict().values())
        assert held <= told < held * 1.02
        assert eight_bit.multiply_with(made, model.matrix_product) == 2 * 8
        assert 0 < apart(run_transformer(made), run_transformer(kept)) < 0.1

    @pytest.mark.parametrize(("form", "name"), [("e5m2", "fp8"), ("one scale", "int8"), ("a scale a column", "fp8")])
    def test_what_no_product_takes_is_rounded_to_what_it_does(self, tmp_path, form, name):
        source = written(tmp_path / "fp8", "text", "one scale" if "column" in form else form)
        if "column" in form:
            weights = forms.scaled_fp8(forms.published("transformer", forms.weights_of(forms.transformer("text"))))
            weights["blocks.0.ffn.0.scale_weight"] = torch.rand(1, 128) / 100
            source = forms.write(tmp_path / "fp8" / "t.safetensors", weights)
        parts = {**forms.files(tmp_path, "text"), "transformer": source}
        whole = WanModel(tmp_path, CPU, Precision(HALF, HALF, FULL), parts).transformer
        model = WanModel(tmp_path, CPU, ON_A_CARD, parts)
        model.matrix_product = product(name, min_rows=1)
        made = model.transformer
        assert eight_bit.multiply_with(made, model.matrix_product) == 2 * 8
        assert type(made.blocks[0].ffn.net[0].proj) is EightBitLinear
        assert 0 < apart(run_transformer(made), run_transformer(whole)) < 0.1

    def test_a_packed_gguf_stays_as_it_lies_there(self, tmp_path, wanted):
        weights = forms.published("transformer", forms.weights_of(forms.transformer("text")))
        parts = {**forms.files(tmp_path, "text"), "transformer": forms.write_gguf(tmp_path / "t.gguf", weights, "Q8_0")}
        model = WanModel(tmp_path, CPU, ON_A_CARD, parts)
        one = run_transformer(model.transformer)
        model.matrix_product = wanted
        assert model.loaded("transformer") and eight_bit.multiply_with(model.transformer, wanted) == 0
        assert torch.equal(run_transformer(model.transformer), one)

    @BY_NAME
    def test_block_offloaded_weights_give_the_same_and_travel_in_half_the_bytes(self, tmp_path, name):
        parts = forms.files(tmp_path, "text")
        model = WanModel(tmp_path, CPU, Precision(FULL, FULL, FULL), parts)
        sizes, answers = {}, {}
        for wanted in (None, product(name, min_rows=1)):
            model.matrix_product = wanted
            for place in (Residency.RESIDENT, Residency.BLOCK_OFFLOADED):
                with PlacedModel(model, MemoryPlan(place, place, place, 0)).use("transformer") as transformer:
                    multiplying = [layer for layer in eight_bit_layers(transformer).values() if layer.product]
                    assert bool(multiplying) == (wanted is not None)
                    answers[place] = run_transformer(transformer)
            sizes[wanted is not None] = model.transformer.block_offload._blocks[0].size_bytes
            assert torch.equal(answers[Residency.RESIDENT], answers[Residency.BLOCK_OFFLOADED])
            del model.transformer.block_offload
        assert sizes[True] < 0.4 * sizes[False]  # of 32 bit, here


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="the CPU's torch comes without Triton")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the interpreter's, of what is infinite or no number
class TestTriton:
    """The same in one pass."""

    @pytest.fixture
    def rows(self, monkeypatch) -> TritonRows:
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        monkeypatch.delitem(sys.modules, "wan_backend.loading.triton_kernels", raising=False)
        return TritonRows()

    @BY_NAME
    @pytest.mark.parametrize("gelu", [False, True])
    @pytest.mark.parametrize("columns", [64, 80])
    def test_rows_are_quantized_as_torchs_own_operations_do(self, rows, name, gelu, columns):
        states = drawn(9, columns) * torch.logspace(-3, 3, 9)[:, None]
        states[4], states[5, 3] = 0.0, math.nan
        ours, theirs = (each.quantize(states, KERNELS[name].form, gelu) for each in (rows, TorchRows()))
        assert ours[1][5].isnan() and theirs[1][5].isnan()
        keep = torch.arange(9) != 5
        assert torch.allclose(ours[1][keep], theirs[1][keep], rtol=1e-5)
        wide = [(numbers[keep].float() * scale[keep]) for numbers, scale in (ours, theirs)]
        close = (wide[0] - wide[1]).abs() <= 1e-5 * wide[1].abs() + 1e-12
        # Where fp8 is rounded up to a power of two, the interpreter (not a card) forgets to carry.
        carried = theirs[0][keep].float().frexp().mantissa.abs() == 0.5
        close |= carried & (theirs[0].dtype == FP8)
        assert close.float().mean() > 0.99, "but for numbers that lie halfway between two"

    @pytest.mark.parametrize("biased", [False, True])
    def test_sums_are_scaled(self, rows, biased):
        sums = torch.randint(-(1 << 20), 1 << 20, (9, 2100), dtype=torch.int32)
        given = sums, drawn(9, 1).abs(), drawn(2100, seed=1), drawn(2100, seed=2).to(HALF) if biased else None
        ours, theirs = (each.scale_sums(*given, torch.empty(9, 2100)) for each in (rows, TorchRows()))
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-3)
