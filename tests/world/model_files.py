"""Files of models as portals, hubs and programs have them: written small, with true names and shapes.

`make` gives a models folder. `heads_only` writes files of full size that are holes; `file_forms` small whole ones.
"""

from __future__ import annotations

from pathlib import Path

from .entry import Entry, Make
from .what_holds import model_refused, parts_are


def files(**contents: bytes) -> Make:
    """A models folder with these files; __ in a name is a dot."""

    def make(folder: Path) -> Path:
        for name, content in contents.items():
            (folder / name.replace("__", ".")).write_bytes(content)
        return folder

    return make


def holes(name: str, dtype: str = "BF16", **shape: int) -> Make:
    """A transformer of full size by its head (tests/wan_backend/models/heads_only.py: width, layers, channels, ...)."""

    def make(folder: Path) -> Path:
        from tests.wan_backend.models import heads_only

        heads_only.write(folder / name, heads_only.transformer(**shape), dtype)
        return folder

    return make


ENTRIES = (
    Entry(
        "Wan 2.1 1.3B as one file", "ComfyUI's repackaged files", holes("wan2.1_t2v_1.3B_bf16.safetensors"),
        parts_are(transformer="wan2.1_t2v_1.3B_bf16.safetensors"), short=True,
    ),
    Entry(
        "a web page named .safetensors", "a portal that wanted a login",
        files(wan__safetensors=b"<!DOCTYPE html><html><head><title>Sign in</title>"), model_refused("wan.safetensors"),
    ),
)  # fmt: skip
