"""What a file of weights says of its tensors, without reading one. Standard library only; no torch.

A safetensors file begins with its length of JSON, a GGUF file with a table. Either is read once, as long as the file
stays as it is.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...file_stamp import stamp

SUFFIXES = (".safetensors", ".sft", ".gguf")
MAX_HEADER_BYTES = 100_000_000
"""As the safetensors format limits it."""
KEPT_FILES = 4096


class Unreadable(Exception):
    """The file is not what its name says, or not whole; the message is a clause, to follow "because"."""


@dataclass(frozen=True)
class Tensor:
    """One tensor: its number format as the file names it, its shape, and where its bytes are in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end_exclusive: int

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """All tensors of a file, in its order, and the notes that its maker left."""

    file: Path
    is_gguf: bool
    tensors: Mapping[str, Tensor]
    notes: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int = 0


def read(file: Path) -> Header:
    """The file's header; raises Unreadable, OSError. The same object as long as the file is unchanged."""
    header = _read(str(file), *stamp(file))
    if isinstance(header, str):
        raise Unreadable(header)
    return header


@functools.lru_cache(maxsize=KEPT_FILES)
def _read(file: str, size_bytes: int, modified_ns: int) -> Header | str:
    """The header, or why there is none: kept, too, for a broken file is no faster to read."""
    from . import gguf_header

    path = Path(file)
    try:
        if path.suffix.lower() == ".gguf":
            tensors, notes = gguf_header.read(path)
        else:
            tensors, notes = _safetensors(path, size_bytes)
    except Unreadable as why:
        return str(why)
    whole_bytes = max((tensor.end_exclusive for tensor in tensors.values()), default=0)
    if whole_bytes > size_bytes:
        return f"it is cut off: it has {size_bytes:,} of {whole_bytes:,} bytes"
    return Header(path, path.suffix.lower() == ".gguf", tensors, notes, size_bytes)


def _safetensors(file: Path, size_bytes: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    with open(file, "rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if size_bytes < 8 or header_bytes > MAX_HEADER_BYTES:
            raise Unreadable("it is not a safetensors file")
        if 8 + header_bytes > size_bytes:
            raise Unreadable(f"it is cut off: it has {size_bytes:,} of more than {8 + header_bytes:,} bytes")
        text = stream.read(header_bytes)
    try:
        rows = json.loads(text)
        notes = rows.pop("__metadata__", None) or {}
        tensors = {
            str(name): Tensor(
                str(row["dtype"]),
                tuple(int(extent) for extent in row["shape"]),
                8 + header_bytes + int(row["data_offsets"][0]),
                8 + header_bytes + int(row["data_offsets"][1]),
            )
            for name, row in rows.items()
        }
        return tensors, {str(name): str(value) for name, value in notes.items()}
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        raise Unreadable("it is not a safetensors file") from None
