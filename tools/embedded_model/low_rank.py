"""LoRA layers for training: put on a transformer, and saved with diffusers' keys.

May import torch and safetensors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

_ENDINGS = ("to_q", "to_k", "to_v", "to_out.0", "net.0.proj", "net.2")


class LowRank(nn.Module):
    """A linear layer with a low-rank change beside it, nothing at first."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear
        self.lora_A = nn.Linear(linear.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, linear.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's answer, changed."""
        plain: Tensor = self.linear(x)
        return plain + self.lora_B(self.lora_A(x))


def attach(transformer: Any, rank: int) -> dict[str, LowRank]:
    """Put layers of that rank on every block's attention and feed-forward; all else stands still."""
    transformer.requires_grad_(False)
    names = [name for name, module in transformer.named_modules() if isinstance(module, nn.Linear)]
    found = {}
    for name in names:
        if "blocks." in name and name.endswith(_ENDINGS):
            above, _, last = name.rpartition(".")
            found[name] = LowRank(transformer.get_submodule(name), rank).to(next(transformer.parameters()).device)
            setattr(transformer.get_submodule(above), last, found[name])
    return found


def save(layers: dict[str, LowRank], file: Path) -> None:
    """As diffusers' pipelines load it: `transformer.<layer>.lora_A.weight`, scale 1, in bfloat16."""
    state = {}
    for name, layer in layers.items():
        for side in ("lora_A", "lora_B"):
            weight = getattr(layer, side).weight.detach().cpu()
            state[f"transformer.{name}.{side}.weight"] = weight.to(torch.bfloat16).contiguous()
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, file, metadata={"format": "pt"})
