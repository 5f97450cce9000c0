"""Loads an upscaling model from a safetensors file, whatever its kind, by its tensors: spandrel knows them.

spandrel is an extra (`python -m wan_backend.environment finish`), imported here alone. It imports three functions of
torchvision for two models that make nothing larger (LaMa paints, RestoreFormer mends faces). torchvision would have to
be of the same build as torch, of which there are several, so where it isn't installed those names are stood in while
spandrel is imported; nothing that is loaded here calls them.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ..library import integrity
from ..library.upscalers import check_numbering, no_package
from ..library.weights_head import read_head
from ..protocol.errors import Refusal
from ..protocol.messages import ProblemKind
from ..protocol.sentences import Sentence
from ..storage.guarded_files import UnusableFile
from . import devices
from .build_budget import BuildBudget

STOOD_IN = {
    "torchvision": (),
    "torchvision.transforms": (),
    "torchvision.transforms.functional": ("InterpolationMode", "rotate", "normalize"),
}
"""What spandrel imports of torchvision."""
SCALES = range(2, 9)
MAX_BYTES = 4 << 30
"""The largest known upscaling models have a few hundred megabytes."""


@dataclass(frozen=True)
class UpscalingModel:
    """An upscaling model on its device."""

    call: Callable[[torch.Tensor], torch.Tensor]
    """(1, 3, H, W) of 0 to 1 in `dtype` on the device becomes (1, 3, scale H, scale W)."""
    scale: int
    device: torch.device
    dtype: torch.dtype
    kind: str
    """The name of its architecture."""
    smallest: int
    """The fewest pixels of a side that it takes."""


def load(file: Path, device: torch.device) -> UpscalingModel:
    """The model in `file`, on the device. Raises Refusal if it can't be used."""
    loader = _loader()
    try:
        integrity.check_safetensors(file, file.name)
        if file.stat().st_size > MAX_BYTES:
            raise UnusableFile(Sentence("it is far larger than any upscaling model"))
        check_numbering(read_head(file).tensors)
        tensors = safetensors.torch.load_file(file)
        with BuildBudget(tensors):
            found: Any = loader(tensors)
    except UnusableFile as why:
        raise _refusal(file, why) from why
    except OSError as error:
        raise _refusal(file, Sentence("it can't be read")) from error
    except Exception as error:  # each of spandrel's forty kinds raises its own where tensors don't fit
        if devices.is_out_of_memory(error):
            raise
        raise _refusal(file, Sentence("its tensors are of no upscaling model that spandrel knows")) from error
    fit = _why_unfit(found)
    if fit is not None:
        raise _refusal(file, fit)
    dtype = torch.float32
    if device.type == "cuda":
        dtype = torch.bfloat16 if found.supports_bfloat16 else torch.float16 if found.supports_half else torch.float32
    found.to(device, dtype).eval()
    return UpscalingModel(found, found.scale, device, dtype, found.architecture.name, found.size_requirements.minimum)


def _why_unfit(found: Any) -> Sentence | None:
    """Why what was loaded doesn't make whole pictures larger, in tiles; None if it does."""
    if getattr(found, "purpose", "") != "SR" or found.scale not in SCALES:
        return Sentence("it makes no picture larger")
    if (found.input_channels, found.output_channels) != (3, 3):
        return Sentence("it isn't made for pictures of three colors")
    if found.tiling.name != "SUPPORTED":
        return Sentence("it can't work in tiles")
    if found.size_requirements.square:
        return Sentence("it takes square pictures alone")
    return None


def _refusal(file: Path, why: object) -> Refusal:
    words = Sentence(
        "The upscaling model {file} can't be used because {why}; choose another, or get it again.", file=file, why=why
    )
    return Refusal.of(ProblemKind.MODEL_BROKEN, words)


def _loader() -> Callable[[dict[str, torch.Tensor]], Any]:
    """What makes a model of tensors; the model is on the CPU. Raises Refusal where spandrel isn't installed."""
    try:
        with _torchvision():
            import spandrel
    except ImportError as error:
        raise Refusal(no_package()) from error
    known: Any = spandrel.MAIN_REGISTRY
    return lambda tensors: known.load(spandrel.canonicalize_state_dict(tensors))


@contextmanager
def _torchvision() -> Iterator[None]:
    """Within, torchvision can be imported; what is stood in for it is gone afterwards."""
    if "spandrel" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        yield
        return
    for name, attributes in STOOD_IN.items():
        module = types.ModuleType(name)
        for attribute in attributes:
            setattr(module, attribute, None)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in STOOD_IN:
            sys.modules.pop(name, None)
