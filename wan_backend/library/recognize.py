"""Which part of a Wan model a file is, told by the names and shapes of its tensors. Standard library only; no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..catalogue import transformer_shapes
from ..catalogue.architecture import Architecture
from ..storage import guarded_files
from . import configs, encoder_names, scales, shape_fit, transformer_names, vae_names
from .file_heads import Header, Tensor, read
from .scales import scale_of

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
MARKS = (
    *scales.SCALES, scales.NOTE, scales.QUANTO_SCALE, ".scale_input", ".input_scale", ".output_scale",
    ".weight_scale_2",
)  # fmt: skip
MARKS_ALONE = ("scaled_fp8", "spiece_model", "tekken_model")
"""Names that are no weights: how weights are scaled, and a tokenizer."""
LEFT_BEHIND = re.compile(
    r"model_type\..+|logit_scale|(.+\.)?(position_ids|num_batches_tracked|_extra_state)|(.+\.)?num_updates|model_ema\.decay"
    r"|(global_step|epoch|iteration|step|version|decay|__\w+__)"
)
"""Tensors that programs look for or leave behind, and that nothing is computed with: the kind of model (Kijai's),
CLIP's scale (ComfyUI's, which it saves with every text encoder), counters of a training."""
MOST_LEFT_BEHIND = 1024
"""Of such a tensor's numbers."""
WRAPS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch puts into names where a model was compiled, or trained on several cards, when it was saved."""
PREFIX = re.compile(r"(?:[A-Za-z_]+[A-Za-z0-9_]*\.)+")
PIECE_OF_MANY = re.compile(r"-\d{5}-of-0*(\d+)$")
"""At the end of the name of a file that is one of several."""
TABLES = ("shared.weight", "token_embedding.weight", "pos_embedding.embedding.weight", "relative_attention_bias.weight")
GGUF_WHOLE_NUMBERS = ("I8", "I16", "I32", "I64")
FORMS = {"F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8", "F8_E5M2": "fp8", "F64": "fp64"}
UNREAD_FORMS = {"U8": "nvfp4 or int4", "I8": "int8 without scales", "I32": "a packed form", "U32": "a packed form"}
UMT5_WORDS = 256384
"""Of UMT5's vocabulary, which tells it from other T5."""


class NotOurs(guarded_files.Unlookable):
    """The file holds no part of a Wan model."""


class Unusable(guarded_files.Unlookable):
    """It holds a part, but one that can't be used; the message is a clause, to follow "because"."""


@dataclass(frozen=True)
class TensorSlice:
    """Where a tensor of the model is in the file: the file's tensor, or the `index`-th of its `of` equal rows."""

    source: str
    index: int = 0
    of: int = 1


@dataclass(frozen=True)
class FileComponent:
    """A part of a Wan model, in one file."""

    file: Path
    component: str
    form: str
    """bf16, fp8 scaled, Q4_K: what most of its numbers are."""
    prefix: str
    config: Mapping[str, Any]
    pieces: Mapping[str, TensorSlice]
    """By the names of diffusers or transformers."""
    architecture: Architecture | None = None
    """Of a transformer."""
    expert: str = ""
    """Of a Wan 2.2 A14B, "high" or "low": told by names (`partners`), for its tensors don't tell."""
    titles: tuple[str, ...] = ()
    """What its maker called it, in notes in the file."""

    @property
    def count(self) -> int:
        """How many numbers its weights are."""
        tensors = read(self.file).tensors
        return sum(tensors[piece.source].count // piece.of for piece in self.pieces.values())

    @property
    def words(self) -> str:
        """What it is, for a person."""
        if self.architecture is None:
            return f"{SPOKEN[self.component]}, {self.form}"
        kind = f"transformer for {self.architecture.words}, {self.config['num_layers']} layers"
        half = f", by its name the {self.expert} noise half" if self.expert else ""
        return f"{kind}{half}, {self.form}"


SPOKEN = {"text_encoder": "text encoder (UMT5)", "vae": "autoencoder", "image_encoder": "image encoder (CLIP)"}


def recognize_components(header: Header) -> list[FileComponent]:
    """The parts that a file holds; mostly one, several in a checkpoint of all. Raises NotOurs, Unusable."""
    names = _names(header)
    found: list[FileComponent] = []
    for component in PREFIXES:
        prefix = _prefix(component, names)
        if prefix is not None:
            under = {name.removeprefix(prefix): source for name, source in names.items() if name.startswith(prefix)}
            found += _component(header, component, prefix, under)
    if not found:
        raise NotOurs
    return found


def _names(header: Header) -> dict[str, str]:
    """What the file's weights are called, without what packers and wrappers put into names -> the file's own names."""
    found: dict[str, str] = {}
    for source in header.tensors:
        if not _is_mark(source) or _is_orphan(header, source):
            name = WRAPS.sub("", source).removesuffix(scales.QUANTO_DATA)
            found[source if name in found else name] = source
    return found


def _prefix(component: str, names: Mapping[str, str]) -> str | None:
    """What stands before every name of the part; None where the file has no such part. Raises Unusable."""
    known = next((p for p in PREFIXES[component] if any(p + anchor in names for anchor in ANCHORS[component])), None)
    if known is not None:
        return known
    ends = tuple("." + anchor for anchor in ANCHORS[component])
    found = {name[: -len(end) + 1] for name in names for end in ends if name.endswith(end)}
    found = {prefix for prefix in found if PREFIX.fullmatch(prefix)}
    if len(found) > 1 and component == "image_encoder":  # others' models may have such, too
        return None
    if len(found) > 1:
        words = " and ".join(sorted(found)[:2])
        raise Unusable(f"it holds several models of the kind {component} ({words}), and nothing says which is meant")
    return next(iter(found), None)


def _component(header: Header, component: str, prefix: str, under: Mapping[str, str]) -> Iterator[FileComponent]:
    """`under`: names without the prefix -> the file's own."""
    if component == "text_encoder" and not _is_umt5(under, header):
        return
    if component == "transformer" and not any(name.startswith("blocks.") for name in under):
        raise Unusable("it holds the control blocks of a VACE model alone; get the whole model in one file")
    pieces, unknown = _pieces(component, under, header)
    shapes = {name: _piece_shape(header.tensors[piece.source], piece) for name, piece in pieces.items()}
    try:
        if component == "transformer":
            shapes = shape_fit.restored(shapes)
        config = CONFIGS[component](shapes)
        architecture = configs.architecture_of(config) if component == "transformer" else None
    except configs.Unfit as why:
        if component == "image_encoder":
            return
        raise Unusable(_of_many(header) or str(why)) from None
    _check_whole(component, config, set(pieces), unknown, header)
    if component == "vae" and "qwen" in header.file.name.lower():
        raise Unusable("by its name it is Qwen-Image's autoencoder, whose tensors are named alike")
    if component == "vae" and ALPHA_ALONE.search(header.file.name.lower()):
        raise Unusable("by its name it is Wan-Alpha's autoencoder for transparency alone, which makes no pictures")
    form = _form(header, [piece.source for piece in pieces.values()])
    if component == "transformer":
        _check_shapes(config, shapes)
    marks = (source.rpartition(KIND_MARK)[2] for source in header.tensors if KIND_MARK in source)
    titles = (*(header.notes[title] for title in TITLES if title in header.notes), *marks)
    yield FileComponent(header.file, component, form, prefix, config, pieces, architecture, "", titles)


def _check_shapes(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise Unusable where a tensor has another shape than the transformer has a place for."""
    for name, wanted in transformer_shapes.shapes(config).items():
        if not shape_fit.fits(shapes[name], wanted):
            raise Unusable(f"its tensor {name} has the shape {shapes[name]}, where {wanted} belongs")


def _of_many(header: Header) -> str:
    """That it is a piece of a model, where its name says so."""
    many = PIECE_OF_MANY.search(header.file.stem)
    if not many or int(many[1]) < 2:
        return ""
    pieces = f"one of the {int(many[1])} pieces of a model"
    return f"it is {pieces}; get it in one file, or as diffusers saves it ('-Diffusers')"


def _is_umt5(under: Mapping[str, str], header: Header) -> bool:
    for name in ("shared.weight", "token_embedding.weight", "token_embd.weight"):
        if name in under and header.tensors[under[name]].shape[:1] == (UMT5_WORDS,):
            return True
    second = ("encoder.block.1.layer.0.SelfAttention.relative_attention_bias", "blocks.1.pos_embedding.embedding")
    return any(f"{name}.weight" in under for name in (*second, "enc.blk.1.attn_rel_b"))


def _pieces(component: str, under: Mapping[str, str], header: Header) -> tuple[dict[str, TensorSlice], list[str]]:
    """Our name -> where it is, and the names that no such part has."""
    under = {name: source for name, source in under.items() if not _is_left_behind(name, header.tensors[source])}
    targets = _targets(component, under)
    pieces: dict[str, TensorSlice] = {}
    unknown = []
    for name, source in under.items():
        ours = targets(name)
        if not ours:
            unknown.append(source)
        for index, target in enumerate(ours):
            pieces[target] = TensorSlice(source, index, len(ours))
    if component == "text_encoder":
        embedded = pieces.pop("encoder.embed_tokens.weight", None)
        if embedded is not None:
            pieces.setdefault("shared.weight", embedded)
    return pieces, [name for name in unknown if not name.endswith(encoder_names.IMAGE_PASSED_OVER)]


def _targets(component: str, under: Mapping[str, str]) -> Callable[[str], tuple[str, ...]]:
    """What gives our names of a published name; a file that has our names already keeps them."""
    if component == "image_encoder":
        if "embeddings.class_embedding" in under:
            return lambda name: () if name.endswith(encoder_names.IMAGE_PASSED_OVER) else (name,)
        return lambda name: encoder_names.image(name) or ()
    if any(anchor in under for anchor in OUR_ANCHORS):
        return lambda name: (name,)
    one: Callable[[str], str | None] = encoder_names.text
    if component == "transformer":
        one = transformer_names.to_diffusers
    if component == "vae":
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


def _is_left_behind(name: str, tensor: Tensor) -> bool:
    """True for what nothing is computed with."""
    return tensor.count <= MOST_LEFT_BEHIND and LEFT_BEHIND.fullmatch(name) is not None


def _check_whole(component: str, config: Mapping[str, Any], here: set[str], unknown: list[str], header: Header) -> None:
    """Raise Unusable where tensors are missing, or are there that the part has no place for."""
    expected = here
    if component == "transformer":
        expected = transformer_names.expected(config)
    elif component == "text_encoder":
        expected = encoder_names.text_expected(config["num_layers"])
    elif component == "image_encoder":
        expected = encoder_names.image_expected(config["num_hidden_layers"])
    missing, surplus = sorted(expected - here), sorted([*(here - expected), *unknown])
    if missing:
        raise Unusable(_of_many(header) or f"{_number(missing)} missing, {_first(missing)}")
    if surplus:
        raise Unusable(f"{_number(surplus)} of another kind of model, {_first(surplus)}")


def _number(names: list[str]) -> str:
    return "one of its tensors is" if len(names) == 1 else f"{len(names)} of its tensors are"


def _first(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"the first is {names[0]}"


def _piece_shape(tensor: Tensor, piece: TensorSlice) -> tuple[int, ...]:
    return (tensor.shape[0] // piece.of, *tensor.shape[1:]) if piece.of > 1 else tensor.shape


def _form(header: Header, sources: list[str]) -> str:
    """What most of the numbers are; raises Unusable where some can't be read."""
    counts: dict[str, int] = {}
    for name in set(sources):
        tensor = header.tensors[name]
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.count
    why = next((why for dtype in counts if (why := _unread(header, dtype, sources))), "") or scales.why_not(
        header, sources
    )
    if why:
        raise Unusable(why)
    most = max(counts, key=lambda dtype: counts[dtype])
    if header.is_gguf:
        return most
    return _scaled(header, sources) or FORMS.get(most, "int8")


def _unread(header: Header, dtype: str, sources: list[str]) -> str:
    """Why numbers of that format can't be read, as a clause; empty where they can."""
    if header.is_gguf:
        bad = dtype.startswith("type ") or dtype in GGUF_WHOLE_NUMBERS
        return f"its numbers are of a form ({dtype}) that this version can't read" if bad else ""
    scaled = all(scale_of(header, name) for name in sources if header.tensors[name].dtype == "I8")
    if dtype in FORMS or (dtype == "I8" and scaled):
        return ""
    kind = UNREAD_FORMS.get(dtype, dtype)
    return f"its numbers are {kind}, which this version can't read; get it in bf16, fp8 scaled or GGUF"


def _scaled(header: Header, sources: list[str]) -> str:
    """ "fp8 scaled" or "int8" for such a file; raises Unusable where it says that it is, and a scale is missing."""
    scaled = [name for name in sources if scale_of(header, name)]
    if not scaled and "scaled_fp8" not in " ".join(header.tensors):
        return ""
    bare = sorted(name for name in sources if _wants_scale(header, name) and not scale_of(header, name))
    if bare:
        raise Unusable(f"it is fp8 scaled, but {len(bare)} of its weights have no scale, the first is {bare[0]}")
    whole = [name for name in scaled if header.tensors[name].dtype == "I8"]
    return "int8" if len(whole) * 2 > len(scaled) else "fp8 scaled"


def _wants_scale(header: Header, name: str) -> bool:
    """True for the matrix of a layer in fp8; vectors and tables of embeddings may be in plain fp8 beside."""
    tensor = header.tensors[name]
    layer = name.endswith(".weight") and not name.endswith(TABLES)
    return layer and len(tensor.shape) == 2 and tensor.dtype.startswith("F8_")


def _is_orphan(header: Header, name: str) -> bool:
    """True for a scale without what it scales: it was meant for something, and nobody knows what."""
    for suffix in (*scales.SCALES, scales.QUANTO_SCALE):
        if name.endswith(suffix):
            stem = name.removesuffix(suffix)
            own = [stem + scales.QUANTO_DATA, f"{stem}.weight", *([] if stem.endswith(".weight") else [stem])]
            return not any(weight in header.tensors for weight in own)
    return False


def _is_mark(name: str) -> bool:
    return name.endswith(MARKS) or name.endswith(MARKS_ALONE)


TITLES = (
    "general.name", "general.basename", "modelspec.title", "title", "name", "general.base_model.0.name",
    "general.base_model.0.repo_url", "general.source.url", "modelspec.architecture", "ss_base_model_version",
)  # fmt: skip
"""Notes in which a maker may have named the file, or what it was made of."""
ALPHA_ALONE = re.compile(r"alpha[^a-z]?channel")
KIND_MARK = "model_type."
"""Before the model's name, which Kijai's files have as an empty tensor's."""
