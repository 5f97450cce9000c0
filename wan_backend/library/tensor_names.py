"""Wan's names of a model's tensors and those of diffusers and transformers: one table for files of weights and LoRAs.

- Transformer: as Wan publishes it, and as diffusers has it.
- Text encoder: UMT5-XXL's encoder, as transformers and ComfyUI name it, as Wan publishes it, and as llama.cpp does.
- Image encoder: the vision tower of a CLIP ViT-H, as transformers and ComfyUI name it, and as Wan publishes it.
- Autoencoder: as Wan publishes it, and as diffusers has it. Wan 2.1's lists its blocks in one row; Wan 2.2's nests rows
  of blocks in rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

MAX_DIGITS = 12
CAMERA_LAYERS = (
    "control_adapter.conv", "control_adapter.residual_blocks.0.conv1", "control_adapter.residual_blocks.0.conv2",
)  # fmt: skip
"""The adapter of a transformer that a camera steers; ours has the published names."""
LAYERS_OUTSIDE_BLOCKS = {
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
    **{name: name for name in CAMERA_LAYERS},
}
"""A transformer's layers outside its blocks, each of a weight and a bias: Wan's name and diffusers'."""
LAYERS_IN_BLOCK = {
    **{
        f"{attention}.{published}": f"{renamed}.{name}"
        for attention, renamed in (("self_attn", "attn1"), ("cross_attn", "attn2"))
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
"""The layers of a transformer's block that have a weight and a bias."""
NORMS_IN_BLOCK = {
    "self_attn.norm_q": "attn1.norm_q",
    "self_attn.norm_k": "attn1.norm_k",
    "cross_attn.norm_q": "attn2.norm_q",
    "cross_attn.norm_k": "attn2.norm_k",
    "cross_attn.norm_k_img": "attn2.norm_added_k",
}
"""The layers of a transformer's block that have a weight alone."""
PARAMETERS_OUTSIDE_BLOCKS = {
    "head.modulation": "scale_shift_table",
    "img_emb.emb_pos": "condition_embedder.image_embedder.pos_embed",
}
"""A transformer's parameters that belong to no layer."""
_IMAGE_LAYERS = {"attn2.add_k_proj", "attn2.add_v_proj", "attn2.norm_added_k"}
"""The layers of a block that only a model with an image encoder has."""
_TRANSFORMER_BLOCK = re.compile(r"((?:vace_)?blocks\.\d+)\.(.+)")
_ATTENTION, _FEED_FORWARD = "layer.0.SelfAttention", "layer.1.DenseReluDense"
_TEXT_PUBLISHED = {
    "norm1": "layer.0.layer_norm", "norm2": "layer.1.layer_norm",
    **{f"attn.{name}": f"{_ATTENTION}.{name}" for name in "qkvo"},
    "pos_embedding.embedding": f"{_ATTENTION}.relative_attention_bias",
    "ffn.gate.0": f"{_FEED_FORWARD}.wi_0", "ffn.fc1": f"{_FEED_FORWARD}.wi_1", "ffn.fc2": f"{_FEED_FORWARD}.wo",
}  # fmt: skip
_TEXT_LLAMA_CPP = {
    "attn_norm": "layer.0.layer_norm", "ffn_norm": "layer.1.layer_norm",
    **{f"attn_{name}": f"{_ATTENTION}.{name}" for name in "qkvo"},
    "attn_rel_b": f"{_ATTENTION}.relative_attention_bias",
    "ffn_gate": f"{_FEED_FORWARD}.wi_0", "ffn_up": f"{_FEED_FORWARD}.wi_1", "ffn_down": f"{_FEED_FORWARD}.wo",
}  # fmt: skip
"""The layers of a text encoder's block, each of a weight alone."""
_TEXT_OUTSIDE_BLOCKS = {
    "token_embedding.weight": "shared.weight",
    "token_embd.weight": "shared.weight",
    "norm.weight": "encoder.final_layer_norm.weight",
    "enc.output_norm.weight": "encoder.final_layer_norm.weight",
}
_TEXT_BLOCK = re.compile(r"(enc\.blk|blocks)\.(\d+)\.(.+)\.weight")
_IMAGE_OUTSIDE_LAYERS = {
    "patch_embedding.weight": "embeddings.patch_embedding.weight",
    "cls_embedding": "embeddings.class_embedding",
    "pos_embedding": "embeddings.position_embedding.weight",
    **{f"pre_norm.{kind}": f"pre_layrnorm.{kind}" for kind in ("weight", "bias")},
    **{f"post_norm.{kind}": f"post_layernorm.{kind}" for kind in ("weight", "bias")},
}
_IMAGE_IN_LAYER = {
    "norm1": "layer_norm1", "norm2": "layer_norm2", "attn.proj": "self_attn.out_proj",
    "mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2",
}  # fmt: skip
_IMAGE_LAYER = re.compile(r"transformer\.(\d+)\.(.+)\.(weight|bias)")
UNUSED_IMAGE_NAMES = ("visual_projection.weight", "head", "embeddings.position_ids")
"""The ends of names that the whole CLIP has, and that Wan does without."""
_IN_RESNET = {
    "residual.0.gamma": "norm1.gamma",
    "residual.2.weight": "conv1.weight",
    "residual.2.bias": "conv1.bias",
    "residual.3.gamma": "norm2.gamma",
    "residual.6.weight": "conv2.weight",
    "residual.6.bias": "conv2.bias",
    "shortcut.weight": "conv_shortcut.weight",
    "shortcut.bias": "conv_shortcut.bias",
}
_IN_RESAMPLE = ("resample.1.weight", "resample.1.bias", "time_conv.weight", "time_conv.bias")
_IN_VAE_ATTENTION = ("norm.gamma", "to_qkv.weight", "to_qkv.bias", "proj.weight", "proj.bias")
_VAE_OUTSIDE_BLOCKS = {
    "conv1.weight": "quant_conv.weight",
    "conv1.bias": "quant_conv.bias",
    "conv2.weight": "post_quant_conv.weight",
    "conv2.bias": "post_quant_conv.bias",
    **{
        f"{coder}.{published}": f"{coder}.{renamed}"
        for coder in ("encoder", "decoder")
        for published, renamed in (
            ("conv1.weight", "conv_in.weight"),
            ("conv1.bias", "conv_in.bias"),
            ("head.0.gamma", "norm_out.gamma"),
            ("head.2.weight", "conv_out.weight"),
            ("head.2.bias", "conv_out.bias"),
        )
    },
}
"""The autoencoder's layers outside its blocks."""
_VAE_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_FLAT_BLOCK = re.compile(r"(encoder\.downsamples|decoder\.upsamples)\.(\d+)\.(.+)")
_NESTED_BLOCK = re.compile(r"(encoder\.downsamples|decoder\.upsamples)\.(\d+)\.(?:downsamples|upsamples)\.(\d+)\.(.+)")


def transformer_name(name: str) -> str | None:
    """diffusers' name of a tensor that is published as `name`; None if it is none of a Wan transformer."""
    if name in PARAMETERS_OUTSIDE_BLOCKS:
        return PARAMETERS_OUTSIDE_BLOCKS[name]
    block = _TRANSFORMER_BLOCK.fullmatch(name)
    if block and block[2] == "modulation":
        return f"{block[1]}.scale_shift_table"
    layer, _, kind = (block[2] if block else name).rpartition(".")
    if kind not in ("weight", "bias"):
        return None
    table = {**LAYERS_IN_BLOCK, **(NORMS_IN_BLOCK if kind == "weight" else {})} if block else LAYERS_OUTSIDE_BLOCKS
    renamed = table.get(layer)
    if renamed is None:
        return None
    return f"{block[1]}.{renamed}.{kind}" if block else f"{renamed}.{kind}"


def expected_transformer_names(config: Mapping[str, Any]) -> set[str]:
    """The names, as diffusers has them, of every tensor that a transformer of that configuration has."""
    return set(_expected_transformer_names(config))


def _expected_transformer_names(config: Mapping[str, Any]) -> Iterator[str]:
    seeing, control = config.get("image_dim") is not None, config.get("vace_layers") is not None
    left_out = {"vace_patch_embedding", *(() if config.get("camera_fold") else CAMERA_LAYERS)}
    yield "scale_shift_table"
    if config.get("pos_embed_seq_len") is not None:
        yield PARAMETERS_OUTSIDE_BLOCKS["img_emb.emb_pos"]
    for published, renamed in LAYERS_OUTSIDE_BLOCKS.items():
        if (seeing or not published.startswith("img_emb")) and published not in left_out:
            yield from _weight_and_bias(renamed)
    for number in range(int(config["num_layers"])):
        yield from _expected_block_names(f"blocks.{number}", seeing, ends=set())
    if control:
        yield from expected_control_names(len(config["vace_layers"]))


def expected_control_names(blocks: int) -> Iterator[str]:
    """The names of what control of so many blocks has, beside a transformer's own tensors or in a file of its own."""
    yield from _weight_and_bias(LAYERS_OUTSIDE_BLOCKS["vace_patch_embedding"])
    for number in range(blocks):
        ends = {"proj_out", "proj_in"} if number == 0 else {"proj_out"}
        yield from _expected_block_names(f"vace_blocks.{number}", False, ends)


def _expected_block_names(prefix: str, seeing: bool, ends: set[str]) -> Iterator[str]:
    """`ends`: the projections at the ends of a control block that this block has."""
    left_out = ({"proj_in", "proj_out"} - ends) | (set() if seeing else _IMAGE_LAYERS)
    yield f"{prefix}.scale_shift_table"
    for layer in LAYERS_IN_BLOCK.values():
        if layer not in left_out:
            yield from _weight_and_bias(f"{prefix}.{layer}")
    for layer in NORMS_IN_BLOCK.values():
        if layer not in left_out:
            yield f"{prefix}.{layer}.weight"


def _weight_and_bias(layer: str) -> tuple[str, str]:
    return f"{layer}.weight", f"{layer}.bias"


def text_encoder_name(name: str) -> str | None:
    """transformers' name of a text encoder's tensor, or None."""
    if name in _TEXT_OUTSIDE_BLOCKS:
        return _TEXT_OUTSIDE_BLOCKS[name]
    found = _TEXT_BLOCK.fullmatch(name)
    if not found:
        return None
    renamed = (_TEXT_PUBLISHED if found[1] == "blocks" else _TEXT_LLAMA_CPP).get(found[3])
    return renamed and f"encoder.block.{found[2]}.{renamed}.weight"


def expected_text_encoder_names(layers: int) -> set[str]:
    """Names of all tensors of a text encoder of so many layers."""
    inner = {f"encoder.block.{number}.{name}.weight" for number in range(layers) for name in _TEXT_PUBLISHED.values()}
    return inner | {"shared.weight", "encoder.final_layer_norm.weight"}


def image_encoder_names(name: str) -> tuple[str, ...] | None:
    """transformers' names of what a published tensor of the image encoder holds: one, or query, key and value.

    None if it is none of an image encoder.
    """
    if name in _IMAGE_OUTSIDE_LAYERS:
        return (_IMAGE_OUTSIDE_LAYERS[name],)
    found = _IMAGE_LAYER.fullmatch(name)
    if not found:
        return None
    layer = f"encoder.layers.{found[1]}"
    if found[2] == "attn.to_qkv":
        return tuple(f"{layer}.self_attn.{which}_proj.{found[3]}" for which in "qkv")
    renamed = _IMAGE_IN_LAYER.get(found[2])
    return (f"{layer}.{renamed}.{found[3]}",) if renamed else None


def expected_image_encoder_names(layers: int) -> set[str]:
    """Names of all tensors of an image encoder of so many layers."""
    inner = [*_IMAGE_IN_LAYER.values(), *(f"self_attn.{which}_proj" for which in "qkv")]
    names = {
        f"encoder.layers.{n}.{name}.{kind}" for n in range(layers) for name in inner for kind in ("weight", "bias")
    }
    return names | set(_IMAGE_OUTSIDE_LAYERS.values())


def _is_nested(names: Iterable[str]) -> bool:
    """True for Wan 2.2's autoencoder."""
    return any(_NESTED_BLOCK.fullmatch(name) for name in names)


def vae_namer(names: Iterable[str]) -> Callable[[str], str | None]:
    """A function that returns diffusers' name of a published one, or None, for the autoencoder that has `names`."""
    names = list(names)
    if _is_nested(names):
        return lambda name: _vae_outside_name(name) or _vae_nested_name(name)
    groups = _resnets_per_group(names) + 1
    return lambda name: _vae_outside_name(name) or _vae_flat_name(name, groups)


def _resnets_per_group(names: Iterable[str]) -> int:
    """How many residual blocks the decoder has before its first upsampling: one more than the encoder."""
    matches = (_FLAT_BLOCK.fullmatch(name) for name in names if name.startswith("decoder."))
    return min((int(found[2]) for found in matches if found and found[3].startswith("resample")), default=3)


def _vae_outside_name(name: str) -> str | None:
    if name in _VAE_OUTSIDE_BLOCKS:
        return _VAE_OUTSIDE_BLOCKS[name]
    coder, _, rest = name.partition(".middle.")
    number, _, inner = rest.partition(".")
    if coder not in ("encoder", "decoder") or number not in _VAE_MIDDLE:
        return None
    known = inner if number == "1" and inner in _IN_VAE_ATTENTION else _IN_RESNET.get(inner) if number != "1" else None
    return known and f"{coder}.mid_block.{_VAE_MIDDLE[number]}.{known}"


def _vae_flat_name(name: str, group: int) -> str | None:
    found = _FLAT_BLOCK.fullmatch(name)
    if not found:
        return None
    number, inner = int(found[2]), found[3]
    known = _IN_RESNET.get(inner) or (inner if inner in _IN_RESAMPLE else None)
    if known is None:
        return None
    if found[1] == "encoder.downsamples":
        return f"encoder.down_blocks.{number}.{known}"
    block, place = divmod(number, group)
    kind = "upsamplers.0" if inner in _IN_RESAMPLE else f"resnets.{place}"
    return f"decoder.up_blocks.{block}.{kind}.{known}"


def _vae_nested_name(name: str) -> str | None:
    found = _NESTED_BLOCK.fullmatch(name)
    if not found:
        return None
    down = found[1] == "encoder.downsamples"
    block = f"encoder.down_blocks.{found[2]}" if down else f"decoder.up_blocks.{found[2]}"
    if found[4] in _IN_RESAMPLE:
        return f"{block}.{'downsampler' if down else 'upsampler'}.{found[4]}"
    known = _IN_RESNET.get(found[4])
    return known and f"{block}.resnets.{found[3]}.{known}"


def numbers_in(names: Iterable[str]) -> dict[str, set[int]]:
    """Which numbers follow each beginning of a name: of "blocks.0.ffn" and "blocks.2.ffn", 0 and 2 follow "blocks"."""
    found: dict[str, set[int]] = {}
    for name in names:
        parts = name.split(".")
        for at, part in enumerate(parts):
            if part.isascii() and part.isdecimal():
                found.setdefault(".".join(parts[:at]), set()).add(int(part[:MAX_DIGITS]))
    return found
