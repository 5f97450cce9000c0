"""What a LoRA file holds, read from its head alone. Standard library only; nothing of it is run, or loaded.

A safetensors file begins with the length of its head and the head itself, in JSON: the name, the number format, the
shape and the place of every tensor.
"""

from __future__ import annotations

import functools
import json
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..file_stamp import stamp

MOST_HEAD_BYTES = 100_000_000
"""What the format itself allows."""
PICKLED = {".pt", ".pth", ".ckpt", ".bin", ".pkl"}
FOLDER_FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
"""What diffusers and PEFT call the file in a folder that they save a LoRA to."""
CONFIG_FILE = "adapter_config.json"
_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F16": 16, "BF16": 16, "I16": 16, "U16": 16}
_BITS |= {"F32": 32, "I32": 32, "U32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64}
"""Of the number formats that are not of a byte."""


class Unusable(Exception):
    """The file can't be used; the message is a clause that follows its name: "is not there any more"."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Head:
    """Everything but the numbers."""

    tensors: dict[str, Tensor]
    config: dict[str, Any]
    """What the trainer left beside the weights (PEFT's `lora_alpha`, `r`, `alpha_pattern`, ...); may be empty."""


def files_of(path: str) -> list[Path]:
    """The file that `path` means; two where it is a folder with one for each of two experts. Raises Unusable."""
    place = Path(path)
    if not place.is_dir():
        return [place]
    try:
        files = sorted(file for file in place.iterdir() if file.suffix.lower() == ".safetensors")
    except OSError as error:
        raise Unusable(f"can't be read ({error.strerror or error})") from error
    usual = [file for file in files if file.name in FOLDER_FILES]
    if len(usual) == 1:
        return usual
    if len(files) == 1 or (len(files) == 2 and {told_expert(file) for file in files} == {"high", "low"}):
        return files
    if not files:
        raise Unusable("is a folder without a .safetensors file")
    raise Unusable(f"is a folder with {len(files)} .safetensors files; choose one of them")


def told_expert(file: Path) -> str:
    """ "high" or "low", where the file's name says which expert it is for; else an empty string.

    "high_noise" says it for certain. The bare word may mean anything ("high_angle"), so it counts only in capitals,
    or where the file with the other word lies beside it.
    """
    flat = file.stem.lower().replace("_", "").replace("-", "").replace(" ", "")
    for word in ("high", "low"):
        if f"{word}noise" in flat:
            return word
    words = _words(file.stem)
    for index, (word, other) in enumerate((("high", "low"), ("low", "high"))):
        if word.upper() in words and other.upper() not in words:
            return word
        if word in words and other not in words and _beside(file, index):
            return word
    return ""


def read(file: Path) -> Head:
    """The file's head, read anew only where the file was changed. Raises Unusable."""
    if file.suffix.lower() in PICKLED:
        raise Unusable("is a pickled file, which could run any program on opening; use its .safetensors version")
    if file.suffix.lower() != ".safetensors":
        raise Unusable("is not a .safetensors file")
    try:
        config = file.with_name(CONFIG_FILE)
        config_time = stamp(config)[1] if file.name in FOLDER_FILES and config.is_file() else 0
        return _read(file, *stamp(file), config_time)
    except FileNotFoundError:
        raise Unusable("is not there any more") from None
    except (OSError, ValueError) as error:
        raise Unusable(f"can't be read ({getattr(error, 'strerror', None) or 'not a path'})") from error


@functools.lru_cache(maxsize=64)
def _read(file: Path, size: int, _changed: int, config_time: int) -> Head:
    with file.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MOST_HEAD_BYTES, size):
            raise Unusable("is not a safetensors file; download it again")
        head = opened.read(length)
    try:
        rows = json.loads(head)
        metadata = rows.pop("__metadata__", None)
        tensors = {str(name): Tensor(str(row["dtype"]), tuple(map(int, row["shape"]))) for name, row in rows.items()}
        end = max((int(row["data_offsets"][1]) for row in rows.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        raise Unusable("is not a safetensors file; download it again") from None
    if 8 + length + end > size or end < sum(map(_bytes, tensors.values())):
        raise Unusable("is not whole; download it again")
    beside = file.with_name(CONFIG_FILE) if config_time else None
    return Head(tensors, _config(metadata, beside))


def _bytes(tensor: Tensor) -> int:
    return math.prod(tensor.shape) * _BITS.get(tensor.dtype, 8) // 8


def _config(metadata: Any, beside: Path | None) -> dict[str, Any]:
    """The trainer's settings: in the head (diffusers), or in a file beside it (PEFT)."""
    try:
        if beside is not None:
            return dict(json.loads(beside.read_bytes()))
        rows = json.loads(metadata["lora_adapter_metadata"])
        return {key.removeprefix("transformer."): value for key, value in rows.items()}
    except (ValueError, TypeError, KeyError):
        return {}


def _words(stem: str) -> set[str]:
    return set("".join(c if c.isalnum() else " " for c in stem).split())


def _beside(file: Path, index: int) -> bool:
    """True where the file for the other expert is there; `index` is 0 for a file named "high"."""
    word, other = ("high", "low") if index == 0 else ("low", "high")
    return os.path.isfile(file.with_name(file.name.replace(word, other)))
