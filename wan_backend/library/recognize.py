"""Recognizes which components of a Wan model a file holds, by the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..catalogue import transformer_shapes
from ..catalogue.architecture import SOURCE_MARK, Architecture
from ..protocol.sentences import NO_SENTENCE, Sentence, as_sentence
from ..storage.guarded_files import UnusableFile
from . import configs, tensor_formats, tensor_names
from .weights_head import SUFFIXES, StoredTensor, WeightsHead, read_head

PREFIXES = {
    "transformer": ("", "model.diffusion_model.", "diffusion_model.", "model."),
    "text_encoder": ("", "text_encoders.umt5xxl.transformer.", "text_encoder.", "model."),
    "vae": ("", "vae.", "first_stage_model.", "model."),
    "image_encoder": ("vision_model.", "", "visual.", "clip_vision.vision_model.", "model.visual."),
}
"""What may stand before every name of a component."""
ANCHORS = {
    "transformer": (
        "blocks.0.self_attn.q.weight", "blocks.0.attn1.to_q.weight",
        "vace_blocks.0.self_attn.q.weight", "vace_blocks.0.attn1.to_q.weight",
    ),
    "text_encoder": (
        "encoder.block.0.layer.0.SelfAttention.q.weight", "blocks.0.attn.q.weight", "enc.blk.0.attn_q.weight",
    ),
    "vae": ("decoder.middle.0.residual.0.gamma", "decoder.mid_block.resnets.0.norm1.gamma"),
    "image_encoder": ("embeddings.class_embedding", "transformer.0.attn.to_qkv.weight"),
}  # fmt: skip
"""A component is in a file that has one of these tensors."""
SCALE_MARKS = (
    *tensor_formats.SCALE_SUFFIXES, tensor_formats.FORMAT_NOTE, tensor_formats.QUANTO_SCALE, ".scale_input",
    ".input_scale", ".output_scale", ".weight_scale_2",
)  # fmt: skip
OTHER_MARKS = ("scaled_fp8", "spiece_model", "tekken_model")
"""The ends of names of tensors that are no weights: scales of weights, a note that there are such, a tokenizer."""
LEFT_BEHIND = re.compile(
    r"model_type\..+|logit_scale|(.+\.)?(position_ids|num_batches_tracked|_extra_state)|(.+\.)?num_updates|model_ema\.decay"
    r"|(global_step|epoch|iteration|step|version|decay|__\w+__)"
)
"""Tensors that programs look for or leave behind, and that nothing is computed with: the kind of model (Kijai's),
CLIP's scale (which ComfyUI saves with every text encoder), counters of a training."""
MAX_LEFT_BEHIND = 1024
"""Such a tensor has no more numbers than this."""
ATTENTION = re.compile(r"(?:^|\.)blocks\.\d+\.(?:self_attn|cross_attn|attn1|attn2)\.")
"""A Wan's transformer has such tensors, however they are packed."""
PACKED_OTHERWISE = Sentence(
    "its matrices are packed in a way that this version can't read; get it in bf16, fp8 scaled or GGUF"
)
PACKED = re.compile(
    r"\.(?:quant_state\.\w+|absmax|quant_map|nested_absmax|nested_quant_map|qweight|qzeros|wscales|g_idx)$"
)
"""What bitsandbytes, GPTQ, AWQ and SVDQuant put beside or in the place of a weight."""
WRAPS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Torch puts these into names if a model was compiled, or trained on several cards, when it was saved."""
PREFIX = re.compile(r"(?:[A-Za-z0-9_]+\.)+")
PIECE_OF_MANY = re.compile(r"-\d{5}-of-0*(\d+)$")
"""This ends the name of a file that is one of several."""
OWN_ANCHORS = (
    "blocks.0.attn1.to_q.weight",
    "vace_blocks.0.attn1.to_q.weight",
    "encoder.block.0.layer.0.SelfAttention.q.weight",
    "decoder.mid_block.resnets.0.norm1.gamma",
)
"""A file that has one of these has the names of diffusers and transformers already."""
TITLE_KEYS = (
    "general.name", "general.basename", "modelspec.title", "title", "name", "general.base_model.0.name",
    "general.base_model.0.repo_url", "general.source.url", "modelspec.architecture", "ss_base_model_version",
)  # fmt: skip
"""Metadata in which a maker may have named the file, or what it was made of."""
ALPHA_ALONE = re.compile(r"alpha[^a-z]?channel")
KIND_MARK = "model_type."
"""Kijai's files have an empty tensor whose name is this and the model's name."""
BERNINI = re.compile(r"bernini")
BERNINI_R = re.compile(r"bernini[^a-z0-9]*r(?:enderer)?(?![a-z])")
"""In the names of Bernini-R's files, as its makers, ComfyUI's and others' have them."""
LARGE_HEADS = 40
"""The heads of each expert of an A14B, in which there is a whole Bernini, too."""
UMT5_WORDS = 256384
"""The size of UMT5's vocabulary tells it from other T5."""


@dataclass(frozen=True)
class TensorSlice:
    """Where a tensor of the model is in the file: the `index`-th of `of` equal runs of rows of `source`."""

    source: str
    index: int = 0
    of: int = 1
    file: Path | None = None
    """The file that has it; None for the component's own."""


@dataclass(frozen=True)
class FileComponent:
    """A component of a Wan model that a file holds."""

    file: Path
    component: str
    number_format: str
    """The number format of most of its weights: "bf16", "fp8 scaled", "Q4_K"."""
    config: Mapping[str, Any]
    """What its config.json would say."""
    slices: Mapping[str, TensorSlice]
    """Where each tensor is, by the names of diffusers or transformers."""
    architecture: Architecture | None = None
    """None for all but transformers, and the control of one."""
    expert: str = ""
    """"high" or "low" for a transformer of a Wan 2.2 A14B; `a14b_experts` tells it, for the tensors don't."""
    titles: tuple[str, ...] = ()
    """What its maker called it, in metadata of the file."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that have its weights: one, or several if it is joined of them (`control_modules`)."""
        return tuple(dict.fromkeys([self.file, *(piece.file for piece in self.slices.values() if piece.file)]))

    def stored(self) -> dict[str, StoredTensor]:
        """The tensor that each of its tensors is, or is a run of rows of. Raises UnusableFile, OSError."""
        heads = {file: read_head(file).tensors for file in self.files}
        return {name: heads[piece.file or self.file][piece.source] for name, piece in self.slices.items()}

    @property
    def count(self) -> int:
        """How many numbers its weights are."""
        return sum(tensor.count // self.slices[name].of for name, tensor in self.stored().items())

    @property
    def words(self) -> Sentence:
        """What it is, for a person."""
        if self.architecture is None:
            return Sentence("{component}, {format}", component=SPOKEN[self.component], format=self.number_format)
        if self.component == "control":
            return Sentence(
                "control (VACE) for a text to video transformer, {count} blocks{expert}, {format}",
                count=self.config["vace_blocks"],
                expert=Sentence(", of the {expert}-noise expert", expert=self.expert) if self.expert else "",
                format=self.number_format,
            )
        return Sentence(
            "transformer for {task}, {layers} layers{expert}, {format}",
            task=self.architecture.words,
            layers=self.config["num_layers"],
            expert=Sentence(", the {expert}-noise expert", expert=self.expert) if self.expert else "",
            format=self.number_format,
        )


@dataclass(frozen=True)
class Candidate:
    """A component in a file or a diffusers folder of its own, of which models can be composed."""

    component: str
    path: Path
    config: Mapping[str, Any]
    number_format: str
    words: str
    architecture: Architecture | None = None
    expert: str = ""
    """"high" or "low" for one of the two transformers of a Wan 2.2 A14B, or why it can't be used (`a14b_experts`)."""
    titles: tuple[str, ...] = ()
    """What its maker called it."""
    size_bytes: int = 0
    """The length of a file; 0 for a folder."""
    one_of_many: bool = False
    """True if the file holds other components beside: such a checkpoint is a whole model."""
    is_answered: bool = False
    """True if a person said which expert it is, or that it is none."""
    control: Candidate | None = None
    """The control in a file of its own that makes a text to video transformer one with control (`control_modules`)."""

    @property
    def length(self) -> int:
        """The length of a file; 0 for a folder."""
        return self.size_bytes if self.path.suffix.lower() in SUFFIXES else 0

    @classmethod
    def of_file(cls, found: FileComponent, size_bytes: int, one_of_many: bool) -> Candidate:
        """The component that a file holds."""
        return cls(
            component=found.component,
            path=found.file,
            config=found.config,
            number_format=found.number_format,
            words=found.words,
            architecture=found.architecture,
            titles=found.titles,
            size_bytes=size_bytes,
            one_of_many=one_of_many,
        )


SPOKEN = {
    "text_encoder": Sentence("text encoder (UMT5)"),
    "vae": Sentence("autoencoder"),
    "image_encoder": Sentence("image encoder (CLIP)"),
}


def recognize_components(head: WeightsHead) -> list[FileComponent]:
    """The components that a file holds: mostly one, several in a checkpoint of a whole model, none in others' files.

    Raises UnusableFile if the file holds a component that can't be used.
    """
    names = _names(head)
    found: list[FileComponent] = []
    for component in PREFIXES:
        prefix = _prefix(component, names)
        if prefix is not None:
            under = {name.removeprefix(prefix): source for name, source in names.items() if name.startswith(prefix)}
            found += _component(head, component, under)
    if not found and any(ATTENTION.search(name) for name in names):
        _check_not_packed(head, names)
    return found


def _check_not_packed(head: WeightsHead, names: Iterable[str]) -> None:
    """Raise UnusableFile if these are a Wan's transformer without its first block, or with all matrices renamed.

    Those of a LoRA have other names: there are differences and factors in the place of weights.
    """
    piece = _as_piece(head)
    if piece:
        raise UnusableFile(piece)
    if any(name.endswith(("patch_embedding.weight", "patch_embedding.bias")) for name in names):
        raise UnusableFile(PACKED_OTHERWISE)


def _names(head: WeightsHead) -> dict[str, str]:
    """The file's own name of each weight, by that name without what packers and wrappers put into it."""
    found: dict[str, str] = {}
    for source in head.tensors:
        if not _is_mark(source) or tensor_formats.is_orphaned_scale(head, source):
            name = WRAPS.sub("", source).removesuffix(tensor_formats.QUANTO_DATA)
            found[source if name in found else name] = source
    return found


def _prefix(component: str, names: Mapping[str, str]) -> str | None:
    """What stands before every name of the component; None if the file has none such. Raises UnusableFile."""
    known = next((p for p in PREFIXES[component] if any(p + anchor in names for anchor in ANCHORS[component])), None)
    if known is not None:
        return known
    ends = tuple("." + anchor for anchor in ANCHORS[component])
    found = {name[: -len(end) + 1] for name in names for end in ends if name.endswith(end)}
    found = {prefix for prefix in found if PREFIX.fullmatch(prefix)}
    if len(found) > 1 and component == "image_encoder":  # others' models may have such, too
        return None
    if len(found) > 1:
        first, second = sorted(found)[:2]
        raise UnusableFile(
            Sentence(
                "it holds several models of the kind {component} ({first} and {second}); use one file for each",
                component=component,
                first=first,
                second=second,
            )
        )
    return next(iter(found), None)


def _component(head: WeightsHead, component: str, under: Mapping[str, str]) -> Iterator[FileComponent]:
    """The component that is meant, or none if it is another model's. Raises UnusableFile.

    `under` has the file's own name by the name without the prefix.
    """
    if component == "text_encoder" and not _is_umt5(under, head):
        return
    if component == "transformer" and not any(name.startswith("blocks.") for name in under):
        component = "control"
    slices, unknown = _slices(component, under, head)
    shapes = {name: _slice_shape(head.tensors[piece.source], piece) for name, piece in slices.items()}
    marks = (source.rpartition(KIND_MARK)[2] for source in head.tensors if KIND_MARK in source)
    titles = (*(head.metadata[title] for title in TITLE_KEYS if title in head.metadata), *marks)
    try:
        if component in ("transformer", "control"):
            shapes = tensor_formats.restore_patch_shapes(shapes)
        config = CONFIGS[component](shapes)
        if component == "transformer" and _sees_sources(config, (head.file.name, head.file.parent.name, *titles)):
            config[SOURCE_MARK] = True
        architecture = _architecture(component, config)
    except UnusableFile as why:
        if component == "image_encoder":
            return
        raise UnusableFile(_as_piece(head) or as_sentence(str(why))) from None
    _check_whole(component, config, set(slices), unknown, head)
    if component == "vae" and "qwen" in head.file.name.lower():
        raise UnusableFile(Sentence("by its name it is Qwen-Image's autoencoder, whose tensors are named alike"))
    if component == "vae" and ALPHA_ALONE.search(head.file.name.lower()):
        raise UnusableFile(
            Sentence("by its name it is Wan-Alpha's autoencoder for transparency alone, which makes no pictures")
        )
    number_format = tensor_formats.number_format(head, [piece.source for piece in slices.values()])
    _check_shapes(component, config, shapes)
    yield FileComponent(head.file, component, number_format, config, slices, architecture, "", titles)


def _sees_sources(config: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether a transformer is Bernini-R's by one of these names: its tensors are those of text to video.

    Raises UnusableFile if it may be the whole Bernini's, which there is in the large size alone.
    """
    texts = [name.lower() for name in names]
    if not any(BERNINI.search(text) for text in texts):
        return False
    if configs.architecture_of(config) is not Architecture.TEXT:
        return False
    if config["num_attention_heads"] == LARGE_HEADS and not any(BERNINI_R.search(text) for text in texts):
        raise UnusableFile(
            Sentence(
                "by its name it may be of the whole Bernini, whose edits a language model plans; if it is Bernini-R, "
                "put 'bernini_r' into its name"
            )
        )
    return True


def _architecture(component: str, config: Mapping[str, Any]) -> Architecture | None:
    """What a transformer of that configuration is conditioned by, and its control; None for others."""
    if component == "control":
        return Architecture.CONTROL
    return configs.architecture_of(config) if component == "transformer" else None


def _check_shapes(component: str, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise UnusableFile if a tensor has another shape than a transformer, or its control, has a place for."""
    expected: transformer_shapes.Shapes = {}
    if component == "transformer":
        expected = transformer_shapes.shapes(config)
    elif component == "control":
        expected = transformer_shapes.control_shapes(config, config["vace_blocks"])
    for name, wanted in expected.items():
        if not tensor_formats.is_same_shape(shapes[name], wanted):
            raise UnusableFile(
                Sentence(
                    "its tensor {name} has the shape {shape}, where {wanted} belongs",
                    name=name,
                    shape=shapes[name],
                    wanted=wanted,
                )
            )


def _as_piece(head: WeightsHead) -> Sentence:
    """Why it can't be used where its name says that it is a piece of a model, as a clause; else empty."""
    many = PIECE_OF_MANY.search(head.file.stem)
    if not many or int(many[1]) < 2:
        return NO_SENTENCE
    return Sentence(
        "it is one of the {count} pieces of a model; get it in one file, or as diffusers saves it ('-Diffusers')",
        count=int(many[1]),
    )


def _is_umt5(under: Mapping[str, str], head: WeightsHead) -> bool:
    for name in ("shared.weight", "token_embedding.weight", "token_embd.weight"):
        if name in under and head.tensors[under[name]].shape[:1] == (UMT5_WORDS,):
            return True
    second = ("encoder.block.1.layer.0.SelfAttention.relative_attention_bias", "blocks.1.pos_embedding.embedding")
    return any(f"{name}.weight" in under for name in (*second, "enc.blk.1.attn_rel_b"))


def _slices(component: str, under: Mapping[str, str], head: WeightsHead) -> tuple[dict[str, TensorSlice], list[str]]:
    """Where each tensor is, by diffusers' or transformers' name, and the tensors that no such component has."""
    under = {name: source for name, source in under.items() if not _is_left_behind(name, head.tensors[source])}
    targets = _targets(component, under)
    slices: dict[str, TensorSlice] = {}
    unknown = []
    for name, source in under.items():
        names = targets(name)
        if not names:
            unknown.append(source)
        for index, target in enumerate(names):
            slices[target] = TensorSlice(source, index, len(names))
    if component == "text_encoder":
        embedded = slices.pop("encoder.embed_tokens.weight", None)
        if embedded is not None:
            slices.setdefault("shared.weight", embedded)
    return slices, [name for name in unknown if not name.endswith(tensor_names.UNUSED_IMAGE_NAMES)]


def _targets(component: str, under: Mapping[str, str]) -> Callable[[str], tuple[str, ...]]:
    """A function that returns diffusers' or transformers' name of a tensor; a file that has them already keeps them."""
    if component == "image_encoder":
        if "embeddings.class_embedding" in under:
            return lambda name: () if name.endswith(tensor_names.UNUSED_IMAGE_NAMES) else (name,)
        return lambda name: tensor_names.image_encoder_names(name) or ()
    if any(anchor in under for anchor in OWN_ANCHORS):
        return lambda name: (name,)
    one: Callable[[str], str | None] = tensor_names.text_encoder_name
    if component in ("transformer", "control"):
        one = tensor_names.transformer_name
    if component == "vae":
        one = tensor_names.vae_namer(under)
    return lambda name: () if (target := one(name)) is None else (target,)


CONFIGS: dict[str, Callable[[configs.FileShapes], dict[str, Any]]] = {
    "transformer": configs.transformer,
    "control": configs.control_module,
    "text_encoder": configs.text_encoder,
    "vae": configs.vae,
    "image_encoder": configs.image_encoder,
}


def _is_left_behind(name: str, tensor: StoredTensor) -> bool:
    """True for what nothing is computed with."""
    return tensor.count <= MAX_LEFT_BEHIND and LEFT_BEHIND.fullmatch(name) is not None


def _check_whole(
    component: str, config: Mapping[str, Any], here: set[str], unknown: list[str], head: WeightsHead
) -> None:
    """Raise UnusableFile if tensors are missing, or the component has no place for some."""
    expected = here
    if component == "transformer":
        expected = tensor_names.expected_transformer_names(config)
    elif component == "control":
        expected = set(tensor_names.expected_control_names(config["vace_blocks"]))
    elif component == "text_encoder":
        expected = tensor_names.expected_text_encoder_names(config["num_layers"])
    elif component == "image_encoder":
        expected = tensor_names.expected_image_encoder_names(config["num_hidden_layers"])
    if any(PACKED.search(name) for name in unknown):
        raise UnusableFile(PACKED_OTHERWISE)
    missing, surplus = sorted(expected - here), sorted([*(here - expected), *unknown])
    if missing:
        raise UnusableFile(
            _as_piece(head) or Sentence("{number} missing, {first}", number=_number(missing), first=_first(missing))
        )
    if surplus:
        raise UnusableFile(
            Sentence("{number} of another kind of model, {first}", number=_number(surplus), first=_first(surplus))
        )


def _number(names: list[str]) -> Sentence:
    return (
        Sentence("one of its tensors is")
        if len(names) == 1
        else Sentence("{count} of its tensors are", count=len(names))
    )


def _first(names: list[str]) -> str:
    return names[0] if len(names) == 1 else Sentence("the first is {name}", name=names[0])


def _slice_shape(tensor: StoredTensor, piece: TensorSlice) -> tuple[int, ...]:
    return (tensor.shape[0] // piece.of, *tensor.shape[1:]) if piece.of > 1 else tensor.shape


def _is_mark(name: str) -> bool:
    return name.endswith(SCALE_MARKS) or name.endswith(OTHER_MARKS)
