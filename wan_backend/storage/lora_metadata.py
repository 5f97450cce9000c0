"""What the head of a LoRA file says of it, for people: its trigger. It needs the standard library alone.

The file may be a stranger's, or none at all.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

from . import guarded_files

TRIGGER_KEY = "modelspec.trigger_phrase"
"""As ModelSpec calls it (github.com/Stability-AI/ModelSpec)."""
_TRIGGER_KEYS = (TRIGGER_KEY, "trigger_phrase", "trigger_word", "trigger_words", "activation_text", "instance_prompt")
MAX_HEAD_BYTES = 32 << 20
MAX_TRIGGER_CHARACTERS = 200
SUFFIX = ".safetensors"


def metadata_of(file: str | Path) -> dict[str, str]:
    """The texts in the head of a safetensors file; none if it can't be read."""
    try:
        with guarded_files.opened(file) as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length <= MAX_HEAD_BYTES:
                return {}
            texts = json.loads(stream.read(length)).get("__metadata__", {})
        return {key: value for key, value in texts.items() if isinstance(value, str)}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def trigger_of(path: str | Path) -> str:
    """The word or phrase that calls for what a LoRA has learned, by its file or the folder of a pair; empty if none."""
    place = Path(path)
    try:
        files = sorted(each for each in place.iterdir() if each.suffix == SUFFIX) if place.is_dir() else [place]
    except OSError:
        return ""
    for file in files[:2]:
        texts = metadata_of(file)
        for key in _TRIGGER_KEYS:
            words = " ".join(_readable(texts.get(key, "")).split())
            if words:
                return words[:MAX_TRIGGER_CHARACTERS]
    return ""


def _readable(text: str) -> str:
    """`text` with spaces in place of control characters and halves of characters, which no field can have."""
    begun = text[: 2 * MAX_TRIGGER_CHARACTERS]
    return "".join(" " if unicodedata.category(each) in ("Cc", "Cs") else each for each in begun)
