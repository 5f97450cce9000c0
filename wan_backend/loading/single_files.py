"""A component of a model out of one file, or of two that are joined, as a module of diffusers or transformers.

Everything is checked by name and shape before the first tensor is read, so that nothing is left without content. The
configuration is ours, from the shapes (library/configs.py); nothing is asked of the hub.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from accelerate import init_empty_weights

from ..catalogue.architecture import CAMERA_CLASS, SOURCE_MARK
from ..library import tensor_formats
from ..library.recognize import FileComponent
from ..protocol.sentences import Sentence
from ..storage.guarded_files import UnusableFile
from . import eight_bit
from .camera_transformer import WanCameraTransformer3DModel
from .component_folder import dtype_of
from .diffusers_internals import GGUFParameter
from .tensors import FileTensors, opened

TIED = {"encoder.embed_tokens.weight": "shared.weight"}
"""Of a UMT5 encoder: two names of one tensor."""
KEPT_FORMS = {
    "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "IQ4_NL", "IQ4_XS",
}  # fmt: skip
"""Blocks of GGUF that diffusers takes apart while it runs."""
KEPT_FP8 = {"fp8", "fp8 scaled", "int8"}
"""The number formats of safetensors in which `eight_bit` can keep a matrix."""


def load(
    component: FileComponent,
    dtype: torch.dtype,
    quantized: bool = False,
    in_8_bit: bool = False,
    product_format: torch.dtype | None = None,
) -> Any:
    """The module with its weights in `dtype` on the CPU, diffusers' own exceptions in float32.

    With `quantized`, the weights of a GGUF or fp8 transformer stay as they lie in the file, and are made numbers to
    compute with as they are needed. With `in_8_bit`, a transformer's weights that don't are rounded to 8 bit. With a
    `product_format`, those of a transformer's blocks are in it: as they lie in the file if they are in it there with
    scales that a product can apply, else rounded. Raises UnusableFile, and what the libraries raise.
    """
    module = _empty(component.config)
    with opened(component) as tensors:
        _check(module, component, tensors)
        if product_format is not None:
            _fill_for_products(module, tensors, dtype, product_format)
        elif not (quantized and stays_quantized(component)):
            _fill(module, tensors, dtype, in_8_bit)
        elif component.number_format in KEPT_FORMS:
            module = _quantized(module, component, tensors, dtype)
        else:
            eight_bit.fill(module, lambda name: tensors.get(name, dtype_of(module, name, dtype)), tensors.fp8)
    left = [name for name, weight in module.named_parameters() if weight.is_meta]
    if left:
        raise UnusableFile(
            Sentence("{count} of its tensors got no content, the first is {name}", count=len(left), name=left[0])
        )
    return module.eval().requires_grad_(False)


def stays_quantized(component: FileComponent) -> bool:
    """True for a component whose weights can stay as they lie in its file."""
    forms = KEPT_FORMS if component.file.suffix.lower() == ".gguf" else KEPT_FP8
    return component.component.startswith("transformer") and component.number_format in forms


def is_packed_gguf(component: FileComponent) -> bool:
    """True for a component whose weights are blocks of a GGUF."""
    return component.file.suffix.lower() == ".gguf" and component.number_format in KEPT_FORMS


def _empty(config: Any) -> Any:
    """The module without content; its buffers, which are in no file, have theirs."""
    settings = {name: value for name, value in config.items() if name not in ("_class_name", SOURCE_MARK)}
    kind = config["_class_name"]
    with init_empty_weights(include_buffers=False):
        if kind == "UMT5EncoderModel":
            return transformers.UMT5EncoderModel(transformers.UMT5Config(**settings))
        if kind == "CLIPVisionModel":
            return transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**settings))
        if kind == CAMERA_CLASS:
            return WanCameraTransformer3DModel(**settings)
        return getattr(diffusers, kind)(**settings)


def _check(module: Any, component: FileComponent, tensors: FileTensors) -> None:
    """Raise UnusableFile if the file's tensors are not exactly the module's."""
    wanted = {name: tuple(weight.shape) for name, weight in module.state_dict().items() if name not in TIED}
    missing, surplus = sorted(set(wanted) - set(component.slices)), sorted(set(component.slices) - set(wanted))
    for names, what in ((missing, Sentence("missing")), (surplus, Sentence("of another kind of model"))):
        if names:
            raise UnusableFile(
                Sentence(
                    "{count} of its tensors are {what}, the first is {name}",
                    count=len(names),
                    what=what,
                    name=names[0],
                )
            )
    for name, shape in wanted.items():
        found = tensors.shape(name)
        if not tensor_formats.is_same_shape(found, shape):
            raise UnusableFile(
                Sentence(
                    "its tensor {name} has the shape {found}, where {shape} belongs",
                    name=name,
                    found=found,
                    shape=shape,
                )
            )


def _fill_for_products(module: Any, tensors: FileTensors, dtype: torch.dtype, product_format: torch.dtype) -> None:
    def read(name: str) -> torch.Tensor:
        return tensors.get(name, dtype_of(module, name, dtype))

    def in_8_bit(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = eight_bit.format_for(name, product_format)
        stored = tensors.fp8(name)
        if stored is not None and (stored[0].dtype == wanted or eight_bit.sees_prompt(name)):
            return stored
        return eight_bit.rounded(read(name), wanted)

    eight_bit.fill(module, read, in_8_bit)


def _fill(module: Any, tensors: FileTensors, dtype: torch.dtype, in_8_bit: bool = False) -> None:
    if in_8_bit:
        eight_bit.fill_rounded(module, lambda name: tensors.get(name, dtype_of(module, name, dtype)))
        return
    state = {}
    for name, empty in module.state_dict().items():
        if name not in TIED:
            state[name] = tensors.get(name, dtype_of(module, name, dtype)).reshape(empty.shape)
    for name, source in TIED.items():
        if source in state:
            state[name] = state[source]
    module.load_state_dict(state, strict=True, assign=True)
    if isinstance(module, transformers.PreTrainedModel):
        module.tie_weights()


def _quantized(module: Any, component: FileComponent, tensors: FileTensors, dtype: torch.dtype) -> Any:
    """The module, its GGUF blocks kept, loaded by diffusers' own way with our names and our configuration."""
    import gguf

    linear = {f"{name}.weight" for name, layer in module.named_modules() if isinstance(layer, torch.nn.Linear)}
    state: dict[str, Any] = {}
    for name, empty in module.state_dict().items():
        if name in linear and tensors.form(name) in KEPT_FORMS:
            kind = gguf.GGMLQuantizationType[tensors.form(name)]
            state[name] = GGUFParameter(tensors.blocks(name), quant_type=kind)
        else:
            state[name] = tensors.get(name, dtype_of(module, name, dtype)).reshape(empty.shape)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (Path(folder) / "config.json").write_text(
            json.dumps({name: value for name, value in component.config.items() if name != SOURCE_MARK})
        )
        return type(module).from_single_file(
            state,
            config=folder,
            local_files_only=True,
            quantization_config=diffusers.GGUFQuantizationConfig(compute_dtype=dtype),
            torch_dtype=dtype,
        )
