"""The names of the encoders' tensors: as published, and as transformers has them. Standard library only; no torch.

Text encoder: UMT5-XXL's encoder, as transformers and ComfyUI name it, as Wan published it, and as llama.cpp does.
Image encoder: the picture half of a CLIP ViT-H, as transformers and ComfyUI name it, and as Wan published it.
"""

from __future__ import annotations

import re

ATTENTION, FORWARD = "layer.0.SelfAttention", "layer.1.DenseReluDense"
TEXT_PUBLISHED = {
    "norm1": "layer.0.layer_norm", "norm2": "layer.1.layer_norm",
    **{f"attn.{name}": f"{ATTENTION}.{name}" for name in "qkvo"},
    "pos_embedding.embedding": f"{ATTENTION}.relative_attention_bias",
    "ffn.gate.0": f"{FORWARD}.wi_0", "ffn.fc1": f"{FORWARD}.wi_1", "ffn.fc2": f"{FORWARD}.wo",
}  # fmt: skip
TEXT_LLAMA = {
    "attn_norm": "layer.0.layer_norm", "ffn_norm": "layer.1.layer_norm",
    **{f"attn_{name}": f"{ATTENTION}.{name}" for name in "qkvo"},
    "attn_rel_b": f"{ATTENTION}.relative_attention_bias",
    "ffn_gate": f"{FORWARD}.wi_0", "ffn_up": f"{FORWARD}.wi_1", "ffn_down": f"{FORWARD}.wo",
}  # fmt: skip
TEXT_ENDS = {
    "token_embedding.weight": "shared.weight",
    "token_embd.weight": "shared.weight",
    "norm.weight": "encoder.final_layer_norm.weight",
    "enc.output_norm.weight": "encoder.final_layer_norm.weight",
}
_TEXT_BLOCK = re.compile(r"(enc\.blk|blocks)\.(\d+)\.(.+)\.weight")
IMAGE_ENDS = {
    "patch_embedding.weight": "embeddings.patch_embedding.weight",
    "cls_embedding": "embeddings.class_embedding",
    "pos_embedding": "embeddings.position_embedding.weight",
    **{f"pre_norm.{kind}": f"pre_layrnorm.{kind}" for kind in ("weight", "bias")},
    **{f"post_norm.{kind}": f"post_layernorm.{kind}" for kind in ("weight", "bias")},
}
IMAGE_LAYERS = {
    "norm1": "layer_norm1", "norm2": "layer_norm2", "attn.proj": "self_attn.out_proj",
    "mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2",
}  # fmt: skip
_IMAGE_LAYER = re.compile(r"transformer\.(\d+)\.(.+)\.(weight|bias)")
IMAGE_PASSED_OVER = ("visual_projection.weight", "head", "embeddings.position_ids")
"""What the whole CLIP has beside, and Wan does without."""


def text(name: str) -> str | None:
    """transformers' name of a text encoder's tensor, or None."""
    if name in TEXT_ENDS:
        return TEXT_ENDS[name]
    found = _TEXT_BLOCK.fullmatch(name)
    if not found:
        return None
    ours = (TEXT_PUBLISHED if found[1] == "blocks" else TEXT_LLAMA).get(found[3])
    return ours and f"encoder.block.{found[2]}.{ours}.weight"


def text_expected(layers: int) -> set[str]:
    """Names of all tensors of a text encoder of so many layers."""
    inner = {f"encoder.block.{number}.{name}.weight" for number in range(layers) for name in TEXT_PUBLISHED.values()}
    return inner | {"shared.weight", "encoder.final_layer_norm.weight"}


def image(name: str) -> tuple[str, ...] | None:
    """transformers' names of what a published tensor of the image encoder holds: one, or query, key and value."""
    if name in IMAGE_ENDS:
        return (IMAGE_ENDS[name],)
    found = _IMAGE_LAYER.fullmatch(name)
    if not found:
        return None
    layer = f"encoder.layers.{found[1]}"
    if found[2] == "attn.to_qkv":
        return tuple(f"{layer}.self_attn.{which}_proj.{found[3]}" for which in "qkv")
    ours = IMAGE_LAYERS.get(found[2])
    return (f"{layer}.{ours}.{found[3]}",) if ours else None


def image_expected(layers: int) -> set[str]:
    """Names of all tensors of an image encoder of so many layers."""
    inner = [*IMAGE_LAYERS.values(), *(f"self_attn.{which}_proj" for which in "qkv")]
    names = {
        f"encoder.layers.{n}.{name}.{kind}" for n in range(layers) for name in inner for kind in ("weight", "bias")
    }
    return names | set(IMAGE_ENDS.values())
