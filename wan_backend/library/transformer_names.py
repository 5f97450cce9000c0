"""The names of a transformer's tensors: as published, and as diffusers has them. Standard library only; no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

OUTSIDE = {
    "patch_embedding": "patch_embedding",
    "vace_patch_embedding": "vace_patch_embedding",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    "head.head": "proj_out",
}
"""Layers outside the blocks, each of a weight and a bias."""
IN_BLOCK = {
    **{
        f"{attention}.{published}": f"{ours}.{name}"
        for attention, ours in (("self_attn", "attn1"), ("cross_attn", "attn2"))
        for published, name in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("o", "to_out.0"))
    },
    "cross_attn.k_img": "attn2.add_k_proj",
    "cross_attn.v_img": "attn2.add_v_proj",
    "norm3": "norm2",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "before_proj": "proj_in",
    "after_proj": "proj_out",
}
"""Layers of a block, each of a weight and a bias."""
NORMS_IN_BLOCK = {
    "self_attn.norm_q": "attn1.norm_q",
    "self_attn.norm_k": "attn1.norm_k",
    "cross_attn.norm_q": "attn2.norm_q",
    "cross_attn.norm_k": "attn2.norm_k",
    "cross_attn.norm_k_img": "attn2.norm_added_k",
}
"""Layers of a block that are a weight alone."""
ALONE = {"head.modulation": "scale_shift_table", "img_emb.emb_pos": "condition_embedder.image_embedder.pos_embed"}
SEEING = {"attn2.add_k_proj", "attn2.add_v_proj", "attn2.norm_added_k"}
"""Layers of a block that only a model with an image encoder has."""
_BLOCK = re.compile(r"((?:vace_)?blocks\.\d+)\.(.+)")


def to_diffusers(name: str) -> str | None:
    """diffusers' name of a tensor that is published as `name`; None where it is none of a Wan transformer."""
    if name in ALONE:
        return ALONE[name]
    block = _BLOCK.fullmatch(name)
    if block and block[2] == "modulation":
        return f"{block[1]}.scale_shift_table"
    layer, _, kind = (block[2] if block else name).rpartition(".")
    if kind not in ("weight", "bias"):
        return None
    table = {**IN_BLOCK, **(NORMS_IN_BLOCK if kind == "weight" else {})} if block else OUTSIDE
    ours = table.get(layer)
    if ours is None:
        return None
    return f"{block[1]}.{ours}.{kind}" if block else f"{ours}.{kind}"


def expected(config: Mapping[str, Any]) -> set[str]:
    """The names, as diffusers has them, of every tensor that a transformer of that configuration has."""
    return set(_expected(config))


def _expected(config: Mapping[str, Any]) -> Iterator[str]:
    seeing, control = config.get("image_dim") is not None, config.get("vace_layers") is not None
    yield "scale_shift_table"
    if config.get("pos_embed_seq_len") is not None:
        yield ALONE["img_emb.emb_pos"]
    for published, ours in OUTSIDE.items():
        if (seeing or not published.startswith("img_emb")) and (control or not published.startswith("vace")):
            yield from _both(ours)
    for number in range(int(config["num_layers"])):
        yield from _block(f"blocks.{number}", seeing, ends=set())
    for number in range(len(config.get("vace_layers") or ())):
        yield from _block(f"vace_blocks.{number}", False, {"proj_out", "proj_in"} if number == 0 else {"proj_out"})


def _block(prefix: str, seeing: bool, ends: set[str]) -> Iterator[str]:
    left_out = ({"proj_in", "proj_out"} - ends) | (set() if seeing else SEEING)
    yield f"{prefix}.scale_shift_table"
    for layer in IN_BLOCK.values():
        if layer not in left_out:
            yield from _both(f"{prefix}.{layer}")
    for layer in NORMS_IN_BLOCK.values():
        if layer not in left_out:
            yield f"{prefix}.{layer}.weight"


def _both(layer: str) -> tuple[str, str]:
    return f"{layer}.weight", f"{layer}.bias"
