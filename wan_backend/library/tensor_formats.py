"""How a file stores a model's tensors: in which number format, with which scales, in which shape.

Asked when a file is recognized and again when it is loaded, so that both say the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import accumulate
from operator import mul
from typing import Any

from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage import guarded_files
from ..storage.guarded_files import UnusableFile
from .weights_head import StoredTensor, WeightsHead

SCALE_SUFFIXES = (".scale_weight", ".weight_scale", ".weight_scale_inv")
"""After a layer's name: what its weight is multiplied by. The last is DeepSeek's and transformers' name of it."""
QUANTO_DATA, QUANTO_SCALE = "._data", "._scale"
"""After a weight's name, in files that optimum-quanto packed."""
FORMAT_NOTE = ".comfy_quant"
FORMAT_NOTES = "_quantization_metadata"
"""ComfyUI's files note a weight's format beside the weight, newer ones for all weights in the head."""
IN_8_BIT = {"F8_E4M3", "F8_E5M2", "I8"}
_READABLE_NOTES = ("float8_e4m3fn", "float8_e5m2")
"""The readable ones of the formats that ComfyUI notes; others are packed, transposed, or scaled in another order."""
_MAX_NOTE_BYTES = 4096
_REAL = {"F64", "F32", "F16", "BF16"}
_NAMES = {"F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8", "F8_E5M2": "fp8", "F64": "fp64"}
_UNREADABLE = {
    "U8": Sentence("nvfp4 or int4"),
    "I8": Sentence("int8 without scales"),
    "I32": Sentence("a packed form"),
    "U32": Sentence("a packed form"),
}
_GGUF_INTEGERS = ("I8", "I16", "I32", "I64")
_EMBEDDING_TABLES = (
    "shared.weight", "token_embedding.weight", "pos_embedding.embedding.weight", "relative_attention_bias.weight",
)  # fmt: skip
_PATCH_EMBEDDINGS = ("patch_embedding", "vace_patch_embedding")
_PATCH = (1, 2, 2)
"""Frames, rows and columns of a patch, in all Wan models."""

Shape = tuple[int, ...]


class ScaleGranularity(Enum):
    """What one number of a scale belongs to."""

    TENSOR = "tensor"
    ROW = "row"
    COLUMN = "column"
    BLOCK = "block"


def scale_of(head: WeightsHead, name: str) -> str | None:
    """The name of the tensor that scales the tensor `name`, or None."""
    if name.endswith(QUANTO_DATA):
        scale = name.removesuffix(QUANTO_DATA) + QUANTO_SCALE
        return scale if scale in head.tensors else None
    stem = name.removesuffix(".weight")
    candidates = (f"{stem}{suffix}" for suffix in SCALE_SUFFIXES)
    return next((scale for scale in candidates if scale in head.tensors), None)


def scale_granularity(scale: Shape, weight: Shape) -> ScaleGranularity | None:
    """What a scale of that shape means for a weight of that shape; None if it can't be known."""
    if math.prod(scale) == 1:
        return ScaleGranularity.TENSOR
    rows, columns = weight[0], weight[-1]
    if math.prod(scale) == rows and scale[0] == rows:
        return ScaleGranularity.ROW
    if len(weight) != 2:
        return None
    if scale == (1, columns):
        return ScaleGranularity.COLUMN
    down, across = scale[:2] if len(scale) == 2 or (len(scale) == 3 and scale[2] == 1) else (0, 0)
    return ScaleGranularity.BLOCK if down and across and rows % down == 0 and columns % across == 0 else None


def is_orphaned_scale(head: WeightsHead, name: str) -> bool:
    """True for a scale without a weight: it was meant for something, and nobody knows for what."""
    for suffix in (*SCALE_SUFFIXES, QUANTO_SCALE):
        if name.endswith(suffix):
            stem = name.removesuffix(suffix)
            own = [stem + QUANTO_DATA, f"{stem}.weight", *([] if stem.endswith(".weight") else [stem])]
            return not any(weight in head.tensors for weight in own)
    return False


def number_format(head: WeightsHead, names: Sequence[str]) -> str:
    """What most numbers of these tensors are: "bf16", "fp8 scaled", "Q4_K".

    Raises UnusableFile if some of them can't be read.
    """
    counts: dict[str, int] = {}
    for name in set(names):
        tensor = head.tensors[name]
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.count
    reasons = (_why_unreadable(head, dtype, names) for dtype in counts)
    why = next(filter(None, reasons), NO_SENTENCE) or _why_unscalable(head, names)
    if why:
        raise UnusableFile(why)
    most = max(counts, key=lambda dtype: counts[dtype])
    if head.is_gguf:
        return most
    return _scaled_format(head, names) or _NAMES.get(most, "int8")


def _why_unreadable(head: WeightsHead, dtype: str, names: Iterable[str]) -> Sentence:
    """Why numbers of that format can't be read, as a clause; empty if they can."""
    if head.is_gguf:
        bad = dtype.startswith("type ") or dtype in _GGUF_INTEGERS
        form = Sentence("its numbers are of a form ({dtype}) that this version can't read", dtype=dtype)
        return form if bad else NO_SENTENCE
    scaled = all(scale_of(head, name) for name in names if head.tensors[name].dtype == "I8")
    if dtype in _NAMES or (dtype == "I8" and scaled):
        return NO_SENTENCE
    kind = _UNREADABLE.get(dtype, dtype)
    return Sentence(
        "its numbers are {kind}, which this version can't read; get it in bf16, fp8 scaled or GGUF", kind=kind
    )


def _scaled_format(head: WeightsHead, names: Iterable[str]) -> str:
    """ "fp8 scaled" or "int8"; empty if no weight is scaled. Raises UnusableFile if a scale is missing."""
    scaled = [name for name in names if scale_of(head, name)]
    if not scaled and "scaled_fp8" not in " ".join(head.tensors):
        return ""
    bare = sorted(name for name in names if _wants_scale(head, name) and not scale_of(head, name))
    if bare:
        raise UnusableFile(
            Sentence(
                "it is fp8 scaled, but {count} of its weights have no scale, the first is {name}",
                count=len(bare),
                name=bare[0],
            )
        )
    integers = [name for name in scaled if head.tensors[name].dtype == "I8"]
    return "int8" if len(integers) * 2 > len(scaled) else "fp8 scaled"


def _wants_scale(head: WeightsHead, name: str) -> bool:
    """True for the matrix of a layer in fp8; vectors and tables of embeddings may be in plain fp8 beside."""
    tensor = head.tensors[name]
    layer = name.endswith(".weight") and not name.endswith(_EMBEDDING_TABLES)
    return layer and len(tensor.shape) == 2 and tensor.dtype.startswith("F8_")


def _why_unscalable(head: WeightsHead, names: Iterable[str]) -> Sentence:
    """Why the scaled ones of these tensors can't be multiplied by their scales, as a clause; empty if they can."""
    scaled = {name: scale for name in names if (scale := scale_of(head, name))}
    reasons = (_why_bad_scale(head, name, scale) for name, scale in scaled.items())
    return next(filter(None, reasons), NO_SENTENCE) or _why_bad_note(head, scaled)


def _why_bad_scale(head: WeightsHead, name: str, scale: str) -> Sentence:
    weight, by = head.tensors[name], head.tensors[scale]
    if by.dtype not in _REAL:
        kind = "mxfp8" if by.dtype == "F8_E8M0" else Sentence("scaled by {dtype}", dtype=by.dtype)
        return Sentence(
            "its numbers are {kind}, which this version can't read; get it in bf16, fp8 scaled or GGUF", kind=kind
        )
    if name.removesuffix(".weight") + ".weight_scale_2" in head.tensors:
        return Sentence(
            "its weight {name} has two scales, which this version can't read; get it in bf16, fp8 scaled or GGUF",
            name=name,
        )
    if weight.shape and scale_granularity(by.shape, weight.shape) is None:
        return Sentence(
            "its scale {scale} has the shape {shape}, which this version can't read for a weight of {wanted}",
            scale=scale,
            shape=by.shape,
            wanted=weight.shape,
        )
    return NO_SENTENCE


def _why_bad_note(head: WeightsHead, scaled: Iterable[str]) -> Sentence:
    """Why a weight can't be read whose format ComfyUI noted; empty if all can."""
    for name, note in _format_notes(head, scaled):
        found = _noted_format(note)
        if found not in _READABLE_NOTES:
            return Sentence(
                "its weight {name} is in {found}, which this version can't read; get fp8 scaled, bf16 or GGUF",
                name=name,
                found=found,
            )
    return NO_SENTENCE


def _format_notes(head: WeightsHead, scaled: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Each weight whose format is noted, and the note (JSON). Raises OSError."""
    stems = {name.removesuffix(".weight"): name for name in scaled}
    beside = {
        name: head.tensors[stem + FORMAT_NOTE] for stem, name in stems.items() if stem + FORMAT_NOTE in head.tensors
    }
    if beside:
        with guarded_files.opened(head.file) as stream:
            for name, tensor in beside.items():
                stream.seek(tensor.start)
                note = stream.read(min(_MAX_NOTE_BYTES, _size_bytes(tensor)))
                if note.strip(b"\0"):
                    yield name, note
    for layer, note in _layers_in_metadata(head.metadata).items():
        name = f"{layer}.weight"
        if name in head.tensors:
            yield name, json.dumps(note).encode()


def _layers_in_metadata(metadata: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        layers = guarded_files.parsed(metadata[FORMAT_NOTES].encode("utf-8", "replace"))["layers"]
    except (KeyError, ValueError, TypeError):
        return {}
    return layers if isinstance(layers, dict) else {}


def _noted_format(note: bytes) -> str:
    try:
        found = str(guarded_files.parsed(note).get("format", ""))[:60]
    except (ValueError, AttributeError):
        found = ""
    return found or Sentence("something unreadable")


def _size_bytes(tensor: StoredTensor) -> int:
    return max(0, tensor.end_exclusive - tensor.start)


def is_same_shape(found: Shape, wanted: Shape) -> bool:
    """True if `found` is `wanted` but for sides of one, and for neighboring sides that were merged.

    Some formats can't hold all shapes: GGUF has four sides at most, while the first layer of a transformer has five,
    so converters merge neighboring sides, or leave out those of one. The two sides of a matrix are never taken as
    merged, for a transposed matrix has as many numbers.
    """
    tight, whole = _without_ones(found), _without_ones(wanted)
    if tight == whole:
        return True
    if len(wanted) < 3 or math.prod(tight) != math.prod(whole):
        return False
    return set(_strides(tight)) <= set(_strides(whole))


def restore_patch_shapes(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shapes with those of the patch embeddings as they were before a converter changed them."""
    made = dict(shapes)
    for layer in _PATCH_EMBEDDINGS:
        weight, bias = made.get(f"{layer}.weight"), made.get(f"{layer}.bias")
        if weight is None or bias is None or len(weight) == 5:
            continue
        channels, left = divmod(math.prod(weight), max(1, math.prod(bias)) * math.prod(_PATCH))
        whole = (math.prod(bias), channels, *_PATCH)
        if not left and channels and is_same_shape(weight, whole):
            made[f"{layer}.weight"] = whole
    return made


def _without_ones(shape: Shape) -> Shape:
    return tuple(side for side in shape if side != 1)


def _strides(shape: Shape) -> list[int]:
    """How many numbers there are from each side on."""
    return list(accumulate(reversed(shape), mul))
