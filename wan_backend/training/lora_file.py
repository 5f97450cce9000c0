"""The LoRA as others read it: in the spelling of Wan's own layers, with its training in the head.

`diffusion_model.blocks.0.self_attn.q.lora_A.weight` is what ComfyUI reads, diffusers converts and this backend loads.
There is no alpha: a factor of 1. The head says what it was trained on and its trigger; no path, no caption, no picture.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ..library.tensor_names import LAYERS_IN_BLOCK
from ..storage import whole_file
from ..storage.lora_metadata import TRIGGER_KEY

PREFIX = "diffusion_model."
_PUBLISHED = {ours: published for published, ours in LAYERS_IN_BLOCK.items()}
_FACTOR = re.compile(r"(blocks\.\d+)\.(.+)\.(lora_[AB])\.weight")
ENDINGS = {"transformer": "_high_noise", "transformer_2": "_low_noise"}
"""Of the files of a model with two experts."""


def published_key(name: str) -> str:
    """The key of a factor by the name that it has beside diffusers' layers. Raises ValueError if it is none."""
    found = _FACTOR.fullmatch(name)
    if found is None or found[2] not in _PUBLISHED:
        raise ValueError(f"{name} is no factor of an adapter")
    return f"{PREFIX}{found[1]}.{_PUBLISHED[found[2]]}.{found[3]}.weight"


def write(file: Path, factors: Mapping[str, Tensor], head: Mapping[str, str]) -> None:
    """Put the LoRA there, whole. Raises OSError."""
    tensors = {published_key(name): factor.to(torch.bfloat16).contiguous() for name, factor in factors.items()}
    whole_file.write(file, _in_order(save(tensors, {"format": "pt", **head})), flushed=True)


def _in_order(content: bytes) -> bytes:
    """The file with its head's texts in order: safetensors writes them in another one each time."""
    end = 8 + int.from_bytes(content[:8], "little")
    found = json.loads(content[8:end])
    ordered = {"__metadata__": dict(sorted(found.pop("__metadata__").items())), **found}
    words = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    words += b" " * (-len(words) % 8)
    return len(words).to_bytes(8, "little") + words + content[end:]


def head(
    name: str, trigger: str, model: str, model_hash: str, captions: int, clips: int, steps: int, rank: int
) -> dict[str, str]:
    """What the head says: by the keys of ModelSpec and of kohya's trainer where these have one."""
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.implementation": "https://github.com/Wan-Video",
        "modelspec.title": name,
        TRIGGER_KEY: trigger,
        "modelspec.architecture": f"{model}/lora",
        "ss_output_name": name,
        "ss_base_model_version": model,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "ss_steps": str(steps),
        "ss_sd_model_hash": model_hash,
        "wan_vse.base_model": model,
        "wan_vse.base_model_sha256": model_hash,
        "wan_vse.captions": str(captions),
        "wan_vse.clips": str(clips),
        "wan_vse.steps": str(steps),
    }
