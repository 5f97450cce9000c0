"""Writes files that have the heads of large ones, without their numbers."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

NUMBER_BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "U8": 1, "I8": 1}
Shapes = Mapping[str, tuple[int, ...]]


def write(
    file: Path,
    shapes: Shapes,
    dtype: str = "BF16",
    others: Mapping[str, str] = MappingProxyType({}),
    notes: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """A safetensors file of the length that its tensors would have, all holes on a disk that can have them.

    `others`: tensors of another number format; `notes`: what its maker left.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    rows: dict[str, object] = {"__metadata__": dict(notes)} if notes else {}
    place = 0
    for name, shape in shapes.items():
        own = others.get(name, dtype)
        size_bytes = math.prod(shape) * NUMBER_BYTES[own]
        rows[name] = {"dtype": own, "shape": list(shape), "data_offsets": [place, place + size_bytes]}
        place += size_bytes
    header = json.dumps(rows).encode()
    with open(file, "wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + place)
    return file


def transformer(
    width: int = 1536, layers: int = 30, channels: int = 16, made: int = 16, control: int = 0
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published transformer."""
    inner = {1536: 8960, 3072: 14336, 5120: 13824}.get(width, 4 * width)
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embedding.weight": (width, channels, 1, 2, 2), "patch_embedding.bias": (width,),
        "text_embedding.0.weight": (width, 4096), "text_embedding.0.bias": (width,),
        "text_embedding.2.weight": (width, width), "text_embedding.2.bias": (width,),
        "time_embedding.0.weight": (width, 256), "time_embedding.0.bias": (width,),
        "time_embedding.2.weight": (width, width), "time_embedding.2.bias": (width,),
        "time_projection.1.weight": (6 * width, width), "time_projection.1.bias": (6 * width,),
        "head.head.weight": (4 * made, width), "head.head.bias": (4 * made,), "head.modulation": (1, 2, width),
    }  # fmt: skip
    for number in range(layers):
        shapes |= _block(f"blocks.{number}", width, inner)
    for number in range(control):
        shapes |= _block(f"vace_blocks.{number}", width, inner)
        for end in ("before_proj", "after_proj") if number == 0 else ("after_proj",):
            shapes |= _layer(f"vace_blocks.{number}.{end}", width, width)
    if control:
        shapes |= {"vace_patch_embedding.weight": (width, 96, 1, 2, 2), "vace_patch_embedding.bias": (width,)}
    return shapes


def seeing(shapes: Shapes, layers: int, both: bool = False) -> dict[str, tuple[int, ...]]:
    """The same transformer with an eye for pictures; `both`: for a first and a last one."""
    more, width = dict(shapes), shapes["patch_embedding.bias"][0]
    sides = {0: 1280, 1: 1280, 3: width, 4: width}
    for number, side in sides.items():
        more |= _layer(f"img_emb.proj.{number}", side, *((1280,) if number in (1, 3) else ()))
    if both:
        more["img_emb.emb_pos"] = (1, 514, 1280)
    for number in range(layers):
        cross = f"blocks.{number}.cross_attn"
        more |= {**_layer(f"{cross}.k_img", width, width), **_layer(f"{cross}.v_img", width, width)}
        more[f"{cross}.norm_k_img.weight"] = (width,)
    return more


def steered(shapes: Shapes, fold: int = 8) -> dict[str, tuple[int, ...]]:
    """The same transformer with the adapter by which a camera steers it."""
    width = shapes["patch_embedding.bias"][0]
    more = {**shapes, **_layer("control_adapter.conv", width, 24 * fold**2, 2, 2)}
    for number in (1, 2):
        more |= _layer(f"control_adapter.residual_blocks.0.conv{number}", width, width, 3, 3)
    return more


def _layer(name: str, *sides: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": sides, f"{name}.bias": sides[:1]}


def _block(prefix: str, width: int, inner: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}.modulation": (1, 6, width)}
    for attention in ("self_attn", "cross_attn"):
        for layer in "qkvo":
            shapes |= _layer(f"{prefix}.{attention}.{layer}", width, width)
        shapes |= {f"{prefix}.{attention}.norm_{which}.weight": (width,) for which in "qk"}
    sizes = {"ffn.0": (inner, width), "ffn.2": (width, inner), "norm3": (width,)}
    for layer, sides in sizes.items():
        shapes |= _layer(f"{prefix}.{layer}", *sides)
    return shapes


def text_encoder(words: int = 256384, shared_bias: bool = False) -> dict[str, tuple[int, ...]]:
    """Names and shapes of UMT5-XXL as ComfyUI has it; `shared_bias`: of a T5."""
    shapes: dict[str, tuple[int, ...]] = {
        "shared.weight": (words, 4096), "encoder.final_layer_norm.weight": (4096,), "spiece_model": (1000,),
    }  # fmt: skip
    for number in range(24):
        block = f"encoder.block.{number}.layer"
        shapes |= {f"{block}.0.SelfAttention.{which}.weight": (4096, 1) for which in "qkvo"}
        if number == 0 or not shared_bias:
            shapes[f"{block}.0.SelfAttention.relative_attention_bias.weight"] = (32, 64)
        shapes |= {f"{block}.1.DenseReluDense.{which}.weight": (10240, 1) for which in ("wi_0", "wi_1", "wo")}
        shapes |= {f"{block}.{which}.layer_norm.weight": (4096,) for which in "01"}
    return shapes


def vae(latent: int = 16) -> dict[str, tuple[int, ...]]:
    """As many names and shapes of an autoencoder as it is told by."""
    nested = latent == 48
    made = 12 if nested else 3
    row = "encoder.downsamples.0.downsamples.0" if nested else "encoder.downsamples.0"
    upper = "decoder.upsamples.0.upsamples" if nested else "decoder.upsamples"
    return {
        "conv2.weight": (latent, latent, 1, 1, 1), "encoder.conv1.weight": (96, made, 3, 3, 3),
        "decoder.head.2.weight": (made, 96, 3, 3, 3), "decoder.middle.0.residual.0.gamma": (384, 1, 1, 1),
        f"{row}.residual.0.gamma": (96, 1, 1, 1), f"{upper}.0.residual.0.gamma": (384, 1, 1, 1),
        f"{upper}.3.resample.1.weight": (1, 1, 3, 3),
    }  # fmt: skip


def write_all_but_transformer(place: Path) -> Path:
    """A models folder with every component of a text to video model but its transformer."""
    write(place / "text_encoders" / "umt5_xxl_fp16.safetensors", text_encoder(), "F16")
    write(place / "vae" / "wan_2.1_vae.safetensors", vae())
    write(place / "vae" / "wan2.2_vae.safetensors", vae(48))
    return place


def image_encoder() -> dict[str, tuple[int, ...]]:
    """CLIP ViT-H as ComfyUI's clip_vision_h has it."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.class_embedding": (1280,), "embeddings.patch_embedding.weight": (1280, 3, 14, 14),
        "embeddings.position_embedding.weight": (257, 1280), "embeddings.position_ids": (1, 257),
    }  # fmt: skip
    for norm in ("pre_layrnorm", "post_layernorm"):
        shapes |= {f"{norm}.{kind}": (1280,) for kind in ("weight", "bias")}
    layers = [*(f"self_attn.{which}_proj" for which in ("q", "k", "v", "out")), "mlp.fc1", "mlp.fc2"]
    for number in range(32):
        layer = f"encoder.layers.{number}"
        shapes |= {f"{layer}.{name}.weight": (5120, 1) for name in layers}
        shapes |= {f"{layer}.{name}.bias": (1,) for name in layers}
        shapes |= {f"{layer}.layer_norm{n}.{kind}": (1280,) for n in (1, 2) for kind in ("weight", "bias")}
    shapes = {f"vision_model.{name}": shape for name, shape in shapes.items()}
    return {**shapes, "visual_projection.weight": (1024, 1280)}
