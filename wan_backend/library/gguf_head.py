"""What a GGUF file says of its tensors. Standard library only; no torch.

Read by hand, for the format's own library reads the whole vocabulary of a text encoder into objects, which takes
seconds, where a server has a few milliseconds.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

from ..storage import guarded_files
from .file_heads import Unreadable
from .safetensors_head import LARGEST, Tensor, extent

MAGIC = b"GGUF"
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Kind of a value -> how struct reads it."""
MOST_NUMBERS = 64
"""Longer lists of numbers are passed over: only shapes are wanted."""
MOST_TENSORS, MOST_VALUES, MOST_SIDES, MOST_WORDS = 100_000, 100_000, 8, 2_000_000
"""Of words, the largest vocabularies have a quarter of a million."""
MOST_HEAD_BYTES = 100_000_000
CHUNK_BYTES = 1 << 20
ALIGNMENT_BYTES = 32
SHAPE_NOTE = "comfy.gguf.orig_shape."
"""Before a tensor's name: its shape, where the file had to store it in another."""
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 28: ("F64", 1, 8),
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 20: ("IQ4_NL", 32, 18), 23: ("IQ4_XS", 256, 136), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
}  # fmt: skip
"""Number of a type -> its name, the numbers of a block, the bytes of a block."""


class _Reader:
    """What was read of the file so far. Not a memory map: a share that fails under one ends the process."""

    def __init__(self, stream: BinaryIO) -> None:
        self.content, self.place = bytearray(), 0
        self._stream = stream

    def need(self, size_bytes: int) -> None:
        """Have so many bytes from `place` on read. Raises struct.error where there are not so many."""
        until = self.place + size_bytes
        if until > MOST_HEAD_BYTES:
            raise struct.error
        while len(self.content) < until:
            chunk = self._stream.read(max(CHUNK_BYTES, until - len(self.content)))
            if not chunk:
                raise struct.error
            self.content += chunk

    def number(self, code: str) -> Any:
        size_bytes = struct.calcsize("<" + code)
        self.need(size_bytes)
        (value,) = struct.unpack_from("<" + code, self.content, self.place)
        self.place += size_bytes
        return value

    def text(self) -> str:
        length = self.number("Q")
        self.need(length)
        self.place += length
        return self.content[self.place - length : self.place].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """A value; None for a list that nobody wants."""
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            return self._list()
        return self.number(SCALARS[kind])

    def _list(self) -> list[Any] | None:
        kind, count = self.number("I"), self.number("Q")
        if kind == STRING:
            if count > MOST_WORDS:
                raise ValueError
            for _ in range(count):
                length = self.number("Q")
                self.place += length
            return None
        if kind == ARRAY:
            raise KeyError("a list of lists")
        if count > MOST_NUMBERS:
            self.place += count * struct.calcsize(SCALARS[kind])
            return None
        return [self.number(SCALARS[kind]) for _ in range(count)]


def read(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name and the notes that are words; raises Unreadable, OSError."""
    try:
        with guarded_files.opened(file) as stream:
            return _read(_Reader(stream))
    except (struct.error, KeyError, ValueError, TypeError, OverflowError):
        raise Unreadable("it is not a GGUF file, or it is cut off") from None


def _read(reader: _Reader) -> tuple[dict[str, Tensor], dict[str, str]]:
    reader.need(4)
    if reader.content[:4] != MAGIC:
        raise Unreadable("it is not a GGUF file")
    reader.place = 4
    version, tensor_count, value_count = reader.number("I"), reader.number("Q"), reader.number("Q")
    if version not in (2, 3):
        raise Unreadable(f"it is of version {version} of the GGUF format, which is not known")
    if tensor_count > MOST_TENSORS or value_count > MOST_VALUES:
        raise ValueError
    values = {}
    for _ in range(value_count):
        name = reader.text()
        values[name] = reader.value(reader.number("I"))
    rows = [_row(reader) for _ in range(tensor_count)]
    reader.need(0)  # what was passed over must be there, too
    alignment = extent(values.get("general.alignment", ALIGNMENT_BYTES)) or ALIGNMENT_BYTES
    start = -(-reader.place // alignment) * alignment
    tensors = {}
    for name, sides, kind, offset in rows:
        word, block, block_bytes = TYPES.get(kind, (f"type {kind}", 1, 0))
        shape = values.get(SHAPE_NOTE + name) or sides
        size_bytes = math.prod(sides) // block * block_bytes
        end = min(start + offset + size_bytes, LARGEST)
        tensors[name] = Tensor(word, tuple(map(extent, shape)), start + offset, end)
    return tensors, {name: value for name, value in values.items() if isinstance(value, str)}


def _row(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape (rows first, as torch has it), type and offset."""
    name, count = reader.text(), reader.number("I")
    if count > MOST_SIDES:
        raise ValueError
    sides = tuple(reader.number("Q") for _ in range(count))
    return name, sides[::-1], reader.number("I"), reader.number("Q")
