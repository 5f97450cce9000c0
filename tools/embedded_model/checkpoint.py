"""Puts the trained parts together as the checkpoint that ships: a diffusers folder in bfloat16.

    python -m tools.embedded_model.checkpoint FOLDER --vae TRAINED --transformer TRAINED

May import torch, diffusers and transformers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanVACEPipeline, WanVACETransformer3DModel
from torch import Tensor

from wan_backend.bench import tiny_checkpoint

from . import autoencoder, text
from .pacing import load_split

TRANSFORMER: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 4,
    "attention_head_dim": 64,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": text.WIDTH,
    "freq_dim": 128,
    "ffn_dim": 896,
    "num_layers": 6,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 128,
    "vace_layers": [0, 2, 4],
    "vace_in_channels": 96,
}
SMALL_VAE: dict[str, Any] = {**autoencoder.CONFIG, "base_dim": 4, "decoder_base_dim": 4}
SMALL_TRANSFORMER: dict[str, Any] = {
    **TRANSFORMER,
    "attention_head_dim": 12,
    "num_attention_heads": 2,
    "ffn_dim": 32,
    "num_layers": 2,
    "vace_layers": [0, 1],
}
"""Miniatures, to try the training code on a CPU."""
MAX_BYTES = 32_000_000


def _mean(folders: Sequence[Path], part: str) -> dict[str, Tensor]:
    """The weights of one part, the mean of the runs."""
    runs = [load_split(sorted(folder.glob(f"{part}-*.safetensors"))) for folder in folders]
    return {key: torch.stack([run[key] for run in runs]).mean(0) for key in runs[0]}


def assemble(vae_files: Sequence[Path], transformer_folders: Sequence[Path], *, small: bool = False) -> Any:
    """The pipeline of the trained parts, in bfloat16 on the CPU; of several transformers their mean.

    They must be of runs that went on from one another. What an earlier one could and a later one lost, the mean of both
    may do as well as what the later one learned (Wortsman et al., 2022).
    """
    trained, words = _mean(transformer_folders, "transformer"), _mean(transformer_folders, "text")
    scale = load_split([transformer_folders[0] / "latents-0.safetensors"])
    vae: Any = AutoencoderKLWan(
        **(SMALL_VAE if small else autoencoder.CONFIG),
        latents_mean=scale["mean"].tolist(),
        latents_std=scale["std"].tolist(),
    )
    vae.load_state_dict(load_split(vae_files))
    transformer: Any = WanVACETransformer3DModel(**(SMALL_TRANSFORMER if small else TRANSFORMER))
    transformer.load_state_dict(trained)
    tokenizer = text.make_tokenizer()
    encoder = text.make_encoder(len(tokenizer))
    encoder.load_state_dict(words)
    for part in (vae, transformer, encoder):
        part.requires_grad_(False).eval()
        for weight in part.parameters():
            weight.data = weight.data.to(torch.bfloat16)
    return WanVACEPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=vae,
        transformer=transformer,
        scheduler=tiny_checkpoint.make_scheduler(),
    )


def main(arguments: list[str] | None = None) -> int:
    """Write the checkpoint where the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tools.embedded_model.checkpoint", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vae", type=Path, required=True, help="what train_autoencoder saved")
    parser.add_argument(
        "--transformer", type=Path, nargs="+", required=True, help="what train_transformer saved; of several, the mean"
    )
    parser.add_argument("--small", action="store_true", help="the parts are miniatures")
    options = parser.parse_args(arguments)
    pipeline = assemble(sorted(options.vae.glob("vae-*.safetensors")), options.transformer, small=options.small)
    pipeline.save_pretrained(options.folder, safe_serialization=True)
    size_bytes = sum(file.stat().st_size for file in options.folder.rglob("*") if file.is_file())
    sys.stdout.write(f"{options.folder}: {size_bytes} bytes\n")
    if size_bytes > MAX_BYTES:
        sys.stderr.write(f"The checkpoint is larger than {MAX_BYTES} bytes; make a part of it narrower.\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
