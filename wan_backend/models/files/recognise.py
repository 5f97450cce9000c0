"""Which part of a Wan model a file is, told by the names and shapes of its tensors. Standard library only; no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .. import looking
from ..layout import Layout
from . import configs, encoder_names, transformer_names, vae_names
from .headers import Header, Tensor, read

PREFIXES = {
    "transformer": ("", "model.diffusion_model.", "diffusion_model.", "model."),
    "text_encoder": ("", "text_encoders.umt5xxl.transformer.", "text_encoder.", "model."),
    "vae": ("", "vae.", "first_stage_model.", "model."),
    "image_encoder": ("vision_model.", "", "visual.", "clip_vision.vision_model.", "model.visual."),
}
"""What may stand before every name of a part."""
ANCHORS = {
    "transformer": ("blocks.0.self_attn.q.weight", "blocks.0.attn1.to_q.weight", "vace_blocks.0.self_attn.q.weight"),
    "text_encoder": (
        "encoder.block.0.layer.0.SelfAttention.q.weight", "blocks.0.attn.q.weight", "enc.blk.0.attn_q.weight",
    ),
    "vae": ("decoder.middle.0.residual.0.gamma", "decoder.mid_block.resnets.0.norm1.gamma"),
    "image_encoder": ("embeddings.class_embedding", "transformer.0.attn.to_qkv.weight"),
}  # fmt: skip
"""A part is in a file that has one of these."""
SCALES = (".scale_weight", ".weight_scale")
MARKS = (*SCALES, ".scale_input", ".input_scale", ".comfy_quant", ".weight_scale_2")
MARKS_ALONE = ("scaled_fp8", "spiece_model", "tekken_model")
"""Names that are no weights: how weights are scaled, and a tokenizer."""
TABLES = ("shared.weight", "token_embedding.weight", "pos_embedding.embedding.weight", "relative_attention_bias.weight")
FORMS = {"F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8", "F8_E5M2": "fp8", "F64": "fp64"}
UNREAD_FORMS = {"U8": "nvfp4 or int8", "I8": "int8", "I32": "a packed form", "U32": "a packed form"}
UMT5_WORDS = 256384
"""Of UMT5's vocabulary, which tells it from other T5."""


class NotOurs(looking.Unlookable):
    """The file holds no part of a Wan model."""


class Unusable(looking.Unlookable):
    """It holds a part, but one that can't be used; the message is a clause, to follow "because"."""


@dataclass(frozen=True)
class Piece:
    """Where a tensor of the model is in the file: the file's tensor, or the `index`-th of its `of` equal rows."""

    source: str
    index: int = 0
    of: int = 1


@dataclass(frozen=True)
class PartFile:
    """A part of a Wan model, in one file."""

    file: Path
    part: str
    form: str
    """bf16, fp8 scaled, Q4_K: what most of its numbers are."""
    prefix: str
    config: Mapping[str, Any]
    pieces: Mapping[str, Piece]
    """By the names of diffusers or transformers."""
    layout: Layout | None = None
    """Of a transformer."""
    expert: str = ""
    """Of a Wan 2.2 A14B, "high" or "low": told by a note in the file or by its name, for its tensors don't tell."""

    @property
    def count(self) -> int:
        """How many numbers its weights are."""
        tensors = read(self.file).tensors
        return sum(tensors[piece.source].count // piece.of for piece in self.pieces.values())

    @property
    def words(self) -> str:
        """What it is, for a person."""
        if self.layout is None:
            return f"{SPOKEN[self.part]}, {self.form}"
        kind = f"transformer for {self.layout.words}, {self.config['num_layers']} layers"
        half = f", by its name the {self.expert} noise half" if self.expert else ""
        return f"{kind}{half}, {self.form}"


SPOKEN = {"text_encoder": "text encoder (UMT5)", "vae": "autoencoder", "image_encoder": "image encoder (CLIP)"}


def recognise(header: Header) -> list[PartFile]:
    """The parts that a file holds; mostly one, several in a checkpoint of all. Raises NotOurs, Unusable."""
    names = [name for name in header.tensors if not _is_mark(name)]
    found: list[PartFile] = []
    for part, prefixes in PREFIXES.items():
        prefix = next((p for p in prefixes if any(p + anchor in header.tensors for anchor in ANCHORS[part])), None)
        if prefix is not None:
            under = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
            found += _part(header, part, prefix, under)
    if not found:
        raise NotOurs
    return found


def _part(header: Header, part: str, prefix: str, under: Mapping[str, str]) -> Iterator[PartFile]:
    """`under`: names without the prefix -> the file's own."""
    if part == "text_encoder" and not _is_umt5(under, header):
        return
    if part == "transformer" and not any(name.startswith("blocks.") for name in under):
        raise Unusable("it holds the control blocks of a VACE model alone; get the whole model in one file")
    pieces, unknown = _pieces(part, under)
    shapes = {name: _piece_shape(header.tensors[piece.source], piece) for name, piece in pieces.items()}
    try:
        config = CONFIGS[part](shapes)
        layout = configs.layout_of(config) if part == "transformer" else None
    except configs.Unfit as why:
        if part == "image_encoder":
            return
        raise Unusable(str(why)) from None
    _check_whole(part, config, set(pieces), unknown)
    if part == "vae" and "qwen" in header.file.name.lower():
        raise Unusable("by its name it is Qwen-Image's autoencoder, whose tensors are named alike")
    form = _form(header, [piece.source for piece in pieces.values()])
    expert = expert_of(header.file, header.notes) if part == "transformer" else ""
    yield PartFile(header.file, part, form, prefix, config, pieces, layout, expert)


def _is_umt5(under: Mapping[str, str], header: Header) -> bool:
    for name in ("shared.weight", "token_embedding.weight", "token_embd.weight"):
        if name in under and header.tensors[under[name]].shape[:1] == (UMT5_WORDS,):
            return True
    second = ("encoder.block.1.layer.0.SelfAttention.relative_attention_bias", "blocks.1.pos_embedding.embedding")
    return any(f"{name}.weight" in under for name in (*second, "enc.blk.1.attn_rel_b"))


def _pieces(part: str, under: Mapping[str, str]) -> tuple[dict[str, Piece], list[str]]:
    """Our name -> where it is, and the names that no such part has."""
    targets = _targets(part, under)
    pieces: dict[str, Piece] = {}
    unknown = []
    for name, source in under.items():
        ours = targets(name)
        if not ours:
            unknown.append(source)
        for index, target in enumerate(ours):
            pieces[target] = Piece(source, index, len(ours))
    if part == "text_encoder":
        embedded = pieces.pop("encoder.embed_tokens.weight", None)
        if embedded is not None:
            pieces.setdefault("shared.weight", embedded)
    return pieces, [name for name in unknown if not name.endswith(encoder_names.IMAGE_PASSED_OVER)]


def _targets(part: str, under: Mapping[str, str]) -> Callable[[str], tuple[str, ...]]:
    """What gives our names of a published name; a file that has our names already keeps them."""
    if part == "image_encoder":
        if "embeddings.class_embedding" in under:
            return lambda name: () if name.endswith(encoder_names.IMAGE_PASSED_OVER) else (name,)
        return lambda name: encoder_names.image(name) or ()
    if any(anchor in under for anchor in OUR_ANCHORS):
        return lambda name: (name,)
    one: Callable[[str], str | None] = encoder_names.text
    if part == "transformer":
        one = transformer_names.to_diffusers
    if part == "vae":
        one = vae_names.namer(under)
    return lambda name: () if (ours := one(name)) is None else (ours,)


OUR_ANCHORS = (
    "blocks.0.attn1.to_q.weight",
    "encoder.block.0.layer.0.SelfAttention.q.weight",
    "decoder.mid_block.resnets.0.norm1.gamma",
)
CONFIGS: dict[str, Callable[[configs.Shapes], dict[str, Any]]] = {
    "transformer": configs.transformer,
    "text_encoder": configs.text_encoder,
    "vae": configs.vae,
    "image_encoder": configs.image_encoder,
}


def _check_whole(part: str, config: Mapping[str, Any], here: set[str], unknown: list[str]) -> None:
    """Raise Unusable where tensors are missing, or are there that the part has no place for."""
    expected = here
    if part == "transformer":
        expected = transformer_names.expected(config)
    elif part == "text_encoder":
        expected = encoder_names.text_expected(config["num_layers"])
    elif part == "image_encoder":
        expected = encoder_names.image_expected(config["num_hidden_layers"])
    missing, surplus = sorted(expected - here), sorted([*(here - expected), *unknown])
    if missing:
        raise Unusable(f"{_number(missing)} missing, {_first(missing)}")
    if surplus:
        raise Unusable(f"{_number(surplus)} of another kind of model, {_first(surplus)}")


def _number(names: list[str]) -> str:
    return "one of its tensors is" if len(names) == 1 else f"{len(names)} of its tensors are"


def _first(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"the first is {names[0]}"


def _piece_shape(tensor: Tensor, piece: Piece) -> tuple[int, ...]:
    return (tensor.shape[0] // piece.of, *tensor.shape[1:]) if piece.of > 1 else tensor.shape


def _form(header: Header, sources: list[str]) -> str:
    """What most of the numbers are; raises Unusable where some can't be read."""
    counts: dict[str, int] = {}
    for name in set(sources):
        tensor = header.tensors[name]
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.count
    for dtype in counts:
        if header.is_gguf and dtype.startswith("type "):
            raise Unusable(f"its numbers are of a form ({dtype}) that this version can't read")
        if not header.is_gguf and dtype not in FORMS:
            kind = UNREAD_FORMS.get(dtype, dtype)
            raise Unusable(f"its numbers are {kind}, which this version can't read; get it in bf16, fp8 scaled or GGUF")
    most = max(counts, key=lambda dtype: counts[dtype])
    if header.is_gguf:
        return most
    return _scaled(header, sources) or FORMS[most]


def _scaled(header: Header, sources: list[str]) -> str:
    """ "fp8 scaled" for such a file; raises Unusable where it says that it is, and a scale is missing."""
    scaled = [name for name in sources if scale_of(header, name)]
    if not scaled and "scaled_fp8" not in " ".join(header.tensors):
        return ""
    bare = sorted(name for name in sources if _wants_scale(header, name) and not scale_of(header, name))
    if bare:
        raise Unusable(f"it is fp8 scaled, but {len(bare)} of its weights have no scale, the first is {bare[0]}")
    return "fp8 scaled"


def _wants_scale(header: Header, name: str) -> bool:
    """True for the matrix of a layer in fp8; vectors and tables of embeddings may be in plain fp8 beside."""
    tensor = header.tensors[name]
    layer = name.endswith(".weight") and not name.endswith(TABLES)
    return layer and len(tensor.shape) == 2 and tensor.dtype.startswith("F8_")


def scale_of(header: Header, name: str) -> str | None:
    """The name of the tensor that scales the weight `name`, or None."""
    stem = name.removesuffix(".weight")
    candidates = (f"{stem}{suffix}" for suffix in SCALES)
    return next((scale for scale in candidates if scale in header.tensors), None)


def _is_mark(name: str) -> bool:
    return name.endswith(MARKS) or name.endswith(MARKS_ALONE)


_EXPERT = re.compile(r"(?:^|[^a-z])(high|low)(?:[^a-z]?noise)?(?:[^a-z]|$)")


TITLES = ("general.name", "general.basename", "modelspec.title", "title", "name")
"""Notes in which a maker may have named the file."""


def expert_of(file: Path, notes: Mapping[str, str] = MappingProxyType({})) -> str:
    """Which half it is ("high", "low") where a note in the file, else its name, else that of its folder, says so."""
    for name in (*(notes[title] for title in TITLES if title in notes), file.stem, file.parent.name):
        found = _EXPERT.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
        if found:
            return found[1]
    return ""
