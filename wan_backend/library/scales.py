"""How the weights of a file are scaled: which tensor scales which, in which shape, by which recipe. No torch.

Looked at when a file is recognised and when it is loaded, so that both say the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from ..storage import guarded_files
from .file_heads import Header, Tensor

SCALES = (".scale_weight", ".weight_scale", ".weight_scale_inv")
"""After a layer's name: what its weight is multiplied by. The last is DeepSeek's and transformers' name of it."""
QUANTO_DATA, QUANTO_SCALE = "._data", "._scale"
"""After a weight's name, in files that optimum-quanto packed."""
QUANTS = ("float8_e4m3fn", "float8_e5m2")
"""Of the forms that ComfyUI notes beside a weight; the others are packed, turned, or scaled in another order."""
NOTE = ".comfy_quant"
NOTES = "_quantization_metadata"
"""Where ComfyUI's newer files note it: beside the weight, or for all of them in the head."""
MOST_NOTE_BYTES = 4096
REAL = {"F64", "F32", "F16", "BF16"}
IN_8_BIT = {"F8_E4M3", "F8_E5M2", "I8"}


class Spread(Enum):
    """Over what a scale is spread."""

    ALL = "all"
    ROWS = "rows"
    COLUMNS = "columns"
    BLOCKS = "blocks"


def scale_of(header: Header, name: str) -> str | None:
    """The name of the tensor that scales the tensor `name`, or None."""
    if name.endswith(QUANTO_DATA):
        scale = name.removesuffix(QUANTO_DATA) + QUANTO_SCALE
        return scale if scale in header.tensors else None
    stem = name.removesuffix(".weight")
    candidates = (f"{stem}{suffix}" for suffix in SCALES)
    return next((scale for scale in candidates if scale in header.tensors), None)


def spread(scale: tuple[int, ...], weight: tuple[int, ...]) -> Spread | None:
    """What a scale of that shape means for a weight of that shape; None where nobody can say."""
    if math.prod(scale) == 1:
        return Spread.ALL
    rows, columns = weight[0], weight[-1]
    if math.prod(scale) == rows and scale[0] == rows:
        return Spread.ROWS
    if len(weight) != 2:
        return None
    if scale == (1, columns):
        return Spread.COLUMNS
    down, across = scale[:2] if len(scale) == 2 or (len(scale) == 3 and scale[2] == 1) else (0, 0)
    return Spread.BLOCKS if down and across and rows % down == 0 and columns % across == 0 else None


def why_not(header: Header, sources: Iterable[str]) -> str:
    """Why the scaled ones of these tensors can't be multiplied out, as a clause; empty where they can."""
    sources = list(sources)
    scaled = {name: scale for name in sources if (scale := scale_of(header, name))}
    return next((why for name, scale in scaled.items() if (why := _why_not(header, name, scale))), "") or _unread(
        header, scaled
    )


def _why_not(header: Header, name: str, scale: str) -> str:
    weight, by = header.tensors[name], header.tensors[scale]
    if by.dtype not in REAL:
        kind = "mxfp8" if by.dtype == "F8_E8M0" else f"scaled by {by.dtype}"
        return f"its numbers are {kind}, which this version can't read; get it in bf16, fp8 scaled or GGUF"
    if name.removesuffix(".weight") + ".weight_scale_2" in header.tensors:
        return f"its weight {name} has two scales, which this version can't read; get it in bf16, fp8 scaled or GGUF"
    if weight.shape and spread(by.shape, weight.shape) is None:
        return (
            f"its scale {scale} has the shape {by.shape}, which this version can't read for a weight of {weight.shape}"
        )
    return ""


def _unread(header: Header, scaled: Iterable[str]) -> str:
    """What ComfyUI notes of a weight that isn't one of `QUANTS`."""
    for name, note in _notes(header, scaled):
        found = _format(note)
        if found not in QUANTS:
            return f"its weight {name} is in {found}, which this version can't read; get fp8 scaled, bf16 or GGUF"
    return ""


def _notes(header: Header, scaled: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    stems = {name.removesuffix(".weight"): name for name in scaled}
    beside = {name: header.tensors[stem + NOTE] for stem, name in stems.items() if stem + NOTE in header.tensors}
    if beside:
        with guarded_files.opened(header.file) as stream:
            for name, tensor in beside.items():
                stream.seek(tensor.start)
                note = stream.read(min(MOST_NOTE_BYTES, _bytes(tensor)))
                if note.strip(b"\0"):
                    yield name, note
    for layer, note in _noted(header.notes).items():
        name = f"{layer}.weight"
        if name in header.tensors:
            yield name, json.dumps(note).encode()


def _noted(notes: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        layers = guarded_files.parsed(notes[NOTES].encode("utf-8", "replace"))["layers"]
    except (KeyError, ValueError, TypeError):
        return {}
    return layers if isinstance(layers, dict) else {}


def _format(note: bytes) -> str:
    try:
        found = str(json.loads(note).get("format", ""))[:60]
    except (ValueError, AttributeError):
        found = ""
    return found or "something unreadable"


def _bytes(tensor: Tensor) -> int:
    return max(0, tensor.end_exclusive - tensor.start)
