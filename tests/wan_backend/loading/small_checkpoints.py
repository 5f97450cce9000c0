"""Small random checkpoints of the models that are no stand-in: begun on a picture, of two experts, or distilled.

Every component is of the true class, in the layout that diffusers saves. May import torch, diffusers and transformers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

from wan_backend.bench import tiny_checkpoint

EYE_WIDTH, EYE_SIZE, EYE_PATCH = 16, 28, 14
EYE_TOKENS = (EYE_SIZE // EYE_PATCH) ** 2 + 1
JOINED = {"in_channels": 36, "out_channels": 16}
"""Sixteen of noise, four of mask, sixteen of pictures."""
SEEING = {**JOINED, "image_dim": EYE_WIDTH, "added_kv_proj_dim": 24}
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "first_picture": SEEING,
    "first_and_last": {**SEEING, "pos_embed_seq_len": 2 * EYE_TOKENS},
    "pictures": JOINED,
    "text": {},
    "first_latent": {"in_channels": 48, "out_channels": 48},
}
"""What the transformer has beside the stand-in's settings, by layout."""


BOUNDARIES = {"text": 0.875, "pictures": 0.9, "control": 0.875}
"""Where the second expert takes over in Wan 2.2's text to video, image to video and VACE-Fun."""
EXPERT_PIPELINES = {"text": WanPipeline, "pictures": WanImageToVideoPipeline, "control": WanVACEPipeline}


def write_experts(folder: Path, architecture: str, seed: int = 0) -> Path:
    """Write a checkpoint as Wan 2.2 A14B is, "text", "pictures" or "control": there are two transformers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = dict(tiny_checkpoint.make_pipeline(seed, "t2v").components)
        parts |= {"transformer": _transformer(architecture), "transformer_2": _transformer(architecture)}
        pipe: Any = EXPERT_PIPELINES[architecture](**parts, boundary_ratio=BOUNDARIES[architecture])
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


def write_renderer(folder: Path, experts: int = 1, seed: int = 0, **sizes: int) -> Path:
    """Write a checkpoint as Bernini-R is, with no model_index.json; `sizes` are other ones of its transformer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = dict(tiny_checkpoint.make_pipeline(seed, "t2v").components)
        parts.pop("transformer_2", None)
        names = ("transformer", "transformer_2")[:experts]
        parts |= {name: _transformer("text", **sizes) for name in names}
        pipe = WanPipeline(**parts, **({"boundary_ratio": BOUNDARIES["text"]} if experts == 2 else {}))
    pipe.save_pretrained(folder, safe_serialization=True)
    (folder / "model_index.json").unlink()
    config = {
        "model_type": "bernini_renderer", "architectures": ["BerniniRendererModel"], "skip_transformer_1": False,
        "skip_transformer_2": experts == 1, "switch_dit_boundary": BOUNDARIES["text"] if experts == 2 else 0,
        "max_sequence_length": 512, "shift": 3.0, "use_unipc": True, "use_src_id_rotary_emb": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_distilled(folder: Path, architecture: str, seed: int = 0) -> Path:
    """Write a checkpoint as FastWan 1.3B ("text") or 5B ("first_latent") is: another class in the index, else alike."""
    write(folder, architecture, seed)
    file = folder / "model_index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "_class_name": "WanDMDPipeline"}))
    if architecture == "text":  # it was trained with sparse attention, whose gates are still among its weights
        weights_file = next((folder / "transformer").glob("*.safetensors"))
        weights = load_file(weights_file)
        width = weights["blocks.0.attn1.to_q.weight"].shape[0]
        for block in range(tiny_checkpoint.TRANSFORMER["num_layers"]):
            weights[f"blocks.{block}.to_gate_compress.weight"] = torch.zeros(width, width)
            weights[f"blocks.{block}.to_gate_compress.bias"] = torch.zeros(width)
        save_file(weights, weights_file, {"format": "pt"})
    return folder


def write(folder: Path, architecture: str, seed: int = 0) -> Path:
    """Write the checkpoint of that layout to `folder`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = dict(tiny_checkpoint.make_pipeline(seed, "t2v").components)
        parts.pop("transformer_2")
        parts["transformer"] = _transformer(architecture)
        if architecture == "first_latent":
            pipe: Any = WanPipeline(**{**parts, "vae": _patched_vae()}, expand_timesteps=True)
        elif architecture == "text":
            pipe = WanPipeline(**parts)
        else:
            eyes = _eyes() if architecture.startswith("first") else {}
            pipe = WanImageToVideoPipeline(**parts, **eyes)
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


def _transformer(architecture: str, **sizes: int) -> Any:
    kind: Any = WanVACETransformer3DModel if architecture == "control" else WanTransformer3DModel
    own = tiny_checkpoint.VACE if architecture == "control" else TRANSFORMERS[architecture]
    transformer: Any = kind(**{**tiny_checkpoint.TRANSFORMER, **own, **sizes})
    with torch.no_grad():  # louder, so that the prompt, the pictures and the steps show
        for name, weight in transformer.named_parameters():
            if "attn2" in name and weight.ndim == 2:
                weight.mul_(4.0)
            if name.endswith("pos_embed"):
                weight.normal_()  # zeros at first, which would hide which picture is the last
        transformer.proj_out.weight.mul_(6.0)
    return transformer.eval()


def _patched_vae() -> Any:
    """Wan 2.2's autoencoder: residual, on patches of two by two pixels, sixteen pixels a latent."""
    means = torch.linspace(-0.5, 0.5, 48).tolist()
    vae: Any = AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=48,
        num_res_blocks=1,
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
        scale_factor_spatial=16,
        latents_mean=means,
        latents_std=[1.0 + abs(mean) for mean in means],
    )
    return vae.eval()


def _eyes() -> dict[str, Any]:
    config = CLIPVisionConfig(
        hidden_size=EYE_WIDTH,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=EYE_SIZE,
        patch_size=EYE_PATCH,
    )
    size = {"shortest_edge": EYE_SIZE}
    crop = {"height": EYE_SIZE, "width": EYE_SIZE}
    encoder: Any = CLIPVisionModel(config).eval()
    with torch.no_grad():  # at their first size its weights see every picture alike
        for weight in encoder.parameters():
            if weight.ndim >= 2:
                weight.mul_(10.0)
    return {"image_encoder": encoder, "image_processor": CLIPImageProcessorPil(size=size, crop_size=crop)}
