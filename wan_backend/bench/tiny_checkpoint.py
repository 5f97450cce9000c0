"""A tiny Wan VACE checkpoint of random weights, in the layout that diffusers saves: for tests.

    python -m wan_backend.bench.tiny_checkpoint FOLDER [--seed 0] [--kind vace|t2v]

Every component is of the true class, a few hundred kilobytes in all, so that the same code loads and runs it as a
real model. It paints colored noise that its prompt and seed change; it knows nothing. Writing it again with
the same seed makes the same bytes of weights. It imports nothing of ours.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
)
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

TEXT_WIDTH = 32
TRANSFORMER: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": TEXT_WIDTH,
    "freq_dim": 32,
    "ffn_dim": 32,
    "num_layers": 2,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024,
}
VACE: dict[str, Any] = {"vace_layers": [0, 1], "vace_in_channels": 96}


def write(folder: Path, seed: int = 0, kind: str = "vace") -> None:
    """Write the checkpoint to `folder`. `kind` is "vace" (the stand-in) or "t2v" (plain text to video)."""
    make_pipeline(seed, kind).save_pretrained(folder, safe_serialization=True)


def make_pipeline(seed: int = 0, kind: str = "vace") -> Any:
    """The checkpoint as a pipeline of diffusers, float32 on the CPU; leaves torch's random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        components: dict[str, Any] = {
            "tokenizer": make_tokenizer(),
            "text_encoder": _text_encoder(),
            "vae": _vae(),
            "scheduler": make_scheduler(),
        }
        if kind == "vace":
            components["transformer"] = _lively(WanVACETransformer3DModel(**TRANSFORMER, **VACE))
            return WanVACEPipeline(**components)
        components["transformer"] = _lively(WanTransformer3DModel(**TRANSFORMER))
        return WanPipeline(**components)


def make_tokenizer() -> T5Tokenizer:
    """One token a printable ASCII character; any other character is the unknown token."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return T5Tokenizer(vocab=special + [(chr(code), -3.0) for code in range(33, 127)], extra_ids=0)


def _text_encoder() -> UMT5EncoderModel:
    config = UMT5Config(vocab_size=128, d_model=TEXT_WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return UMT5EncoderModel(config).eval()


def _vae() -> Any:
    vae: Any = AutoencoderKLWan(base_dim=2, z_dim=16, num_res_blocks=1)
    vae.eval()
    with torch.no_grad():  # random weights paint a flat gray; louder ones paint colors
        vae.decoder.conv_out.weight.mul_(2.0)
        vae.decoder.conv_out.bias.zero_()
    return vae


def make_scheduler() -> UniPCMultistepScheduler:
    """UniPC, with the configuration of Wan's own checkpoints."""
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, num_train_timesteps=1000
    )


def _lively(transformer: Any) -> Any:
    """The transformer with louder weights, so that the prompt and the steps show in the pixels."""
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if "attn2" in name and weight.ndim == 2:
                weight.mul_(4.0)
        transformer.proj_out.weight.mul_(6.0)
    return transformer.eval()


def main(arguments: list[str] | None = None) -> int:
    """Write the checkpoint where the command line says."""
    parser = argparse.ArgumentParser(prog="python -m wan_backend.bench.tiny_checkpoint", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=("vace", "t2v"), default="vace")
    options = parser.parse_args(arguments)
    transformers.logging.disable_progress_bar()
    write(options.folder, options.seed, options.kind)
    size_bytes = sum(file.stat().st_size for file in options.folder.rglob("*") if file.is_file())
    sys.stdout.write(f"{options.folder}: {size_bytes} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
