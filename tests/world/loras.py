"""LoRAs as trainers, extractors and portals write them.

`make` gives the file; it is for the embedded model where nothing else is said.
"""

from __future__ import annotations

from pathlib import Path

from .entry import Entry, Make
from .what_holds import lora_refused, lora_usable


def spelt(spelling: str, name: str = "style.safetensors") -> Make:
    """A small LoRA for the embedded model, in one of the spellings of tests/wan_backend/models/written_loras.py."""

    def make(folder: Path) -> Path:
        import json

        from tests.wan_backend.models import written_loras
        from wan_backend.models import catalogue
        from wan_backend.models.transformer_shapes import shapes

        weights = catalogue.PACKAGE / catalogue.entry("embedded").package_folder
        config = json.loads((weights / "transformer" / "config.json").read_text())
        return written_loras.written(folder / name, shapes(config), spelling)

    return make


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
    Entry("a pickled one", "old trainers", content("style.pt", b"PK\3\4"), lora_refused("pickled")),
    Entry(
        "a web page", "a portal that wanted a login", content("style.safetensors", b"<!DOCTYPE html>"), lora_refused()
    ),
)  # fmt: skip
