"""The names that LoRA files give to a Wan transformer's layers, as diffusers names them. Standard library only.

One key of a file says a layer (in one of many spellings) and what of it the tensor is. Layers are spelt as Wan's own
code does or as diffusers does, after any prefix ("diffusion_model.", "transformer.", "base_model.model.", ...), or in
one word with underscores ("lora_unet_blocks_0_self_attn_q", as kohya's and musubi's trainers do).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What of a layer's change a tensor is."""

    DOWN = "down"
    """(rank, inputs): the first of the two factors, also called A."""
    UP = "up"
    """(outputs, rank): the second, B."""
    ALPHA = "alpha"
    """One number: the product is scaled by alpha / rank."""
    DIFFERENCE = "difference"
    """To be added to a weight, of its shape; `Key.name` is then the parameter's."""


@dataclass(frozen=True)
class Key:
    """What one key of a file means."""

    name: str
    """Of the layer, or of the parameter, as diffusers has it; as the file has it where Wan has no such layer."""
    kind: Kind


class OtherKind(ValueError):
    """The tensor belongs to a kind of adapter that can't be loaded; the message is that kind's name."""


class NoLora(ValueError):
    """The key is none of a LoRA's."""


_KINDS = [
    (re.compile(r"\.lora(?:_A|_down|\.down)(?:\.[^.]+)?(?:\.weight)?$"), Kind.DOWN, ""),
    (re.compile(r"\.lora(?:_B|_up|\.up)(?:\.[^.]+)?(?:\.weight)?$"), Kind.UP, ""),
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
    (re.compile(r"\.lora_mid"), "LoCon with a middle factor"),
    (re.compile(r"\.lora_(?:B|up)(?:\.[^.]+)?\.bias$"), "LoRA with biases of its own"),
    (re.compile(r"\.(?:set_weight|reshape_weight)$"), "a patch that replaces weights"),
]

_IN_BLOCKS = {
    "self_attn.q": "attn1.to_q",
    "self_attn.k": "attn1.to_k",
    "self_attn.v": "attn1.to_v",
    "self_attn.o": "attn1.to_out.0",
    "self_attn.norm_q": "attn1.norm_q",
    "self_attn.norm_k": "attn1.norm_k",
    "cross_attn.q": "attn2.to_q",
    "cross_attn.k": "attn2.to_k",
    "cross_attn.v": "attn2.to_v",
    "cross_attn.o": "attn2.to_out.0",
    "cross_attn.norm_q": "attn2.norm_q",
    "cross_attn.norm_k": "attn2.norm_k",
    "cross_attn.k_img": "attn2.add_k_proj",
    "cross_attn.v_img": "attn2.add_v_proj",
    "cross_attn.norm_k_img": "attn2.norm_added_k",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "norm3": "norm2",
    "before_proj": "proj_in",
    "after_proj": "proj_out",
    "modulation": "scale_shift_table",
}
"""Wan's own name of a layer in a block, and diffusers'."""
_OUTSIDE = {
    "patch_embedding": "patch_embedding",
    "vace_patch_embedding": "vace_patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    "img_emb.emb_pos": "condition_embedder.image_embedder.pos_embed",
    "head.head": "proj_out",
    "head.modulation": "scale_shift_table",
}
"""The same of the layers outside the blocks."""


def _both(names: dict[str, str]) -> dict[str, str]:
    """Diffusers' names, too, lead to themselves."""
    return {**{value: value for value in names.values()}, **names}


def _underscored(names: dict[str, str]) -> dict[str, str]:
    return {name.replace(".", "_"): value for name, value in names.items()}


_IN_BLOCKS, _OUTSIDE = _both(_IN_BLOCKS), _both(_OUTSIDE)
_IN_BLOCKS_JOINED, _OUTSIDE_JOINED = _underscored(_IN_BLOCKS), _underscored(_OUTSIDE)
_BLOCK = re.compile(r"(?:^|\.)((?:vace_)?blocks\.\d+)\.(.+)$")
_JOINED = re.compile(r"^(?:lora_unet|lora_transformer|lycoris)_+(?:diffusion_model_|transformer_|model_)?(.+)$")
_JOINED_BLOCK = re.compile(r"^((?:vace_)?blocks)_(\d+)_(.+)$")


def meaning(key: str) -> Key:
    """What `key` means. Raises OtherKind for other adapters' tensors, NoLora for what is no adapter's."""
    for pattern, name in _OTHER_KINDS:
        if pattern.search(key):
            raise OtherKind(name)
    for pattern, kind, ending in _KINDS:
        found = pattern.search(key)
        if found:
            layer = key[: found.start()]
            return Key(_parameter(layer, ending) if kind is Kind.DIFFERENCE else layer_name(layer), kind)
    raise NoLora(key)


def layer_name(spelt: str) -> str:
    """Diffusers' name of the layer; `spelt` itself where Wan has none of that name."""
    joined = _JOINED.match(spelt)
    if joined:
        return _joined_name(joined.group(1)) or spelt
    block = _BLOCK.search(spelt)
    if block:
        inner = _IN_BLOCKS.get(block.group(2))
        return f"{block.group(1)}.{inner}" if inner else spelt
    parts = spelt.split(".")
    for start in range(len(parts)):
        name = _OUTSIDE.get(".".join(parts[start:]))
        if name:
            return name
    return spelt


def of_second_transformer(key: str) -> bool:
    """True for a key that says it belongs to the second of two transformers."""
    return key.startswith(("transformer_2.", "lora_transformer_2_"))


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
