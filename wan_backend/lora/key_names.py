"""The names that LoRA files give to a Wan transformer's layers, as diffusers names them. Standard library only.

One key of a file says a layer (in one of many spellings) and what of it the tensor is. Layers are spelt as Wan's own
code does or as diffusers does, after any prefix ("diffusion_model.", "transformer.", "base_model.model.", ...), or in
one word with underscores ("lora_unet_blocks_0_self_attn_q", as kohya's and musubi's trainers do). Where a file is for
both experts of a Wan 2.2 A14B, the prefix says for which a key is. Who writes what: tests/.../lora_spellings.py.
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
    DOWN_BIAS = "down_bias"
    """(rank,): added to what the first factor gives."""
    UP_BIAS = "up_bias"
    """(outputs,): added to the product, and scaled with it."""
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
    half: str = ""
    """ "high" or "low" where the key says that it is for one of two transformers."""
    spelt: str = ""
    """The layer as the file has it."""


class OtherKind(ValueError):
    """The tensor belongs to a kind of adapter that can't be loaded; the message is that kind's name."""


class NoLora(ValueError):
    """The key is none of a LoRA's."""


class TextEncoders(ValueError):
    """The key is for a text encoder."""


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
    (re.compile(r"\.lora_mid"), "LoCon with a middle factor"),
    (re.compile(r"\.lora_E(?:\.|$)"), "AdaLoRA"),
    (re.compile(r"\.vera_"), "VeRA"),
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


_WANS = re.compile(
    rf"^(?:(?:vace_)?blocks\.\d+\.(?:{'|'.join(map(re.escape, _IN_BLOCKS.values()))})"
    rf"|{'|'.join(map(re.escape, _OUTSIDE.values()))})$"
)
_IN_BLOCKS, _OUTSIDE = _both(_IN_BLOCKS), _both(_OUTSIDE)
for _attention in ("attn1", "attn2"):  # the layer, without its place in the list that it is in
    _IN_BLOCKS[f"{_attention}.to_out"] = f"{_attention}.to_out.0"
_IN_BLOCKS_JOINED, _OUTSIDE_JOINED = _underscored(_IN_BLOCKS), _underscored(_OUTSIDE)
_WRAPS = re.compile(r"(?<![^._])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)[._]")
"""What torch puts into names where a model was compiled, or trained on several cards."""
_COUNTERS = re.compile(r"\.(?:lora_)?(?:rank|ranknum|dim|network_dim|num_batches_tracked|initialized)$")
"""What nothing is computed with."""
_BLOCK = re.compile(r"(?:^|\.)((?:vace_)?blocks\.\d+)\.(.+)$")
_JOINED = re.compile(
    r"^(?:lora_unet|lora_transformer|lora_dit|lycoris)_+((?:diffusion_model_|transformer_(?=[12]_)|transformer_|model_"
    r"|[12]_(?=(?:vace_)?blocks_|patch|text|time|head|img|cond))*)(.+)$"
)
_HALVES = [
    (re.compile(r"(?:^|\.)(?:transformer_1|high_noise_model)\."), "high"),
    (re.compile(r"(?:^|\.)(?:transformer_2|dit2|low_noise_model)\."), "low"),
]
"""What stands before the layers of one of two transformers."""
_TEXT_ENCODER = re.compile(
    r"^(?:lora_te\d?_|(?:base_model\.model\.|pipe\.)?(?:text_encoders?|text_encoder_\d|te\d?|lora_te\d?|cond_stage_model)\.|lora_t5)"
)
_JOINED_BLOCK = re.compile(r"^((?:vace_)?blocks)_(\d+)_(.+)$")


def meaning(key: str) -> Key:
    """What `key` means.

    Raises TextEncoders for what is none of the transformer's, OtherKind for other adapters' tensors, NoLora for what
    is no adapter's.
    """
    if _TEXT_ENCODER.match(key):
        raise TextEncoders(key)
    for pattern, name in _OTHER_KINDS:
        if pattern.search(key):
            raise OtherKind(name)
    for pattern, kind, ending in _KINDS:
        found = pattern.search(key)
        if found:
            layer = _WRAPS.sub("", key[: found.start()])
            name = _parameter(layer, ending) if kind is Kind.DIFFERENCE else layer_name(layer)
            return Key(name, kind, half_of(key), layer)
    raise NoLora(key)


def layer_name(spelt: str) -> str:
    """Diffusers' name of the layer; `spelt` itself where Wan has none of that name."""
    joined = _JOINED.match(spelt)
    if joined:
        return _joined_name(joined.group(2)) or spelt
    block = _BLOCK.search(spelt)
    if block:
        inner = _IN_BLOCKS.get(block.group(2).replace(".processor.", "."))
        return f"{block.group(1)}.{inner}" if inner else spelt
    pieces = spelt.split(".")
    for start in range(len(pieces)):
        name = _OUTSIDE.get(".".join(pieces[start:]))
        if name:
            return name
    return spelt


def half_of(key: str) -> str:
    """ "high" or "low" where the key says to which of two transformers it belongs; else empty."""
    joined = _JOINED.match(key)
    if joined:
        return {"1": "high", "2": "low"}.get(joined.group(1).strip("_")[-1:], "")
    return next((half for pattern, half in _HALVES if pattern.search(key)), "")


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
