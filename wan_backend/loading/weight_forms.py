"""In which form a component's weights are kept in memory, and how many bytes that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

import diffusers
import torch

from ..catalogue import transformer_shapes
from ..catalogue.architecture import CAMERA_CLASS
from ..library.recognize import FileComponent
from . import eight_bit, single_files
from .camera_transformer import WanCameraTransformer3DModel
from .component_folder import dtype_of
from .tensors import is_fp8

TRANSFORMER_CLASSES = {
    "WanTransformer3DModel": diffusers.WanTransformer3DModel,
    "WanVACETransformer3DModel": diffusers.WanVACETransformer3DModel,
    CAMERA_CLASS: WanCameraTransformer3DModel,
}


class Form(Enum):
    """How the weights of a component are kept in memory."""

    WHOLE = "in the number format that it computes in"
    AS_IN_FILE = "quantized as its file is"
    ROUNDED = "its blocks in 8 bit"
    FOR_FP8 = "its blocks in fp8, for products in fp8"
    FOR_INT8 = "its blocks in int8, for products in int8"

    @property
    def product_format(self) -> torch.dtype | None:
        """What the weights of the blocks are rounded to for products in 8 bit; None if those are exact."""
        return next((number_format for number_format, form in FOR_PRODUCTS.items() if form is self), None)


FOR_PRODUCTS = {torch.float8_e4m3fn: Form.FOR_FP8, torch.int8: Form.FOR_INT8}


def form_of(
    file: FileComponent | None,
    device: torch.device,
    quantized: bool,
    in_8_bit: bool,
    product_format: torch.dtype | None = None,
) -> Form:
    """The form of a transformer, of `file` if it's not in a folder.

    `quantized`: it stays as it lies in its file if it can; `in_8_bit`: it is wanted in half the memory;
    `product_format`: that of products in 8 bit, if they are wanted. They are not for a packed GGUF, whose weights may
    have less than 8 bits.
    """
    if product_format is not None and not (file is not None and single_files.is_packed_gguf(file)):
        return FOR_PRODUCTS[product_format]
    as_in_file = quantized or (in_8_bit and device.type != "mps")  # Apple's cards have no fp8
    if file is not None and as_in_file and single_files.stays_quantized(file):
        return Form.AS_IN_FILE
    return Form.ROUNDED if in_8_bit else Form.WHOLE


def held_bytes(module: torch.nn.Module) -> int:
    """Bytes of the weights of a module, as they lie in memory."""
    return sum(weight.nbytes for weight in (*module.parameters(), *module.buffers()))


def smaller_bytes(form: Form, file: FileComponent | None, config: Mapping[str, Any], dtype: torch.dtype) -> int:
    """Bytes that a transformer of that form, which is not WHOLE, will take, with the rest of it in `dtype`."""
    as_in_file = file if form is Form.AS_IN_FILE else None
    if as_in_file is not None and as_in_file.number_format in single_files.KEPT_FORMS:
        return as_in_file.file.stat().st_size + _beside_bytes(as_in_file, dtype)
    kind, total = TRANSFORMER_CLASSES[config["_class_name"]], 0
    for name, shape in transformer_shapes.shapes(config).items():
        in_8_bit = eight_bit.is_layers_weight(name, shape) and (as_in_file is None or is_fp8(as_in_file, name))
        scales = 4 * shape[0] if in_8_bit else 0  # of one scale for all a little too many
        total += math.prod(shape) * (1 if in_8_bit else dtype_of(kind, name, dtype).itemsize) + scales
    return total


def _beside_bytes(packed: FileComponent, dtype: torch.dtype) -> int:
    """Bytes of what a packed transformer has in another file than its own: control, packed likewise or in `dtype`."""
    beside = [tensor for name, tensor in packed.stored().items() if packed.slices[name].file is not None]
    return sum(
        tensor.end_exclusive - tensor.start
        if tensor.dtype in single_files.KEPT_FORMS
        else tensor.count * int(dtype.itemsize)
        for tensor in beside
    )
