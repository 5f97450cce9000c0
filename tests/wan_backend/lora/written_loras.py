"""Small LoRAs in every spelling that is found in the wild, written for the tests' transformers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file

from wan_backend.catalogue.transformer_shapes import Shapes

RANK = 3
ALPHA = 6.0
ORIGINAL = {
    "attn1.to_q": "self_attn.q",
    "attn1.to_k": "self_attn.k",
    "attn1.to_v": "self_attn.v",
    "attn1.to_out.0": "self_attn.o",
    "attn2.to_q": "cross_attn.q",
    "attn2.to_k": "cross_attn.k",
    "attn2.to_v": "cross_attn.v",
    "attn2.to_out.0": "cross_attn.o",
    "attn2.add_k_proj": "cross_attn.k_img",
    "attn2.add_v_proj": "cross_attn.v_img",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
}
"""Diffusers' name of a layer, and Wan's own; `proj_out` outside the blocks is "head.head"."""
Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]


def factors(shapes: Shapes, parts: Iterable[str] = ("blocks.",), rank: int = RANK, seed: int = 0) -> Factors:
    """Random factors for every linear layer whose name begins with one of `parts`, by diffusers' names."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes.items():
        if name.endswith(".weight") and len(shape) > 1 and name.startswith(tuple(parts)):
            down = 0.3 * torch.randn((rank, *shape[1:]), generator=generator)
            up = 0.3 * torch.randn((shape[0], rank, *(1 for _ in shape[2:])), generator=generator)
            found[name.removesuffix(".weight")] = (down, up)
    return found


def original(name: str) -> str:
    """Wan's own name of a layer."""
    if name == "proj_out":
        return "head.head"
    for ours, theirs in ORIGINAL.items():
        if name.endswith(ours):
            return name.removesuffix(ours) + theirs
    return name


def _spelled(layer: Callable[[str], str], down: str, up: str, scaled: float | None = None) -> Callable[[Factors], dict]:
    """A writer. `scaled`: the product is as large again by the alpha tensors, and less by as much in the factors."""

    def write(made: Factors) -> dict[str, torch.Tensor]:
        state = {}
        for name, (first, second) in made.items():
            spelled = layer(name)
            state[spelled + down] = first
            state[spelled + up] = second * (1 if scaled is None else first.shape[0] / scaled)
            if scaled is not None:
                state[f"{spelled}.alpha"] = torch.tensor(scaled)
        return state

    return write


def _processor(name: str) -> str:
    """As diffusers called the layers of attention before PEFT was there."""
    return re.sub(r"(attn\d)\.(to_(?:q|k|v|out))(?:\.0)?$", r"\1.processor.\2", name)


A, B = ".lora_A.weight", ".lora_B.weight"
OLD_ATTENTION = "_lora.down.weight", "_lora.up.weight"
DOWN, UP = ".lora_down.weight", ".lora_up.weight"
SPELLINGS: dict[str, Callable[[Factors], dict[str, torch.Tensor]]] = {
    "diffusers": _spelled(lambda name: f"transformer.{name}", A, B),
    "diffusers without a prefix": _spelled(lambda name: name, A, B),
    "diffusers, down and up": _spelled(lambda name: f"transformer.{name}", ".lora.down.weight", ".lora.up.weight"),
    "diffusers' attention processors": _spelled(lambda name: f"transformer.{_processor(name)}", *OLD_ATTENTION),
    "diffusers' older layers": _spelled(
        lambda n: f"transformer.{n}", ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"
    ),
    "of the second transformer": _spelled(lambda name: f"transformer_2.{name}", A, B),
    "of the first transformer": _spelled(lambda name: f"diffusion_model.transformer_1.{original(name)}", A, B),
    "without the word weight": _spelled(lambda name: f"diffusion_model.{original(name)}", ".lora_A", ".lora_B"),
    "ComfyUI": _spelled(lambda name: f"diffusion_model.{original(name)}", A, B),
    "ComfyUI, down and up, alpha": _spelled(lambda name: f"diffusion_model.{original(name)}", DOWN, UP, ALPHA),
    "musubi and kohya": _spelled(lambda name: f"lora_unet_{original(name).replace('.', '_')}", DOWN, UP, ALPHA),
    "VideoX-Fun": _spelled(lambda name: f"lora_unet__{original(name).replace('.', '_')}", DOWN, UP, ALPHA),
    "kohya with diffusers' names": _spelled(lambda name: f"lora_unet_{name.replace('.', '_')}", DOWN, UP, ALPHA),
    "LyCORIS": _spelled(lambda name: f"lycoris_{original(name).replace('.', '_')}", DOWN, UP, ALPHA),
    "original": _spelled(original, A, B),
    "DiffSynth": _spelled(original, ".lora_A.default.weight", ".lora_B.default.weight"),
    "DiffSynth with its pipeline's name": _spelled(lambda n: f"pipe.dit.{original(n)}", A, B),
    "DiffSynth of the second transformer": _spelled(lambda n: f"pipe.dit2.{original(n)}", A, B),
    "PEFT": _spelled(lambda name: f"base_model.model.{original(name)}", A, B),
    "PEFT of a pipeline": _spelled(lambda name: f"base_model.model.transformer.{name}", A, B),
    "PEFT by an adapter's name": _spelled(
        lambda n: f"base_model.model.{n}", ".lora_A.mine.weight", ".lora_B.mine.weight"
    ),
}
"""What a file says, by who would have written it; all mean the same. Where each was seen: lora_spellings.SEEN."""


def save(file: Path, state: dict[str, torch.Tensor]) -> Path:
    """Write the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous().clone() for key, value in state.items()}, file)
    return file


def written(file: Path, shapes: Shapes, spelling: str = "ComfyUI", **how: object) -> Path:
    """Write a LoRA of random factors."""
    return save(file, SPELLINGS[spelling](factors(shapes, **how)))  # type: ignore[arg-type]
