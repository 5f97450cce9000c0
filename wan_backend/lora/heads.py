"""What a LoRA file holds, read from its head alone. Standard library only; nothing of it is run, or loaded."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..library import safetensors_head
from ..library.safetensors_head import Tensor
from ..storage import guarded_files
from . import lora_experts

__all__ = ["Head", "Tensor", "Unusable", "files_of", "read"]

KEPT_FILES = 64
"""More than a request can have."""
PICKLED = {".pt", ".pth", ".ckpt", ".bin", ".pkl"}
FOLDER_FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
"""What diffusers and PEFT call the file in a folder that they save a LoRA to."""
CONFIG_FILE = "adapter_config.json"
LOW_PREFIX = "transformer_2."
TITLES = ("modelspec.title", "ss_output_name", "title", "name")
"""Notes in which trainers write the name that the file was saved under."""
_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F16": 16, "BF16": 16, "I16": 16, "U16": 16}
_BITS |= {"F32": 32, "I32": 32, "U32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64}
"""Of the number formats that are not of a byte."""


class Unusable(guarded_files.Unlookable):
    """The file can't be used; the message is a clause that follows its name: "is not there any more"."""


@dataclass(frozen=True)
class Head:
    """Everything but the numbers."""

    tensors: Mapping[str, Tensor]
    config: dict[str, Any]
    """What the trainer left beside the weights (PEFT's `lora_alpha`, `r`, `alpha_pattern`, ...); may be empty."""
    low_config: dict[str, Any] = field(default_factory=dict)
    """The same for the second of two transformers, where it has its own."""
    titles: tuple[str, ...] = ()
    """What its maker called it."""

    def settings(self, half: str) -> dict[str, Any]:
        """The trainer's settings for the layers of that half ("high", "low", or empty)."""
        return self.low_config if self.low_config and (half == "low" or not self.config) else self.config


def files_of(path: str) -> list[Path]:
    """The file that `path` means; two where it is a folder with one for each of two experts. Raises Unusable."""
    place = Path(path)
    with guarded_files.guard(Unusable, ""):
        if not place.is_dir():
            return [place]
        files = sorted(file for file in place.iterdir() if file.suffix.lower() == ".safetensors")
    usual = [file for file in files if file.name in FOLDER_FILES]
    if len(usual) == 1:
        return usual
    if len(files) == 1 or lora_experts.are_a_pair(files):
        return files
    if not files:
        raise Unusable("is a folder without a .safetensors file")
    raise Unusable(f"is a folder with {len(files)} .safetensors files; choose one of them")


def read(file: Path) -> Head:
    """The file's head, read anew only where the file was changed. Raises Unusable."""
    if file.suffix.lower() in PICKLED:
        raise Unusable("is a pickled file, which could run any program on opening; use its .safetensors version")
    if file.suffix.lower() != ".safetensors":
        raise Unusable("is not a .safetensors file")
    with guarded_files.guard(Unusable, ""):
        try:
            config = file.with_name(CONFIG_FILE)
            config_time = guarded_files.stamp(config)[1] if file.name in FOLDER_FILES and config.is_file() else 0
            return _read(file, *guarded_files.stamp(file), config_time)
        except FileNotFoundError:
            raise Unusable("is not there any more") from None
        except ValueError:
            raise Unusable("can't be read (not a path)") from None


@functools.lru_cache(maxsize=KEPT_FILES)
def _read(file: Path, size: int, _changed: int, config_time: int) -> Head:
    try:
        head = safetensors_head.read(file)
    except safetensors_head.NotSafetensors:
        raise Unusable("is not a safetensors file; download it again") from None
    least = sum(map(_bytes, head.tensors.values()))
    if head.whole_bytes > size or least > size:
        raise Unusable("is not whole; download it again")
    beside = file.with_name(CONFIG_FILE) if config_time else None
    config, low_config = _configs(head.notes, beside)
    titles = (head.notes[name] for name in TITLES if name in head.notes)
    return Head(head.tensors, config, low_config, tuple(title for title in titles if isinstance(title, str)))


def _bytes(tensor: Tensor) -> int:
    return tensor.count * _BITS.get(tensor.dtype, 8) // 8


def _configs(notes: Mapping[str, Any], beside: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The trainer's settings, and those for a second transformer: in a file beside (PEFT), or in the head (diffusers).

    diffusers writes the name of the transformer before each.
    """
    try:
        if beside is not None:
            return dict(guarded_files.read_json(beside)), {}
        rows = guarded_files.parsed(str(notes["lora_adapter_metadata"]).encode())
        low = {key: value for key, value in rows.items() if key.startswith(LOW_PREFIX)}
        first = {key.removeprefix("transformer."): value for key, value in rows.items() if key not in low}
        return first, {key.removeprefix(LOW_PREFIX): value for key, value in low.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}, {}
