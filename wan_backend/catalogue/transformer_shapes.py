"""The parameters of a Wan transformer and their shapes, from its config.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Shapes = dict[str, tuple[int, ...]]
MAX_LAYERS = 1000
"""A configuration may have any number of layers; models larger than this are years away."""

CAMERA_CHANNELS = 24
"""Of a camera's rays, before squares of pixels are folded into channels: six for each of a latent's four frames."""


def shapes(config: Mapping[str, Any]) -> Shapes:
    """Every parameter's shape by its name, as diffusers' WanTransformer3DModel and WanVACETransformer3DModel have them,
    and ours that a camera steers.

    Raises KeyError, TypeError or ValueError if `config` is no such transformer's.
    """
    width = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    patch = tuple(int(extent) for extent in config.get("patch_size", (1, 2, 2)))
    inputs, outputs = int(config.get("in_channels", 16)), int(config.get("out_channels", 16))
    found: Shapes = {"scale_shift_table": (1, 2, width)}
    found |= _with_bias("patch_embedding", (width, inputs, *patch))
    found |= _embedder(config, width)
    layers = int(config["num_layers"])
    if not 0 < layers <= MAX_LAYERS:
        raise ValueError(f"{layers:,} layers are not those of a transformer")
    for number in range(layers):
        found |= {f"blocks.{number}.{name}": shape for name, shape in _block(config, width)}
    found |= _with_bias("proj_out", (outputs * patch[0] * patch[1] * patch[2], width))
    if config.get("vace_layers"):
        found |= control_shapes(config, len(config["vace_layers"]))
    if config.get("camera_fold"):
        found |= _camera_adapter(int(config["camera_fold"]), width, patch)
    return found


def _camera_adapter(fold: int, width: int, patch: tuple[int, ...]) -> Shapes:
    found: Shapes = _with_bias("control_adapter.conv", (width, CAMERA_CHANNELS * fold**2, *patch[1:]))
    for layer in ("conv1", "conv2"):
        found |= _with_bias(f"control_adapter.residual_blocks.0.{layer}", (width, width, 3, 3))
    return found


def control_shapes(config: Mapping[str, Any], blocks: int) -> Shapes:
    """What control of so many blocks has beside a transformer's own parameters, or alone in a file of its own."""
    width = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    patch = tuple(int(extent) for extent in config.get("patch_size", (1, 2, 2)))
    found: Shapes = _with_bias("vace_patch_embedding", (width, int(config.get("vace_in_channels", 96)), *patch))
    for number in range(blocks):
        block = {**dict(_block(config, width)), **_with_bias("proj_out", (width, width))}
        if number == 0:
            block |= _with_bias("proj_in", (width, width))
        found |= {f"vace_blocks.{number}.{name}": shape for name, shape in block.items()}
    return found


def _with_bias(name: str, weight: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def _embedder(config: Mapping[str, Any], width: int) -> Shapes:
    text, freq = int(config.get("text_dim", 4096)), int(config.get("freq_dim", 256))
    rows: Shapes = {
        "time_embedder.linear_1": (width, freq),
        "time_embedder.linear_2": (width, width),
        "time_proj": (6 * width, width),
        "text_embedder.linear_1": (width, text),
        "text_embedder.linear_2": (width, width),
    }
    image = config.get("image_dim")
    found: Shapes = {}
    if image is not None:
        rows |= {
            "image_embedder.norm1": (int(image),),
            "image_embedder.ff.net.0.proj": (int(image), int(image)),
            "image_embedder.ff.net.2": (width, int(image)),
            "image_embedder.norm2": (width,),
        }
        if config.get("pos_embed_seq_len") is not None:
            found["condition_embedder.image_embedder.pos_embed"] = (1, int(config["pos_embed_seq_len"]), int(image))
    for name, shape in rows.items():
        found |= _with_bias(f"condition_embedder.{name}", shape)
    return found


def _block(config: Mapping[str, Any], width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """One block's parameters."""
    ffn = int(config["ffn_dim"])
    yield "scale_shift_table", (1, 6, width)
    for attention in ("attn1", "attn2"):
        for layer in ("to_q", "to_k", "to_v", "to_out.0"):
            yield from _with_bias(f"{attention}.{layer}", (width, width)).items()
        for norm in ("norm_q", "norm_k"):
            yield f"{attention}.{norm}.weight", (width,)
    added = config.get("added_kv_proj_dim")
    if added is not None:
        for layer in ("add_k_proj", "add_v_proj"):
            yield from _with_bias(f"attn2.{layer}", (width, int(added))).items()
        yield "attn2.norm_added_k.weight", (width,)
    if config.get("cross_attn_norm", True):
        yield from _with_bias("norm2", (width,)).items()
    yield from _with_bias("ffn.net.0.proj", (ffn, width)).items()
    yield from _with_bias("ffn.net.2", (width, ffn)).items()
