"""What a file of weights says of its tensors, without reading one. Standard library only; no torch.

A safetensors file begins with its length of JSON, a GGUF file with a table. Either is read once, as long as the file
stays as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..storage import guarded_files
from . import safetensors_head
from .safetensors_head import Tensor

__all__ = ["SUFFIXES", "Header", "Tensor", "Unreadable", "read"]

SUFFIXES = (".safetensors", ".sft", ".gguf")
KEPT_FILES = 64
"""More than the models that are worked with at one time are made of; what each file of a models folder is, `survey`
keeps, in far less memory."""


class Unreadable(guarded_files.Unlookable):
    """The file is not what its name says, not whole, or can't be read; the message is a clause, after "because"."""


@dataclass(frozen=True)
class Header:
    """All tensors of a file, in its order, and the notes that its maker left."""

    file: Path
    is_gguf: bool
    tensors: Mapping[str, Tensor]
    notes: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int = 0


def read(file: Path) -> Header:
    """The file's header; raises Unreadable, whatever is wrong with it. The same object as long as it is unchanged."""
    with guarded_files.guard(Unreadable):
        header = _read(str(file), *guarded_files.stamp(file))
    if isinstance(header, str):
        raise Unreadable(header)
    return header


@functools.lru_cache(maxsize=KEPT_FILES)
def _read(file: str, size_bytes: int, modified_ns: int) -> Header | str:
    """The header, or why there is none: kept, too, for a broken file is no faster to read. Raises OSError."""
    from . import gguf_head

    path = Path(file)
    is_gguf = path.suffix.lower() == ".gguf"
    tensors: Mapping[str, Tensor]
    try:
        if is_gguf:
            tensors, notes = gguf_head.read(path)
            whole_bytes = max((tensor.end_exclusive for tensor in tensors.values()), default=0)
        else:
            head = safetensors_head.read(path)
            tensors, notes = head.tensors, {name: str(value) for name, value in head.notes.items()}
            whole_bytes = head.whole_bytes
    except safetensors_head.CutOff as why:
        return f"it is cut off: it has {size_bytes:,} of more than {why.least_bytes:,} bytes"
    except safetensors_head.NotSafetensors:
        return "it is not a safetensors file"
    except Unreadable as why:
        return str(why)
    if whole_bytes > size_bytes:
        return f"it is cut off: it has {size_bytes:,} of {whole_bytes:,} bytes"
    return Header(path, is_gguf, tensors, notes, size_bytes)
