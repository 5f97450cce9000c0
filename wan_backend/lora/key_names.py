"""Parses the keys of LoRA files: the layer, by diffusers' name, and which tensor of the layer's change it is.

Layers are spelled as in Wan's own code or as in diffusers, after any prefix ("diffusion_model.", "transformer.",
"base_model.model.", ...), or in one word with underscores ("lora_unet_blocks_0_self_attn_q", as kohya's and musubi's
trainers do). If a file is for both experts of a Wan 2.2 A14B, the prefix says for which one a key is.
tests/wan_backend/lora/lora_spellings.py lists who writes what.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from ..library import tensor_names
from ..protocol.sentences import Sentence


class Kind(StrEnum):
    """Which tensor of a layer's change a key names."""

    DOWN = "down"
    """(rank, inputs): the first of the two factors, also called A."""
    UP = "up"
    """(outputs, rank): the second, B."""
    DOWN_BIAS = "down_bias"
    """(rank,): added to what the first factor gives."""
    UP_BIAS = "up_bias"
    """(outputs,): added to the product, and scaled with it."""
    ALPHA = "alpha"
    """One number: the product is scaled by alpha / rank."""
    DIFFERENCE = "difference"
    """What is added to a parameter, of its shape; `LoraKey.name` is then the parameter's."""
    TEXT_ENCODER = "text_encoder"
    """The key is for a text encoder."""
    OTHER_ADAPTER = "other_adapter"
    """It belongs to a kind of adapter that can't be loaded; `LoraKey.name` is then that kind's name."""
    UNKNOWN = "unknown"
    """It belongs to no adapter that is known."""


@dataclass(frozen=True)
class LoraKey:
    """What one key of a file means."""

    name: str
    """The name of the layer or parameter in diffusers; as the file has it if Wan has no such layer."""
    kind: Kind
    expert: str = ""
    """ "high" or "low" if the key says that it is for one of two transformers."""
    spelled: str = ""
    """The layer as the file has it."""


_DOWN, _UP = (
    rf"(?:\.lora(?:_{letter}|_{word}|\.{word}|_linear_layer\.{word})|_lora\.{word})(?:\.[^.]+)?"
    for letter, word in (("A", "down"), ("B", "up"))
)
_KINDS = [
    (re.compile(rf"{_DOWN}\.bias$"), Kind.DOWN_BIAS, ""),
    (re.compile(rf"{_UP}\.bias$"), Kind.UP_BIAS, ""),
    (re.compile(rf"{_DOWN}(?:\.weight)?$"), Kind.DOWN, ""),
    (re.compile(rf"{_UP}(?:\.weight)?$"), Kind.UP, ""),
    (re.compile(r"\.(?:lora_)?alpha$"), Kind.ALPHA, ""),
    (re.compile(r"\.(?:diff|w_norm)$"), Kind.DIFFERENCE, ".weight"),
    (re.compile(r"\.(?:diff_b|b_norm)$"), Kind.DIFFERENCE, ".bias"),
    (re.compile(r"\.diff_m$"), Kind.DIFFERENCE, ".modulation"),
]
_OTHER_KINDS = [
    (re.compile(r"\.hada_[wt]"), "LoHa"),
    (re.compile(r"\.lokr_"), "LoKr"),
    (re.compile(r"\.(?:dora_scale|lora_magnitude_vector)"), "DoRA"),
    (re.compile(r"\.(?:oft_|boft_)"), "OFT"),
    (re.compile(r"\.(?:a1|a2|b1|b2)\.weight$"), "GLoRA"),
    (re.compile(r"\.(?:on_input|ia3_l)"), "IA3"),
    (re.compile(r"\.lora_mid"), Sentence("LoCon with a middle factor")),
    (re.compile(r"\.lora_E(?:\.|$)"), "AdaLoRA"),
    (re.compile(r"\.vera_"), "VeRA"),
    (re.compile(r"\.(?:set_weight|reshape_weight)$"), Sentence("a patch that replaces weights")),
]

_IN_BLOCKS = {**tensor_names.LAYERS_IN_BLOCK, **tensor_names.NORMS_IN_BLOCK, "modulation": "scale_shift_table"}
_OUTSIDE = {**tensor_names.LAYERS_OUTSIDE_BLOCKS, **tensor_names.PARAMETERS_OUTSIDE_BLOCKS}


def _both(names: dict[str, str]) -> dict[str, str]:
    """`names` with diffusers' names, which lead to themselves."""
    return {**{value: value for value in names.values()}, **names}


def _underscored(names: dict[str, str]) -> dict[str, str]:
    return {name.replace(".", "_"): value for name, value in names.items()}


_WANS = re.compile(
    rf"^(?:(?:vace_)?blocks\.\d+\.(?:{'|'.join(map(re.escape, _IN_BLOCKS.values()))})"
    rf"|{'|'.join(map(re.escape, _OUTSIDE.values()))})$"
)
_IN_BLOCKS, _OUTSIDE = _both(_IN_BLOCKS), _both(_OUTSIDE)
for _attention in ("attn1", "attn2"):  # the layer, without its place in the list that it is in
    _IN_BLOCKS[f"{_attention}.to_out"] = f"{_attention}.to_out.0"
_IN_BLOCKS_JOINED, _OUTSIDE_JOINED = _underscored(_IN_BLOCKS), _underscored(_OUTSIDE)
_WRAPS = re.compile(r"(?<![^._])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)[._]")
"""Torch puts these into names if a model was compiled, or trained on several cards."""
_COUNTERS = re.compile(r"\.(?:lora_)?(?:rank|ranknum|dim|network_dim|num_batches_tracked|initialized)$")
"""Nothing is computed with these."""
_BLOCK = re.compile(r"(?:^|\.)((?:vace_)?blocks\.\d+)\.(.+)$")
_JOINED = re.compile(
    r"^(?:lora_unet|lora_transformer|lora_dit|lycoris)_+((?:diffusion_model_|transformer_(?=[12]_)|transformer_|model_"
    r"|[12]_(?=(?:vace_)?blocks_|patch|text|time|head|img|cond))*)(.+)$"
)
_EXPERTS = [
    (re.compile(r"(?:^|\.)(?:transformer_1|high_noise_model)\."), "high"),
    (re.compile(r"(?:^|\.)(?:transformer_2|dit2|low_noise_model)\."), "low"),
]
"""These stand before the layers of one of two transformers."""
_TEXT_ENCODER = re.compile(
    r"^(?:lora_te\d?_|(?:base_model\.model\.|pipe\.)?(?:text_encoders?|text_encoder_\d|te\d?|lora_te\d?|cond_stage_model)\.|lora_t5)"
)
_JOINED_BLOCK = re.compile(r"^((?:vace_)?blocks)_(\d+)_(.+)$")


def parse_key(key: str) -> LoraKey:
    """What `key` means."""
    if _TEXT_ENCODER.match(key):
        return LoraKey(key, Kind.TEXT_ENCODER)
    for pattern, adapter in _OTHER_KINDS:
        if pattern.search(key):
            return LoraKey(adapter, Kind.OTHER_ADAPTER)
    for pattern, kind, ending in _KINDS:
        found = pattern.search(key)
        if found:
            layer = _WRAPS.sub("", key[: found.start()])
            name = _parameter(layer, ending) if kind is Kind.DIFFERENCE else layer_name(layer)
            return LoraKey(name, kind, expert_of(key), layer)
    return LoraKey(key, Kind.UNKNOWN)


def layer_name(spelled: str) -> str:
    """Diffusers' name of the layer; `spelled` itself if Wan has none of that name."""
    joined = _JOINED.match(spelled)
    if joined:
        return _joined_name(joined.group(2)) or spelled
    block = _BLOCK.search(spelled)
    if block:
        inner = _IN_BLOCKS.get(block.group(2).replace(".processor.", "."))
        return f"{block.group(1)}.{inner}" if inner else spelled
    pieces = spelled.split(".")
    for start in range(len(pieces)):
        name = _OUTSIDE.get(".".join(pieces[start:]))
        if name:
            return name
    return spelled


def expert_of(key: str) -> str:
    """ "high" or "low" if the key says to which of two transformers it belongs; else empty."""
    joined = _JOINED.match(key)
    if joined:
        return {"1": "high", "2": "low"}.get(joined.group(1).strip("_")[-1:], "")
    return next((expert for pattern, expert in _EXPERTS if pattern.search(key)), "")


def is_wans(name: str) -> bool:
    """True for a layer, or a parameter, that some Wan transformer has."""
    return bool(_WANS.search(name.removesuffix(".weight").removesuffix(".bias")))


def changes_wans(key: str) -> bool:
    """True for what belongs to a layer of a Wan transformer, in whatever way, and so may change what it computes."""
    pieces = _WRAPS.sub("", key).split(".")
    stems = (".".join(pieces[:length]) for length in range(len(pieces), 0, -1))
    return not _COUNTERS.search(key) and any(is_wans(layer_name(stem)) for stem in stems)


def _joined_name(text: str) -> str | None:
    block = _JOINED_BLOCK.match(text)
    if not block:
        return _OUTSIDE_JOINED.get(text)
    inner = _IN_BLOCKS_JOINED.get(block.group(3))
    return f"{block.group(1)}.{block.group(2)}.{inner}" if inner else None


def _parameter(layer: str, ending: str) -> str:
    """The parameter that a difference is added to; some have no layer of their own."""
    name = layer_name(layer + ending if ending == ".modulation" else layer)
    whole = name.rpartition(".")[2] in ("scale_shift_table", "pos_embed")
    return name if whole or ending == ".modulation" else name + ending
