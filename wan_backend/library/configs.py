"""The configuration of a component, from the shapes of its tensors.

Nothing is guessed from a name or asked of the hub. What shapes don't tell is the same in all published Wan models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ..catalogue.architecture import CAMERA_CLASS, MASK_CHANNELS, SOURCE_MARK, Architecture
from ..catalogue.transformer_shapes import CAMERA_CHANNELS
from ..protocol.sentences import Sentence
from ..storage.guarded_files import UnusableFile

FileShapes = Mapping[str, tuple[int, ...]]
"""The shape of each tensor, by the names of diffusers or transformers."""
HEAD_WIDTH = 128
"""The width of an attention head in all Wan transformers."""
IMAGE_HEAD_WIDTH = 80
LATENT, PATCHED_LATENT = 16, 48
"""Channels of the latents of Wan 2.1's autoencoder, and of Wan 2.2's."""
CAMERA_FOLD = 8
"""Side in pixels of a latent of Wan 2.1's autoencoder, into which a camera's rays are folded."""
PATCH = 4
"""A token holds two by two latents."""
MAX_BLOCKS = 1000
"""A tensor's name may have any number, which would say how many blocks there are; larger models are years away."""
MEAN_48 = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891, 0.1570,
    -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322,
    0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520,
    0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
)  # fmt: skip
DEVIATION_48 = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165,
    0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917,
    0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600,
    0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)  # fmt: skip
"""The mean and standard deviation of the latents of Wan 2.2's autoencoder, as its authors publish them; diffusers has
those of Wan 2.1's."""


def transformer(shapes: FileShapes) -> dict[str, Any]:
    """The configuration of a transformer. Raises UnusableFile."""
    width, channels = _shape(shapes, "patch_embedding.weight", 5)[:2]
    if width % HEAD_WIDTH:
        raise UnusableFile(Sentence("it is {width} wide, which no Wan transformer is", width=width))
    config: dict[str, Any] = {
        "_class_name": "WanTransformer3DModel",
        "num_attention_heads": width // HEAD_WIDTH,
        "attention_head_dim": HEAD_WIDTH,
        "in_channels": channels,
        "out_channels": _shape(shapes, "proj_out.weight", 2)[0] // PATCH,
        "text_dim": _shape(shapes, "condition_embedder.text_embedder.linear_1.weight", 2)[1],
        "freq_dim": _shape(shapes, "condition_embedder.time_embedder.linear_1.weight", 2)[1],
        "ffn_dim": _shape(shapes, "blocks.0.ffn.net.0.proj.weight", 2)[0],
        "num_layers": _count(shapes, r"blocks\.(\d+)\."),
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
    }
    if any(name.startswith("condition_embedder.image_embedder.") for name in shapes):
        config["image_dim"] = _shape(shapes, "condition_embedder.image_embedder.norm1.weight", 1)[0]
        config["added_kv_proj_dim"] = width
    if "condition_embedder.image_embedder.pos_embed" in shapes:
        config["pos_embed_seq_len"] = _shape(shapes, "condition_embedder.image_embedder.pos_embed", 3)[1]
    if any(name.startswith("vace_") for name in shapes):
        config |= _control(shapes, config["num_layers"])
    if "control_adapter.conv.weight" in shapes:
        config |= _camera(shapes)
    return config


def _camera(shapes: FileShapes) -> dict[str, Any]:
    """What a transformer's configuration has if a camera steers it."""
    channels = _shape(shapes, "control_adapter.conv.weight", 4)[1]
    fold = math.isqrt(channels // CAMERA_CHANNELS)
    if fold < 1 or CAMERA_CHANNELS * fold**2 != channels:
        raise UnusableFile(
            Sentence("its control adapter takes {channels} channels, which no camera's rays have", channels=channels)
        )
    return {"_class_name": CAMERA_CLASS, "camera_fold": fold}


def _control(shapes: FileShapes, layers: int) -> dict[str, Any]:
    count = _count(shapes, r"vace_blocks\.(\d+)\.")
    if not count or layers % count:
        raise UnusableFile(
            Sentence("its {count} control blocks can't be spread over {layers} layers", count=count, layers=layers)
        )
    return with_control(layers, count, _shape(shapes, "vace_patch_embedding.weight", 5)[1])


def with_control(layers: int, blocks: int, channels: int) -> dict[str, Any]:
    """What the configuration of a transformer of so many layers has if it has that control.

    A block guides every so many layers, from the first on, as published of both sizes: "vace_layers" is 0, 5, ..., 35
    of 40 layers (https://huggingface.co/Wan-AI/Wan2.1-VACE-14B-diffusers) and 0, 2, ..., 28 of 30.
    """
    spread = list(range(0, layers, layers // blocks))
    return {"_class_name": "WanVACETransformer3DModel", "vace_layers": spread, "vace_in_channels": channels}


def control_module(shapes: FileShapes) -> dict[str, Any]:
    """What is known of the control in a file of its own, by the names of a configuration. Raises UnusableFile."""
    width, channels = _shape(shapes, "vace_patch_embedding.weight", 5)[:2]
    if width % HEAD_WIDTH:
        raise UnusableFile(Sentence("it is {width} wide, which no Wan transformer is", width=width))
    return {
        "num_attention_heads": width // HEAD_WIDTH,
        "attention_head_dim": HEAD_WIDTH,
        "ffn_dim": _shape(shapes, "vace_blocks.0.ffn.net.0.proj.weight", 2)[0],
        "vace_in_channels": channels,
        "vace_blocks": _count(shapes, r"vace_blocks\.(\d+)\."),
    }


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """What a transformer of that configuration is conditioned by. Raises UnusableFile if it is no known one."""
    channels, made = config["in_channels"], config["out_channels"]
    if "camera_fold" in config:
        return _architecture_of_camera(config)
    if "vace_layers" in config and channels == made:
        return Architecture.CONTROL
    if channels == made and channels in (LATENT, PATCHED_LATENT) and "image_dim" not in config:
        if channels == PATCHED_LATENT:
            return Architecture.FIRST_LATENT
        return Architecture.EDIT if config.get(SOURCE_MARK) is True else Architecture.TEXT
    if channels != 2 * made + MASK_CHANNELS or "vace_layers" in config:
        raise UnusableFile(
            Sentence(
                "it takes {channels} channels and gives {made}, which no model does that this version runs (it may be "
                "a variant, such as Fun Control)",
                channels=channels,
                made=made,
            )
        )
    if "image_dim" not in config:
        return Architecture.PICTURES
    return Architecture.FIRST_AND_LAST if "pos_embed_seq_len" in config else Architecture.FIRST_PICTURE


def _architecture_of_camera(config: Mapping[str, Any]) -> Architecture:
    channels, made, sees = config["in_channels"], config["out_channels"], "image_dim" in config
    wanted = 2 * LATENT if sees else 2 * LATENT + MASK_CHANNELS
    if made != LATENT or config["camera_fold"] != CAMERA_FOLD or channels != wanted or "vace_layers" in config:
        raise UnusableFile(
            Sentence(
                "a camera steers it, but it takes {channels} channels and gives {made}, which no camera model does "
                "that this version runs (Fun Camera 5B is none of these)",
                channels=channels,
                made=made,
            )
        )
    return Architecture.CAMERA if sees else Architecture.CAMERA_AND_PICTURE


def vae(shapes: FileShapes) -> dict[str, Any]:
    """The configuration of an autoencoder. Raises UnusableFile."""
    residual = any(name.startswith("encoder.down_blocks.0.resnets.") for name in shapes)
    latent = _shape(shapes, "post_quant_conv.weight", 5)[0]
    made, pixel = _shape(shapes, "decoder.conv_out.weight", 5)[:2]
    if made != (12 if residual else 3) or latent != (PATCHED_LATENT if residual else LATENT):
        raise UnusableFile(
            Sentence(
                "it makes {made} channels of latents of {latent}, which neither of Wan's autoencoders does",
                made=made,
                latent=latent,
            )
        )
    config: dict[str, Any] = {
        "_class_name": "AutoencoderKLWan",
        "base_dim": _shape(shapes, "encoder.conv_in.weight", 5)[0],
        "z_dim": latent,
        "num_res_blocks": _count(shapes, r"decoder\.up_blocks\.0\.resnets\.(\d+)\.") - 1,
    }
    if residual:
        config |= {
            "decoder_base_dim": pixel,
            "is_residual": True,
            "in_channels": made,
            "out_channels": made,
            "patch_size": 2,
            "scale_factor_temporal": 4,
            "scale_factor_spatial": 16,
            "latents_mean": list(MEAN_48),
            "latents_std": list(DEVIATION_48),
        }
    return config


def text_encoder(shapes: FileShapes) -> dict[str, Any]:
    """The configuration of a UMT5 encoder. Raises UnusableFile."""
    first = "encoder.block.0.layer.0.SelfAttention."
    vocabulary, width = _shape(shapes, "shared.weight", 2)
    buckets, heads = _shape(shapes, first + "relative_attention_bias.weight", 2)
    return {
        "_class_name": "UMT5EncoderModel",
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": _shape(shapes, first + "q.weight", 2)[0] // heads,
        "d_ff": _shape(shapes, "encoder.block.0.layer.1.DenseReluDense.wi_0.weight", 2)[0],
        "num_layers": _count(shapes, r"encoder\.block\.(\d+)\."),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
        "feed_forward_proj": "gated-gelu",
    }


def image_encoder(shapes: FileShapes) -> dict[str, Any]:
    """The configuration of a CLIP ViT-H. Raises UnusableFile."""
    width, _, patch, _ = _shape(shapes, "embeddings.patch_embedding.weight", 4)
    if width % IMAGE_HEAD_WIDTH:
        raise UnusableFile(Sentence("it is {width} wide, so it is not a CLIP ViT-H", width=width))
    tokens = max(_shape(shapes, "embeddings.position_embedding.weight", 0)[:-1])
    return {
        "_class_name": "CLIPVisionModel",
        "hidden_size": width,
        "intermediate_size": _shape(shapes, "encoder.layers.0.mlp.fc1.weight", 2)[0],
        "num_hidden_layers": _count(shapes, r"encoder\.layers\.(\d+)\."),
        "num_attention_heads": width // IMAGE_HEAD_WIDTH,
        "patch_size": patch,
        "image_size": math.isqrt(tokens - 1) * patch,
        "hidden_act": "gelu",
    }


def _shape(shapes: FileShapes, name: str, sides: int) -> tuple[int, ...]:
    """The shape of a tensor of so many sides; 0 stands for any. Raises UnusableFile."""
    if name not in shapes:
        raise UnusableFile(Sentence("its tensor {name} is missing", name=name))
    if sides and len(shapes[name]) != sides:
        raise UnusableFile(
            Sentence(
                "its tensor {name} has {count} sides, not {sides}", name=name, count=len(shapes[name]), sides=sides
            )
        )
    return shapes[name]


def _count(shapes: FileShapes, pattern: str) -> int:
    """One more than the largest number that `pattern` finds at the beginning of a name. Raises UnusableFile."""
    found = re.compile(pattern)
    numbers = (match[1] for name in shapes if (match := found.match(name)))
    last = max((int(number[:9]) for number in numbers), default=-1)
    if last >= MAX_BLOCKS:
        raise UnusableFile(Sentence("it has a block of the number {last}, which no Wan model has", last=f"{last:,}"))
    return last + 1
