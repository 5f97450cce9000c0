"""LoRAs as trainers, extractors and portals write them.

`make` gives the file; it is for the embedded model where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .entry import Entry, Make
from .what_holds import lora_refused, lora_usable


def spelt(spelling: str, name: str = "style.safetensors") -> Make:
    """A small LoRA for the embedded model, in one of the spellings of tests/wan_backend/lora/written_loras.py."""

    def make(folder: Path) -> Path:
        import json

        from tests.wan_backend.lora import written_loras
        from wan_backend.catalogue import entries
        from wan_backend.catalogue.transformer_shapes import shapes

        weights = entries.PACKAGE / entries.entry("embedded").package_folder
        config = json.loads((weights / "transformer" / "config.json").read_text())
        return written_loras.written(folder / name, shapes(config), spelling)

    return make


def changed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Make:
    """ComfyUI's spelling, with something changed in what the file holds."""

    def make(folder: Path) -> Path:
        from safetensors.torch import load_file, save_file

        file = spelt("ComfyUI")(folder)
        save_file(change(load_file(file)), file)
        return file

    return make


def _with_text_encoder(state: dict[str, Any]) -> dict[str, Any]:
    import torch

    layer = "lora_te_encoder_block_0_layer_0_SelfAttention_q"
    return state | {f"{layer}.lora_down.weight": torch.ones(4, 32), f"{layer}.lora_up.weight": torch.ones(32, 4)}


def _with_image_encoder(state: dict[str, Any]) -> dict[str, Any]:
    keys = (key for key in state if ".cross_attn.k." in key)
    return state | {key.replace(".k.", ".k_img."): state[key].clone() for key in keys}


def _not_a_number(state: dict[str, Any]) -> dict[str, Any]:
    next(iter(state.values())).view(-1)[0] = float("nan")
    return state


def _with_biases(state: dict[str, Any]) -> dict[str, Any]:
    ups = {key: value for key, value in state.items() if "lora_B" in key}
    return state | {key.replace("lora_B.weight", "lora_B.bias"): value[:, 0].clone() for key, value in ups.items()}


def _with_bias_anew(state: dict[str, Any]) -> dict[str, Any]:
    key = next(key for key in state if "self_attn.q" in key)
    return state | {key.partition(".lora_")[0] + ".bias": state[key].reshape(-1)[:8].clone()}


def _for_both_experts(state: dict[str, Any]) -> dict[str, Any]:
    return {
        key.replace("diffusion_model.", f"diffusion_model.transformer_{number}."): value.clone()
        for key, value in state.items()
        for number in (1, 2)
    }


def refused_when_loaded(*words: str) -> Callable[[Path], None]:
    """Its head is sound, and the job that loads it says what is wrong."""

    def check(file: Path) -> None:
        from wan_backend.catalogue import entries
        from wan_backend.catalogue.transformer_shapes import shapes
        from wan_backend.library.component_files import ComponentFiles
        from wan_backend.loading import lora_weights
        from wan_backend.lora.lora_head import UnusableLora
        from wan_backend.lora.resolve import transformer_configs

        weights = entries.PACKAGE / entries.entry("embedded").package_folder
        try:
            lora_weights.load(file, shapes(transformer_configs(ComponentFiles(weights))["transformer"]))
        except UnusableLora as why:
            assert [word for word in words if word not in str(why)] == [], why
        else:
            raise AssertionError("it was loaded")

    return check


def content(name: str, content: bytes) -> Make:
    """Any bytes under a LoRA's name."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


ENTRIES = (
    Entry("ComfyUI's names", "most portals", spelt("ComfyUI"), lora_usable(), short=True),
    Entry("musubi's names", "musubi-tuner, kohya", spelt("musubi and kohya"), lora_usable()),
    Entry("DiffSynth's names", "DiffSynth-Studio", spelt("DiffSynth"), lora_usable()),
    Entry("PEFT's names", "PEFT, diffusers' trainers", spelt("PEFT"), lora_usable()),
    Entry("of the second transformer alone", "diffusers", spelt("of the second transformer"), lora_usable()),
    Entry("diffusers' older endings", "diffusers before PEFT", spelt("diffusers' older layers"), lora_usable()),
    Entry(
        "with layers of a text encoder",
        "kohya's trainers",
        changed(_with_text_encoder),
        lora_usable(note="1 for the text encoder"),
        short=True,
    ),
    Entry(
        "for image to video, on text to video",
        "lightx2v's 4-step LoRA",
        changed(_with_image_encoder),
        lora_usable(note="for an image encoder"),
    ),
    Entry(
        "with a number that is none",
        "a training that diverged",
        changed(_not_a_number),
        refused_when_loaded("NaN or infinite"),
    ),
    Entry("with biases of its own", "PEFT's lora_bias", changed(_with_biases), lora_usable()),
    Entry("with a bias set anew", "PEFT's bias='all'", changed(_with_bias_anew), lora_refused("self_attn.q.bias")),
    Entry("for both experts", "ai-toolkit", changed(_for_both_experts), lora_refused("each of the two experts")),
    Entry("a pickled one", "old trainers", content("style.pt", b"PK\3\4"), lora_refused("pickled")),
    Entry(
        "a web page", "a portal that wanted a login", content("style.safetensors", b"<!DOCTYPE html>"), lora_refused()
    ),
)  # fmt: skip
