"""What a safetensors file says of itself at its beginning, without reading a weight. Standard library only; no torch.

Such a file begins with the length of its head and the head itself, in JSON: the name, the number format, the shape and
the place of every tensor, and notes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..storage import guarded_files

MOST_BYTES = guarded_files.MOST_JSON_BYTES
"""The format allows four times as much, which takes gigabytes to read; the heads of the largest models have one."""
LARGEST = 1 << 62
"""No extent of a tensor and no file is larger."""


class NotSafetensors(ValueError):
    """The file is none, or it has a head that nobody can use."""


class CutOff(NotSafetensors):
    """The file ends within its head; `least_bytes` is how long it must be."""

    def __init__(self, least_bytes: int) -> None:
        super().__init__("the file ends within its head")
        self.least_bytes = least_bytes


@dataclass(frozen=True)
class Tensor:
    """One tensor: its number format as the file names it, its shape, and where its bytes are in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int = 0
    end_exclusive: int = 0

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Head:
    """Everything but the numbers."""

    tensors: Mapping[str, Tensor]
    notes: Mapping[str, Any]
    """What its maker left; words, where they kept to the format."""
    whole_bytes: int
    """How long the file must be."""


def read(file: Path) -> Head:
    """The head of `file`. Raises NotSafetensors, OSError."""
    with guarded_files.opened(file) as stream:
        start = stream.read(8)
        head_bytes = int.from_bytes(start, "little")
        if len(start) < 8 or head_bytes > MOST_BYTES:
            raise NotSafetensors("its first bytes are not the length of a head")
        text = stream.read(head_bytes)
    if len(text) < head_bytes:
        raise CutOff(8 + head_bytes)
    try:
        rows = guarded_files.parsed(text)
        notes = rows.pop("__metadata__", None) or {}
        tensors = {name: _tensor(row, 8 + head_bytes) for name, row in rows.items()}
        notes = {str(name): value for name, value in notes.items()}
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        raise NotSafetensors("its head is not what it should be") from None
    whole_bytes = max((tensor.end_exclusive for tensor in tensors.values()), default=8 + head_bytes)
    return Head(tensors, notes, whole_bytes)


def _tensor(row: Mapping[str, Any], place: int) -> Tensor:
    start, end = map(extent, row["data_offsets"])
    return Tensor(str(row["dtype"]), tuple(map(extent, row["shape"])), place + start, place + end)


def extent(value: Any) -> int:
    """`value` where it is a number of things; raises ValueError for anything else that may stand in its place."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise ValueError(f"{type(value).__name__} in the place of a whole number")
    return value
