"""Reads the head of a file of weights: what it says of its tensors, without reading their numbers.

A safetensors file begins with a length and with JSON of that length: the name, number format, shape and byte range of
every tensor, and metadata. A GGUF file begins with a table that says as much. GGUF's own library would read the whole
vocabulary of a text encoder into objects, which takes seconds; a server has a few milliseconds, so the table is parsed
here.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..protocol.sentences import Sentence
from ..storage import guarded_files
from ..storage.guarded_files import UnusableFile

SUFFIXES = (".safetensors", ".sft", ".gguf")
PICKLED_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".pkl")
"""Of pickles, which could run any program on opening, so that none is ever opened."""
CACHED_HEADS = 64
"""This is more than the files of all models that are in use at one time; `survey` caches what each file of a models
folder is, in far less memory."""
MAX_SAFETENSORS_HEAD_BYTES = guarded_files.MAX_JSON_BYTES
"""The format allows four times as much, which takes gigabytes to parse; the heads of the largest models are 1 MB."""
MAX_OFFSET = 1 << 62
"""No side of a tensor and no file is larger."""

_GGUF_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The struct code of each kind of value."""
_MAX_LIST = 64
"""Longer lists of numbers are skipped: only shapes are wanted."""
_MAX_TENSORS, _MAX_VALUES, _MAX_SIDES = 100_000, 100_000, 8
_MAX_WORDS = 2_000_000
"""The largest vocabularies have a quarter of a million words."""
_MAX_GGUF_HEAD_BYTES = 100_000_000
_CHUNK_BYTES = 1 << 20
_ALIGNMENT_BYTES = 32
_SHAPE_KEY = "comfy.gguf.orig_shape."
"""Stands before a tensor's name in the key of its true shape, if the file had to store it in another."""
_GGUF_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 28: ("F64", 1, 8),
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 20: ("IQ4_NL", 32, 18), 23: ("IQ4_XS", 256, 136), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
}  # fmt: skip
"""The name of each type, how many numbers a block of it holds, and how many bytes the block takes."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file: its number format as the file names it, its shape, and its byte range in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int = 0
    end_exclusive: int = 0

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class WeightsHead:
    """Everything in a file of weights but the numbers."""

    file: Path
    tensors: Mapping[str, StoredTensor]
    """In the file's order."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What its maker noted; values that aren't text, which the formats forbid or nobody here needs, are left out."""
    is_gguf: bool = False
    size_bytes: int = 0
    """The file's length on the disk; 0 if only its head was parsed."""
    expected_bytes: int = 0
    """How long the file must be by its head."""


@dataclass(frozen=True)
class BrokenHead:
    """Says that a file has no head that can be used."""

    why: Sentence
    """A clause, to follow "because"."""
    min_bytes: int = 0
    """How long the file must be at least, if it ends within its head; else 0."""


def read_head(file: Path) -> WeightsHead:
    """The head of a whole file; the same object as long as the file is unchanged.

    Raises UnusableFile if the file is cut off, isn't what its suffix says, or can't be read.
    """
    with guarded_files.guard():
        head = _read_head(str(file), *guarded_files.regular_stamp(file))
    if isinstance(head, Sentence):
        raise UnusableFile(head)
    return head


@functools.lru_cache(maxsize=CACHED_HEADS)
def _read_head(file: str, size_bytes: int, modified_ns: int) -> WeightsHead | Sentence:
    """The head, or why there is none: cached, too, for a broken file is no faster to parse. Raises OSError."""
    path = Path(file)
    head = parse_gguf(path) if path.suffix.lower() == ".gguf" else parse_safetensors(path)
    if isinstance(head, BrokenHead):
        if head.min_bytes:
            return Sentence(
                "it is cut off: it has {size} of more than {min} bytes",
                size=f"{size_bytes:,}",
                min=f"{head.min_bytes:,}",
            )
        return head.why
    if head.expected_bytes > size_bytes:
        return Sentence(
            "it is cut off: it has {size} of {expected} bytes",
            size=f"{size_bytes:,}",
            expected=f"{head.expected_bytes:,}",
        )
    return WeightsHead(path, head.tensors, head.metadata, head.is_gguf, size_bytes, head.expected_bytes)


def parse_safetensors(file: Path) -> WeightsHead | BrokenHead:
    """The head of a safetensors file, which may itself be cut off after its head. Raises OSError."""
    broken = BrokenHead(Sentence("it is not a safetensors file"))
    with guarded_files.opened(file) as stream:
        length = stream.read(8)
        head_bytes = int.from_bytes(length, "little")
        if len(length) < 8 or head_bytes > MAX_SAFETENSORS_HEAD_BYTES:
            return broken
        text = stream.read(head_bytes)
    start = 8 + head_bytes
    if len(text) < head_bytes:
        return BrokenHead(Sentence("it is cut off"), start)
    try:
        rows = guarded_files.parsed(text)
        metadata = rows.pop("__metadata__", None) or {}
        tensors = {name: _safetensors_row(row, start) for name, row in rows.items()}
        texts = {name: value for name, value in metadata.items() if isinstance(value, str)}
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        return broken
    expected_bytes = max((tensor.end_exclusive for tensor in tensors.values()), default=start)
    return WeightsHead(file, tensors, texts, expected_bytes=expected_bytes)


def _safetensors_row(row: Mapping[str, Any], start: int) -> StoredTensor:
    first, last = map(_whole_number, row["data_offsets"])
    return StoredTensor(str(row["dtype"]), tuple(map(_whole_number, row["shape"])), start + first, start + last)


def _whole_number(value: Any) -> int:
    """`value` if it is a count; raises ValueError for anything else that may stand in its place."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_OFFSET:
        raise ValueError(Sentence("{name} in place of a whole number", name=type(value).__name__))
    return value


def parse_gguf(file: Path) -> WeightsHead | BrokenHead:
    """The head of a GGUF file, which may itself be cut off after its head. Raises OSError."""
    try:
        with guarded_files.opened(file) as stream:
            return _parse_gguf(file, _GgufReader(stream))
    except (struct.error, KeyError, ValueError, TypeError, OverflowError):
        return BrokenHead(Sentence("it is not a GGUF file, or it is cut off"))


class _GgufReader:
    """Reads values from the beginning of a GGUF file.

    It isn't a memory map: a network share that fails under one ends the process.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.content, self.position = bytearray(), 0
        self._stream = stream

    def need(self, size_bytes: int) -> None:
        """Have so many bytes from `position` on in `content`. Raises struct.error if there are not so many."""
        until = self.position + size_bytes
        if until > _MAX_GGUF_HEAD_BYTES:
            raise struct.error
        while len(self.content) < until:
            chunk = self._stream.read(max(_CHUNK_BYTES, until - len(self.content)))
            if not chunk:
                raise struct.error
            self.content += chunk

    def number(self, code: str) -> Any:
        size_bytes = struct.calcsize("<" + code)
        self.need(size_bytes)
        (value,) = struct.unpack_from("<" + code, self.content, self.position)
        self.position += size_bytes
        return value

    def text(self) -> str:
        length = self.number("Q")
        self.need(length)
        self.position += length
        return self.content[self.position - length : self.position].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """A value; None for a list that was skipped."""
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self._list()
        return self.number(_SCALARS[kind])

    def _list(self) -> list[Any] | None:
        kind, count = self.number("I"), self.number("Q")
        if kind == _STRING:
            if count > _MAX_WORDS:
                raise ValueError
            for _ in range(count):
                length = self.number("Q")
                self.position += length
            return None
        if kind == _ARRAY:
            raise KeyError(Sentence("a list of lists"))
        if count > _MAX_LIST:
            self.position += count * struct.calcsize(_SCALARS[kind])
            return None
        return [self.number(_SCALARS[kind]) for _ in range(count)]


def _parse_gguf(file: Path, reader: _GgufReader) -> WeightsHead | BrokenHead:
    reader.need(4)
    if reader.content[:4] != _GGUF_MAGIC:
        return BrokenHead(Sentence("it is not a GGUF file"))
    reader.position = 4
    version, tensor_count, value_count = reader.number("I"), reader.number("Q"), reader.number("Q")
    if version not in (2, 3):
        return BrokenHead(
            Sentence("it is of version {version} of the GGUF format, which is not known", version=version)
        )
    if tensor_count > _MAX_TENSORS or value_count > _MAX_VALUES:
        raise ValueError
    values = {}
    for _ in range(value_count):
        name = reader.text()
        values[name] = reader.value(reader.number("I"))
    rows = [_gguf_row(reader) for _ in range(tensor_count)]
    reader.need(0)  # what was skipped must be in the file, too
    alignment = _whole_number(values.get("general.alignment", _ALIGNMENT_BYTES)) or _ALIGNMENT_BYTES
    start = -(-reader.position // alignment) * alignment
    tensors = {}
    for name, sides, kind, offset in rows:
        dtype, block, block_bytes = _GGUF_TYPES.get(kind, (Sentence("type {kind}", kind=kind), 1, 0))
        shape = values.get(_SHAPE_KEY + name) or sides
        size_bytes = math.prod(sides) // block * block_bytes
        end = min(start + offset + size_bytes, MAX_OFFSET)
        tensors[name] = StoredTensor(dtype, tuple(map(_whole_number, shape)), start + offset, end)
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    expected_bytes = max((tensor.end_exclusive for tensor in tensors.values()), default=0)
    return WeightsHead(file, tensors, texts, is_gguf=True, expected_bytes=expected_bytes)


def _gguf_row(reader: _GgufReader) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape (rows first, as torch has it), type and offset."""
    name, count = reader.text(), reader.number("I")
    if count > _MAX_SIDES:
        raise ValueError
    sides = tuple(reader.number("Q") for _ in range(count))
    return name, sides[::-1], reader.number("I"), reader.number("Q")
