"""Files that nobody should have to fear: broken, hostile, or no files at all, each under the name of a model's."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def framed(head: bytes, data: bytes = b"\0" * 16) -> bytes:
    """A safetensors file of that head."""
    return struct.pack("<Q", len(head)) + head + data


def tensor(shape: str = "[1]", offsets: str = "[0,4]", dtype: str = '"F32"') -> bytes:
    """A safetensors file of one tensor, written as it is given."""
    return framed(f'{{"a":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}'.encode())


def text(value: bytes) -> bytes:
    """A string as GGUF has it."""
    return struct.pack("<Q", len(value)) + value


def gguf(
    values: tuple[tuple[bytes, bytes], ...] = (),
    tensors: tuple[bytes, ...] = (),
    tensor_count: int | None = None,
    value_count: int | None = None,
) -> bytes:
    """A GGUF file; the counts may be told wrong."""
    counts = (
        len(tensors) if tensor_count is None else tensor_count,
        len(values) if value_count is None else value_count,
    )
    body = b"".join(text(name) + value for name, value in values) + b"".join(tensors)
    return b"GGUF" + struct.pack("<IQQ", 3, *counts) + body + bytes(256)


def number(kind: int) -> bytes:
    """32 bits."""
    return struct.pack("<I", kind)


ROW = text(b"a.weight") + number(2) + struct.pack("<QQ", 4, 4) + number(0) + struct.pack("<Q", 0)
SHAPE = b"comfy.gguf.orig_shape.a.weight"

SAFETENSORS: dict[str, bytes] = {
    "empty": b"",
    "a few bytes": b"abc",
    "no JSON": framed(b"nonsense"),
    "cut in its head": struct.pack("<Q", 1000) + b"{",
    "cut in its weights": tensor("[1000]", "[0,4000]"),
    "a head of 2^60": struct.pack("<Q", 1 << 60) + b"{}",
    "a head of 2^64 - 1": b"\xff" * 8 + b"{}",
    "a head that is a list": framed(b"[1, 2]"),
    "a head that is a number": framed(b"1e999"),
    "a head of text": framed(b'"text"'),
    "nested too deeply": framed(b"[" * 500_000),
    "bytes that are no text": framed(b'{"\xff\xfe": 1}'),
    "a half character": framed(b'{"\\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 9999]}}'),
    "1e999 as an offset": tensor(offsets="[0,1e999]"),
    "1e999 as a shape": tensor(shape="[1e999]"),
    "NaN as a shape": tensor(shape="[NaN]"),
    "a fraction as a shape": tensor(shape="[1.5]"),
    "a shape below nothing": tensor(shape="[-5]"),
    "an offset below nothing": tensor(offsets="[-100,4]"),
    "a shape that is text": tensor(shape='"12"'),
    "a shape that is null": tensor(shape="null"),
    "a shape of lists": tensor(shape="[[1]]"),
    "a number of 4,000 digits": tensor(shape="[" + "9" * 4000 + "]"),
    "a number of 9,000 digits": tensor(offsets="[0," + "9" * 9000 + "]"),
    "an offset of 2^70": tensor(offsets=f"[0,{1 << 70}]"),
    "one offset": tensor(offsets="[0]"),
    "a format that is a list": tensor(dtype="[1]", shape="[9]", offsets="[0,99999]"),
    "notes that are a list": framed(b'{"__metadata__": [1], "a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
    "notes that are text": framed(b'{"__metadata__": "x", "a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
    "a row that is a number": framed(b'{"a": 5}'),
    "a block of a huge number": framed(
        json.dumps(
            {
                f"blocks.{number}.self_attn.q.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}
                for number in (0, "9" * 12)
            }
            | {
                name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}
                for name, shape in {
                    "patch_embedding.weight": [128, 16, 1, 2, 2],
                    "head.head.weight": [64, 1],
                    "text_embedding.0.weight": [1, 4096],
                    "time_embedding.0.weight": [1, 256],
                    "blocks.0.ffn.0.weight": [1, 1],
                }.items()
            }
        ).encode()
    ),
}  # fmt: skip
GGUF: dict[str, bytes] = {
    "empty": b"",
    "cut": b"GGUF\3",
    "2^63 tensors": gguf(tensor_count=1 << 63),
    "2^63 values": gguf(value_count=1 << 63),
    "an alignment of inf": gguf(((b"general.alignment", number(6) + struct.pack("<f", float("inf"))),), (ROW,)),
    "an alignment of NaN": gguf(((b"general.alignment", number(6) + struct.pack("<f", float("nan"))),), (ROW,)),
    "an alignment below nothing": gguf(((b"general.alignment", number(5) + struct.pack("<i", -1)),), (ROW,)),
    "an alignment that is a list": gguf(
        ((b"general.alignment", number(9) + number(4) + struct.pack("<QI", 1, 32)),), (ROW,)
    ),
    "a shape that is a number": gguf(((SHAPE, number(4) + number(7)),), (ROW,)),
    "a shape that is text": gguf(((SHAPE, number(8) + text(b"xy")),), (ROW,)),
    "a shape of inf": gguf(((SHAPE, number(9) + number(6) + struct.pack("<Qf", 1, float("inf"))),), (ROW,)),
    "2^62 strings": gguf(((b"x", number(9) + number(8) + struct.pack("<Q", 1 << 62)),)) + bytes(1 << 20),
    "2^61 numbers": gguf(((b"x", number(9) + number(4) + struct.pack("<Q", 1 << 61)),)),
    "lists of lists": gguf(((b"x", number(9) + number(9) + struct.pack("<Q", 1 << 62)),)),
    "a string of 2^60": gguf(((b"x", number(8) + struct.pack("<Q", 1 << 60)),)),
    "sides of 2^64": gguf(
        (), (text(b"a") + number(8) + struct.pack("<8Q", *[2**64 - 1] * 8) + number(0) + struct.pack("<Q", 2**64 - 1),)
    ),
    "an unknown kind of value": gguf(((b"x", number(99)),)),
}


def _locked(file: Path) -> None:
    file.write_bytes(tensor())
    file.chmod(0)


def _socket(file: Path) -> None:
    here = os.getcwd()
    os.chdir(file.parent)  # the path of a socket may have a hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name)
    finally:
        os.chdir(here)


def _link(to: str) -> Callable[[Path], None]:
    return lambda file: os.symlink(to, file)


STRANGE: dict[str, Callable[[Path], None]] = {
    "a folder": lambda file: file.mkdir(),
    "a link to nothing": _link("nowhere"),
    "a link to itself": lambda file: os.symlink(file.name, file),
}
"""What is no file at all: how to make it."""
if sys.platform != "win32":
    STRANGE |= {
        "a pipe": lambda file: os.mkfifo(file),
        "a link to a device": _link("/dev/zero"),
        "a socket": _socket,
        "a link to the folder": _link("."),
    }
    if not IS_ROOT:
        STRANGE["a file without permission"] = _locked
