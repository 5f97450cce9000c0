"""Control (VACE) in a file of its own, and the text to video transformers that it makes ones with control.

A VACE is a text to video transformer with blocks beside it that see the control. People have the two apart: Kijai's
`Wan2_1-VACE_module_14B_bf16.safetensors` (https://huggingface.co/Kijai/WanVideo_comfy) has the blocks alone, with the
names that they have in the whole model (vace_patch_embedding.weight, vace_blocks.0.before_proj.weight and so on), and
is loaded together with any text to video transformer of its size. Of Wan 2.2's Fun VACE there is one for each expert
(`Wan2_2_Fun_VACE_module_A14B_HIGH_bf16.safetensors`, `..._LOW_...`).

A module belongs to the version that it was trained with: that of Wan 2.1 is not put beside an expert of Wan 2.2, nor
one of Wan 2.2 beside a Wan 2.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..catalogue.architecture import Architecture
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage import guarded_files
from ..storage.guarded_files import UnusableFile
from . import configs, integrity, tensor_names
from .recognize import Candidate, FileComponent, TensorSlice
from .survey import Survey
from .weights_head import read_head

MODULE_OF = {"transformer": "control", "transformer_2": "control_2"}
"""The name, among a composed model's components, of the control that a transformer's own file lacks."""
MODULE_FILES = {
    (12, ""): "Wan2_1-VACE_module_1_3B_bf16.safetensors",
    (40, ""): "Wan2_1-VACE_module_14B_bf16.safetensors",
    (40, "high"): "Wan2_2_Fun_VACE_module_A14B_HIGH_bf16.safetensors",
    (40, "low"): "Wan2_2_Fun_VACE_module_A14B_LOW_bf16.safetensors",
}
"""The usual file of the control, by the heads of its transformer and the expert; Kijai's."""
TRUNK_FILES = {
    (12, ""): "wan2.1_t2v_1.3B_fp16.safetensors",
    (40, ""): "wan2.1_t2v_14B_fp16.safetensors",
    (40, "high"): "wan2.2_t2v_high_noise_14B_fp16.safetensors",
    (40, "low"): "wan2.2_t2v_low_noise_14B_fp16.safetensors",
}
"""The usual file of the text to video transformer that goes with it; Comfy-Org's."""


def goes_with(module: Mapping[str, Any], trunk: Mapping[str, Any]) -> bool:
    """Whether the control of configuration `module` is of the size of a transformer of configuration `trunk`."""
    layers, blocks = trunk.get("num_layers"), module.get("vace_blocks")
    if not isinstance(layers, int) or not isinstance(blocks, int) or blocks < 1 or layers % blocks:
        return False
    return all(module.get(name) == trunk.get(name) for name in ("num_attention_heads", "attention_head_dim", "ffn_dim"))


def joined_config(module: Mapping[str, Any], trunk: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the two together."""
    return {**trunk, **configs.with_control(trunk["num_layers"], module["vace_blocks"], module["vace_in_channels"])}


def join(module: FileComponent, trunk: FileComponent) -> FileComponent:
    """The transformer with control that the two are: the names of both, each in its own file."""
    control = {
        name: dataclasses.replace(piece, file=piece.file or module.file) for name, piece in module.slices.items()
    }
    return dataclasses.replace(
        trunk,
        config=joined_config(module.config, trunk.config),
        slices={**trunk.slices, **control},
        architecture=Architecture.CONTROL,
    )


def folder_component(folder: Path, component: str) -> FileComponent:
    """The transformer in a folder as diffusers saves it, as if it were in one file. Raises UnusableFile, OSError.

    What a folder has beside (FastWan's gates for sparse attention) is left out, as it is when the folder is loaded.
    """
    config = {"in_channels": 16, "out_channels": 16, **guarded_files.read_json(folder / "config.json")}
    expected = tensor_names.expected_transformer_names(config)
    slices = {
        name: TensorSlice(name, file=file)
        for file in integrity.weight_files(folder, component)
        for name in read_head(file).tensors
        if name in expected
    }
    missing = sorted(expected - set(slices))
    if missing:
        raise UnusableFile(
            Sentence("{count} of its tensors are missing, the first is {name}", count=len(missing), name=missing[0])
        )
    first = next(iter(slices.values()))
    number_format = "fp32" if read_head(first.file or folder).tensors[first.source].dtype == "F32" else "bf16"
    settings = {name: value for name, value in config.items() if not name.startswith("_") or name == "_class_name"}
    return FileComponent(first.file or folder, component, number_format, settings, slices, Architecture.TEXT)


def joined(survey: Survey) -> list[Candidate]:
    """Every transformer with control that a text to video transformer and a module of its size and version make."""
    modules = list(survey.of("control"))
    return [
        dataclasses.replace(
            trunk,
            config=joined_config(module.config, trunk.config),
            architecture=Architecture.CONTROL,
            control=module,
        )
        for trunk in (survey.of("transformer") if modules else ())
        for module in modules
        if _is_trunk_of(module, trunk)
    ]


def _is_trunk_of(module: Candidate, trunk: Candidate) -> bool:
    is_text = trunk.architecture is Architecture.TEXT and not trunk.one_of_many
    return is_text and trunk.expert == module.expert and goes_with(module.config, trunk.config)


def lacking(expert: str, heads: int, survey: Survey) -> Sentence:
    """What is missing for that expert ("" for a model of one transformer) to have control, and where to put it."""
    key = heads, expert
    has_module = any(_key(module) == key for module in survey.of("control"))
    if has_module:
        return Sentence(
            "the text to video transformer that goes with it; put {file} into 'diffusion_models'",
            file=TRUNK_FILES.get(key, Sentence("it")),
        )
    return Sentence(
        "the control (VACE) that goes with it; put {file} into 'diffusion_models'",
        file=MODULE_FILES.get(key, Sentence("it")),
    )


def module_for(expert_count: int, layers: int, heads: int, survey: Survey) -> Candidate | None:
    """A module of a model of that shape, whether or not it has a transformer to go with; None if none is here."""
    for module in survey.of("control"):
        is_size = module.config["num_attention_heads"] == heads and layers % module.config["vace_blocks"] == 0
        if is_size and bool(module.expert) == (expert_count == 2):
            return module
    return None


def why_unused(module: Candidate, survey: Survey) -> Sentence:
    """Why no transformer goes with a module, as a clause with what to fetch; empty where one does."""
    trunks = list(survey.of("transformer"))
    if any(_is_trunk_of(module, trunk) for trunk in trunks):
        return NO_SENTENCE
    file = TRUNK_FILES.get(_key(module))
    if file is None:
        return Sentence(
            "it is control (VACE) for a transformer of {heads} heads, which no text to video model has that this "
            "version knows; get another",
            heads=module.config["num_attention_heads"],
        )
    others = [trunk for trunk in trunks if trunk.architecture is Architecture.TEXT]
    if others:
        return Sentence(
            "it is the control (VACE) alone, and {other} is of another size or version than it goes with; put {file} "
            "into 'diffusion_models'",
            other=others[0].path.name,
            file=file,
        )
    return Sentence(
        "it is the control (VACE) alone, and this machine lacks the text to video transformer that it goes with; put "
        "{file} into 'diffusion_models'",
        file=file,
    )


def _key(module: Candidate) -> tuple[int, str]:
    return module.config["num_attention_heads"], module.expert


def names(candidates: Iterable[Candidate]) -> list[str]:
    """The files of each candidate, those of a joined one with a plus between."""
    found = [" + ".join(part.path.name for part in (one, one.control) if part) for one in candidates]
    return list(dict.fromkeys(found))
