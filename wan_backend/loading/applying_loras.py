"""Puts LoRAs on a transformer and takes them off again, to the bit.

Low-rank changes are PEFT's adapters beside the weights, which are never touched: so they work on weights of any
number format, quantized ones too, and taking them off leaves what was there. Changes of whole parameters (biases,
norms, in LoRAs that shorten the sampling) are added, and what was there is kept.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer

from ..catalogue.transformer_shapes import shapes
from ..lora.lora_head import UnusableLora
from ..protocol.errors import Refusal
from ..protocol.messages import Expert, LoraUse, Problem, ProblemKind
from ..protocol.sentences import Sentence
from ..storage.guarded_files import Stamp, stamp
from .diffusers_internals import dequantize_gguf_tensor
from .eight_bit import EightBitLinear
from .lora_weights import Weights, load

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AppliedLora:
    """A LoRA as it lies on a transformer now."""

    path: str
    changed: Stamp
    """The file's length and time, which show whether it was exchanged."""
    strength: float
    half: str = ""
    """ "high" or "low" if the transformer is one of two: of a file for both, it is that half."""

    @property
    def file(self) -> tuple[str, Stamp, str]:
        """Path, stamp and expert: equal for two that would load the same weights."""
        return self.path, self.changed, self.half


def applied_loras(transformer: Any) -> list[AppliedLora]:
    """The LoRAs that are on the transformer, in order."""
    return list(getattr(transformer, "worn_loras", ()))


def requested_loras(uses: Sequence[LoraUse]) -> list[AppliedLora]:
    """The LoRAs that `apply` would apply; raises Refusal if a file is gone."""
    found = []
    for use in uses:
        try:
            changed = stamp(Path(use.path))
        except OSError as error:
            raise _refusal(use.path, Sentence("is not there any more")) from error
        half = use.expert.value if use.expert in (Expert.HIGH, Expert.LOW) else ""
        found.append(AppliedLora(use.path, changed, use.strength, half))
    return found


def file_bytes(uses: Sequence[LoraUse]) -> int:
    """The size of their files: about what they take beside the transformer. Raises Refusal if one is gone."""
    return sum(one.changed[0] for one in requested_loras(uses))


def are_on(transformer: Any, uses: Sequence[LoraUse]) -> bool:
    """Whether `apply` would leave every weight and every layer as it is. Raises Refusal if a file is gone."""
    asked, there = requested_loras(uses), applied_loras(transformer)
    return asked == there or _differ_in_strength_alone(transformer, asked, there)


def _differ_in_strength_alone(transformer: Any, asked: list[AppliedLora], there: list[AppliedLora]) -> bool:
    """Whether these have the same files, and only low-rank changes."""
    same_files = [one.file for one in asked] == [one.file for one in there]
    return same_files and not getattr(transformer, "replaced_parameters", {})


@torch.no_grad()
def apply(
    transformer: Any, uses: Sequence[LoraUse], dtype: torch.dtype, on_read: Callable[[str], None] = lambda _file: None
) -> bool:
    """Have exactly these LoRAs on the transformer; True if layers or parameters came, went or were changed.

    Those that are there already stay. `dtype` is the number format that the transformer computes in; `on_read(file)` is
    called before a file is read. Raises Refusal, with none of them on.
    """
    asked, there = requested_loras(uses), applied_loras(transformer)
    if asked == there:
        return False
    if _differ_in_strength_alone(transformer, asked, there):
        _set_strengths(transformer, asked)
        return False
    remove(transformer)
    layers = shapes(transformer.config)
    try:
        for number, one in enumerate(asked):
            on_read(one.path)
            _attach(transformer, number, one, load(Path(one.path), layers, one.half), dtype)
    except UnusableLora as why:
        remove(transformer)
        raise _refusal(one.path, str(why)) from why
    except BaseException:
        remove(transformer)
        raise
    _set_strengths(transformer, asked)
    log.info("%d LoRAs are on: %s", len(asked), ", ".join(f"{one.path} {one.strength:g}" for one in asked))
    return True


@torch.no_grad()
def remove(transformer: Any) -> None:
    """Take every LoRA off; the transformer is as it was before, to the bit."""
    transformer.worn_loras = []
    if any(isinstance(module, LoraLayer) for module in transformer.modules()):  # also if loading broke off half way
        transformer.unload_lora()
    for name, kept in getattr(transformer, "replaced_parameters", {}).items():
        parameter = transformer.get_parameter(name)
        if _is_packed(kept):
            owner, _, last = name.rpartition(".")
            setattr(transformer.get_submodule(owner), last, _on(kept, parameter.device))
        else:
            parameter.copy_(kept)
    transformer.replaced_parameters = {}


def _attach(transformer: Any, number: int, one: AppliedLora, weights: Weights, dtype: torch.dtype) -> None:
    _add_differences(transformer, weights, one.strength, dtype)
    if weights.layers:
        _add_adapter(transformer, _name(number), weights, dtype)


def _add_adapter(transformer: Any, name: str, weights: Weights, dtype: torch.dtype) -> None:
    state, alphas = {}, {}
    for layer, factors in weights.layers.items():
        state[f"transformer.{layer}.lora_A.weight"] = factors.down.to(dtype)
        state[f"transformer.{layer}.lora_B.weight"] = factors.up.to(dtype)
        alphas[f"transformer.{layer}.alpha"] = factors.alpha
    with warnings.catch_warnings():
        # Layers that end as another does (proj_out) are named by the settings that diffusers makes, too; the keys win.
        warnings.filterwarnings("ignore", "While injecting the PEFT adapters", RuntimeWarning)
        warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
        warnings.filterwarnings("ignore", "TorchaoLoraLinear was instantiated", UserWarning)  # nothing is merged
        transformer.load_lora_adapter(state, prefix="transformer", network_alphas=alphas, adapter_name=name)
    landed: dict[str, Any] = {
        layer: module
        for layer, module in transformer.named_modules()
        if isinstance(module, LoraLayer) and name in module.lora_A
    }
    if set(landed) != set(weights.layers):
        raise UnusableLora(Sentence("did not load completely because of a bug in Wan VSE; remove it from the list"))
    for layer, module in landed.items():
        # PEFT makes the factors in the number format of the weight, which of a quantized one is none to compute in.
        device = module.lora_A[name].weight.device
        module.lora_A[name].weight.data = state[f"transformer.{layer}.lora_A.weight"].to(device)
        module.lora_B[name].weight.data = state[f"transformer.{layer}.lora_B.weight"].to(device)
        factors = weights.layers[layer]
        module.lora_alpha[name], module.r[name] = factors.alpha, factors.down.shape[0]


def _add_differences(transformer: Any, weights: Weights, strength: float, dtype: torch.dtype) -> None:
    """Add to whole parameters. The sum is rounded once, to the parameter's own number format.

    One that is packed, as a GGUF may have those outside the blocks, is unpacked for as long as the LoRA is on.
    """
    kept = transformer.replaced_parameters
    for name, difference in weights.differences.items():
        module, last = _owner(transformer, name)
        parameter = getattr(module, last)
        if _is_packed(parameter):
            kept[name] = parameter
            total = _unpacked(parameter) + strength * difference.to(parameter.device, torch.float32)
            setattr(module, last, torch.nn.Parameter(total.to(dtype), requires_grad=False))
            continue
        kept.setdefault(name, parameter.detach().clone())
        total = parameter.float() + strength * difference.to(parameter.device, torch.float32)
        parameter.copy_(total)


def _owner(transformer: Any, name: str) -> tuple[Any, str]:
    """The module that has the parameter of that name, and what it calls it; under an adapter it lies a level deeper.

    Raises UnusableLora if it is none to add to.
    """
    owner, _, last = name.rpartition(".")
    module = transformer.get_submodule(owner)
    module = module.get_base_layer() if isinstance(module, LoraLayer) else module
    found: torch.Tensor = getattr(module, last)
    scaled = isinstance(module, EightBitLinear) and found is module.weight
    plain = found.is_floating_point() and type(found.detach()) is torch.Tensor
    if scaled or not (plain or (_is_packed(found) and "blocks." not in name)):
        raise UnusableLora(
            Sentence("adds to {name} itself, which can't be done if the model's weights are compressed", name=name)
        )
    return module, last


def _is_packed(parameter: torch.Tensor) -> bool:
    """True for blocks of a GGUF."""
    return hasattr(parameter, "quant_type")


def _unpacked(parameter: Any) -> torch.Tensor:
    """The numbers of a GGUF's blocks in float32, as the layer itself takes them."""
    numbers: torch.Tensor = dequantize_gguf_tensor(parameter)  # type: ignore[no-untyped-call]
    return numbers.as_subclass(torch.Tensor).float()


def _on(parameter: Any, device: torch.device) -> Any:
    """Packed blocks that were kept, brought to the device where the transformer is by now."""
    return (
        parameter if parameter.device == device else type(parameter)(parameter.to(device), False, parameter.quant_type)
    )


def _set_strengths(transformer: Any, asked: list[AppliedLora]) -> None:
    names = getattr(transformer, "peft_config", None) or {}
    active = [(_name(number), one.strength) for number, one in enumerate(asked) if _name(number) in names]
    if active:
        transformer.set_adapters([name for name, _ in active], [strength for _, strength in active])
        transformer.eval().requires_grad_(False)
    transformer.worn_loras = asked


def _name(number: int) -> str:
    return f"lora_{number}"


def _refusal(path: str, why: str) -> Refusal:
    return Refusal(Problem(ProblemKind.BAD_LORA, Sentence('The LoRA "{name}" {why}.', name=Path(path).name, why=why)))
